"""What runs in a machine: the services with the ports on which they listen, and those that should run and do not."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from labenv.engine import Engine
from labenv.environment import Environment, Machine
from labenv.errors import EngineError
from labenv.parallel import Together

# Which unit a process belongs to is the name of its control group; systemd itself holds the sockets of services that wait.
_LOOK = r"""
ss -Hltnp; echo --
for pid in $(ss -Hltnp | grep -o 'pid=[0-9]*' | sort -u | cut -d= -f2); do
    echo "$pid $(grep -o '[^/]*\.service$' /proc/$pid/cgroup 2>/dev/null | head -n 1)"
done; echo --
systemctl list-sockets --plain --no-legend; echo --
names() { "$@" --type=service --plain --no-legend | cut -d ' ' -f 1; }
systemctl show -p Id -p Type -p ActiveState -p UnitFileState -p TriggeredBy \
    $(names systemctl list-unit-files --state=enabled) $(names systemctl list-units --state=failed)
"""
_LISTENS = re.compile(r"^LISTEN\s+\d+\s+\d+\s+(\S+):(\d{1,5})\s+\S+(?:\s+users:\((.*)\))?", re.MULTILINE)
_PROCESS = re.compile(r'\("([^"]{1,40})",pid=(\d+),')
_SOCKET = re.compile(r":(\d{1,5})\s+(\S{1,60})\.socket")
_UNKNOWN = "a program"
_DOWN = {"failed": "failed", "inactive": "stopped"}


@dataclass(frozen=True)
class Service:
    """A service: the TCP ports on which other machines reach it, or `down`, how it does not run."""

    name: str
    ports: tuple[int, ...] = ()
    down: str = ""

    def __str__(self) -> str:
        """It in a few words."""
        return f"{self.name} {self.down or ', '.join(map(str, self.ports))}"


def look(engine: Engine, environment: Environment) -> dict[str, tuple[Service, ...]]:
    """The services of each machine; none of one that does not run, or that cannot be asked."""
    with Together(max(1, len(environment.machines))) as pool:
        there = pool.map(lambda machine: _services(engine, machine), environment.machines)
        return {machine.name: found for machine, found in zip(environment.machines, there, strict=True)}


def _services(engine: Engine, machine: Machine) -> tuple[Service, ...]:
    if machine.state != "running":
        return ()
    try:
        with engine.shell(machine) as channel:
            return parsed(channel.run(_LOOK, timeout=20).text)
    except EngineError:
        return ()


def parsed(told: str) -> tuple[Service, ...]:
    """The services in what a machine said, which may be anything."""
    listening, units, sockets, states = (told.split("--\n") + [""] * 4)[:4]
    up: dict[str, set[int]] = {}
    for name, port in _listening(
        listening, dict(_pairs(units)), {int(p): name for p, name in _SOCKET.findall(sockets)}
    ):
        up.setdefault(name, set()).add(port)
    runs = [Service(name, tuple(sorted(ports))) for name, ports in sorted(up.items())]
    return (*runs, *(service for service in _down(states) if service.name not in up))


def _listening(told: str, units: Mapping[str, str], sockets: Mapping[int, str]) -> Iterator[tuple[str, int]]:
    for address, port, users in _LISTENS.findall(told):
        if address.startswith(("127.", "[::1]")) or "%lo" in address or int(port) > 65535:
            continue
        processes = _PROCESS.findall(users)
        names = [units.get(pid, "") for _, pid in processes]
        names += [sockets.get(int(port), ""), *(name for name, _ in processes), _UNKNOWN]
        yield next(filter(None, names)), int(port)


def _pairs(told: str) -> Iterator[tuple[str, str]]:
    for line in told.splitlines():
        pid, _, unit = line.partition(" ")
        yield pid, unit.removesuffix(".service")[:40]


def _down(told: str) -> Iterator[Service]:
    """Services that start at boot, or failed, and do not run; those that do one thing and end, or wait for a socket, are none."""
    for block in told.split("\n\n"):
        unit = dict(line.partition("=")[::2] for line in block.splitlines())
        how = _DOWN.get(unit.get("ActiveState", ""))
        is_mine = (
            unit.get("UnitFileState") == "enabled" and unit.get("Type") != "oneshot" and not unit.get("TriggeredBy")
        )
        if how and (is_mine or how == "failed"):
            yield Service(unit.get("Id", "?").removesuffix(".service")[:40], down=how)
