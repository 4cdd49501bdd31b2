"""What a machine's kernel says about its services: who listens, where connections end, which processes a unit has (proc(5)).

The programs of a machine say what whoever replaced them wants; labenv's own tools say what the kernel says.
"""

import ipaddress
import time
from dataclasses import dataclass
from typing import NamedTuple

from labenv.checks.machine import Machine
from labenv.engine.stream import TOOLS
from labenv.text import decoded

# A machine that an earlier version made may lack the tool, and an engine's kernel the answer.
_TABLES = f"{TOOLS}/bin/sockets 2>/dev/null || cat /proc/net/tcp /proc/net/tcp6 2>/dev/null"
_LISTENS, _ESTABLISHED = "0A", "01"
_MOMENT = 0.03  # seconds in which two machines agree about a connection that has just begun or ended


class End(NamedTuple):
    """One end of a connection, as `address` and `port`."""

    address: str
    port: int


@dataclass(frozen=True)
class Socket:
    """A TCP socket; one that listens has no far end."""

    near: End
    far: End | None
    inode: str


@dataclass(frozen=True)
class Process:
    """A process with its unit, its program and the inodes of its sockets; the last two are empty if the kernel does not say."""

    number: int
    unit: str
    program: str
    sockets: frozenset[str]


def listeners(machine: Machine) -> list[Socket]:
    """The sockets that listen, looked up once for all checks of a run."""
    return [socket for socket in _sockets(machine.once(_TABLES).stdout) if socket.far is None]


def processes(machine: Machine) -> list[Process]:
    """The processes, looked up once for all checks of a run; none in a machine without labenv's own tools."""
    if not machine.has_tools:
        return []
    rows = [line.split("\t") for line in str(machine.once(f"{TOOLS}/bin/census").stdout).split("\n")[:-1]]
    return [Process(int(number), unit, program, frozenset(inodes.split())) for number, unit, program, inodes in rows]


def astray(start: Machine, end: Machine, port: int) -> bool:
    """Whether a connection that `start` now has to a port of `end` does not end there: somebody rewrites its addresses."""

    def lost() -> set[End]:
        there = End(end.address, port)
        begun = {s.near for s in _now(start) if s.far == there}
        return begun - {s.far for s in _now(end) if s.near == there and s.far}

    if first := lost():
        time.sleep(_MOMENT)
        return bool(first & lost())
    return False


def _now(machine: Machine) -> list[Socket]:
    return [socket for socket in _sockets(decoded(machine.channel.run(_TABLES).stdout)) if socket.far]


def _sockets(table: str) -> list[Socket]:
    found = []
    for line in table.splitlines():
        words = line.split()
        if len(words) > 9 and words[3] in (_LISTENS, _ESTABLISHED):
            found.append(Socket(_end(words[1]), _end(words[2]) if words[3] == _ESTABLISHED else None, words[9]))
    return found


def _end(text: str) -> End:
    """An end as the kernel writes it: the address in words of 32 bits, each in the byte order of the computer."""
    address, _, port = text.partition(":")
    raw = b"".join(bytes.fromhex(address[place : place + 8])[::-1] for place in range(0, len(address), 8))
    there = ipaddress.ip_address(raw)
    mapped = there.ipv4_mapped if isinstance(there, ipaddress.IPv6Address) else None
    return End(str(mapped or (f"[{there}]" if there.version == 6 else there)), int(port, 16))
