"""What runs in a machine: the services with the sockets on which they listen, and those that should run and do not."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

# Which unit a process belongs to is the name of its control group; systemd itself holds the sockets of services that wait.
ASK = r"""
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
_ADDRESS = 50  # characters: more than any has
_DOWN = {"failed": "failed", "inactive": "stopped"}


class Socket(NamedTuple):
    """Where a service listens, as ss(8) has the address: "0.0.0.0", "[::]", "*"."""

    address: str
    port: int

    @property
    def is_local(self) -> bool:
        """Whether no other machine can reach it."""
        return self.address.startswith(("127.", "[::1]")) or "%lo" in self.address


@dataclass(frozen=True)
class Service:
    """A service: the TCP sockets on which it listens, or `down`, how it does not run."""

    name: str
    sockets: tuple[Socket, ...] = ()
    down: str = ""


def parsed(told: str) -> tuple[Service, ...]:
    """The services in what a machine said, which may be anything."""
    listening, units, sockets, states = (told.split("--\n") + [""] * 4)[:4]
    up: dict[str, set[Socket]] = {}
    for name, there in _listening(
        listening, dict(_pairs(units)), {int(p): name for p, name in _SOCKET.findall(sockets)}
    ):
        up.setdefault(name, set()).add(there)
    runs = [
        Service(name, tuple(sorted(there, key=lambda s: (s.port, s.address)))) for name, there in sorted(up.items())
    ]
    return (*runs, *(service for service in _down(states) if service.name not in up))


def _listening(told: str, units: Mapping[str, str], sockets: Mapping[int, str]) -> Iterator[tuple[str, Socket]]:
    for address, port, users in _LISTENS.findall(told):
        if int(port) > 65535:
            continue
        processes = _PROCESS.findall(users)
        names = [units.get(pid, "") for _, pid in processes]
        names += [sockets.get(int(port), ""), *(name for name, _ in processes), _UNKNOWN]
        yield next(filter(None, names)), Socket(address[:_ADDRESS], int(port))


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
