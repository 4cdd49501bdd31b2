"""Rebooting machines, and what that loses: services that were not enabled, firewall rules that were not saved, ports."""

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from labenv.engine import Engine
from labenv.environment import Environment, Machine
from labenv.environments import desktop, history, rename
from labenv.environments.changing import changing
from labenv.environments.settle import settle
from labenv.errors import EngineError
from labenv.events import Listener, announced
from labenv.parallel import Together

# One fact a line: what it is, a blank, its name. Template units come and go with each connection, and a service with a
# socket starts when somebody connects; the engine's resolver listens on 127.0.0.11 on a port that changes, and an
# interface gets another link-local address.
_FACTS = """\
running=$(systemctl list-units --type=service --state=running --plain --no-legend | awk '$1 !~ /@/ {print $1}')
systemctl show -p Id,TriggeredBy $running | awk -F= '$1 == "Id" {id = $2} $0 == "TriggeredBy=" {print "service", id}'
iptables -S | sed 's/^/rule /'
ss -Hltn | awk '$4 !~ /^(127\\.0\\.0\\.11:|\\[fe80:)/ {print "port", $4}'
"""
_SAID = {
    "service": "the service {} ran before, and does not run now: it is not enabled",
    "rule": "the firewall rule `{}` was in force before, and is not now: it was not saved",
    "port": "something listened on {} before, and nothing does now",
}


@dataclass(frozen=True)
class Lost:
    """Something that a machine had before the reboot and lost: a "service", a "rule" of the firewall, a "port"."""

    machine: str
    kind: str
    what: str

    @property
    def sentence(self) -> str:
        """What was lost, in words."""
        return f"Lost on {self.machine}: {_SAID[self.kind].format(self.what)}."


def reboot(
    engine: Engine, environment: Environment, machines: Sequence[Machine], listen: Listener, *, hard: bool = False
) -> None:
    """Reboot machines and wait until they have booted; with `hard` their power fails first. Raises EngineError.

    A machine that is to have another host name gets it.
    """
    with changing(engine, environment.student.id, listen) as change:
        environment = change.environment
        machines = [environment.machine(machine.name) for machine in machines]
        for machine in machines:
            if machine.state != "running":
                raise EngineError(f"{machine.name} is {machine.state}. Start it: labenv up {environment.student.id}")

        def boot(machine: Machine) -> None:
            with announced(listen, machine.name, f"{'power cut on' if hard else 'rebooting'} {machine.name}"):
                (engine.cut_power if hard else engine.restart)(machine.container)

        boots_desk = desktop.machine_name(environment) in {machine.name for machine in machines}
        around = desktop.brought_back(engine, change, listen) if boots_desk else nullcontext()
        with around, history.told(engine, environment, listen, "labenv reboot"):
            names = rename.wished(engine, machines)
            with Together(len(machines)) as pool:
                list(pool.map(boot, [machine for machine in machines if machine.name not in names]))
            if names:
                rename.boot_renamed(engine, change, names, listen, hard=hard)
            settle(engine, change.environment, machines, listen)


def reboot_and_compare(engine: Engine, environment: Environment, listen: Listener) -> list[Lost]:
    """Reboot all machines and return what was lost. Raises EngineError if a machine does not run."""
    machines = environment.regular
    with announced(listen, "before", "listing what runs"):
        before = _facts(engine, machines)
    reboot(engine, environment, machines, listen)
    after = _facts(engine, machines)
    return [
        Lost(machine, *fact.split(" ", 1)) for machine in before for fact in sorted(before[machine] - after[machine])
    ]


def _facts(engine: Engine, machines: Iterable[Machine]) -> dict[str, set[str]]:
    def of(machine: Machine) -> tuple[str, set[str]]:
        if machine.state != "running":
            return machine.name, set()
        with engine.shell(machine) as shell:
            return machine.name, set(shell.run(_FACTS).text.splitlines())

    with Together() as pool:
        return dict(pool.map(of, machines))
