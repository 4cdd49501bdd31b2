"""What a reboot loses: services that ran and were not enabled, firewall rules that were in force and not saved, ports."""

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass

from labenv import lifecycle
from labenv.engine import Engine
from labenv.engine.channel import Channel
from labenv.environment import Environment, Machine
from labenv.events import Listener, announced
from labenv.parallel import Together

# One fact a line: what it is, a blank, its name. Template units come and go with whoever connects, and a service with a
# socket starts when somebody does; the engine's resolver listens on 127.0.0.11 on a port that changes, and an interface gets
# another link-local address.
_FACTS = """\
running=$(systemctl list-units --type=service --state=running --plain --no-legend | awk '$1 !~ /@/ {print $1}')
systemctl show -p Id,TriggeredBy $running | awk -F= '$1 == "Id" {id = $2} $0 == "TriggeredBy=" {print "service", id}'
iptables -S | sed 's/^/rule /'
ss -Hltn | awk '$4 !~ /^(127\\.0\\.0\\.11:|\\[fe80:)/ {print "port", $4}'
"""
_SAID = {
    "service": "the service {} ran and does not any more: it is not enabled",
    "rule": "the firewall's rule `{}` was in force and is not any more: it was not saved",
    "port": "something listened on {} and does not any more",
}


@dataclass(frozen=True)
class Lost:
    """Something that a machine had before it was booted again: a "service", a "rule" of the firewall, a "port"."""

    machine: str
    kind: str
    what: str

    @property
    def sentence(self) -> str:
        """What was lost, in words."""
        return f"Lost on {self.machine}: {_SAID[self.kind].format(self.what)}."


def all_machines(engine: Engine, environment: Environment, listen: Listener) -> list[Lost]:
    """Boot all machines again and return what that has lost. Raises EngineError if one does not run."""
    machines = environment.regular
    with announced(listen, "before", "looking at what runs"):
        before = _facts(engine, machines)
    lifecycle.reboot(engine, environment, machines, listen)
    after = _facts(engine, machines)
    return [
        Lost(machine, *fact.split(" ", 1)) for machine in before for fact in sorted(before[machine] - after[machine])
    ]


def _facts(engine: Engine, machines: Iterable[Machine]) -> dict[str, set[str]]:
    def of(machine: Machine) -> tuple[str, set[str]]:
        if machine.state != "running":
            return machine.name, set()
        with closing(Channel(engine.api, machine.container)) as channel:
            return machine.name, set(channel.run(_FACTS).stdout.decode(errors="replace").splitlines())

    with Together() as pool:
        return dict(pool.map(of, machines))
