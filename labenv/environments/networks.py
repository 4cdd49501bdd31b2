"""The networks in use around a lab: which 192.168.X.0/24 are taken and by whom, ports, the uplink's MTU.

The kernel's own tables are read (proc(5): net/route, net/fib_trie), which needs no program and no privilege. They
describe this computer only, so they say nothing about an engine elsewhere.
"""

import re
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, ip_network
from typing import TYPE_CHECKING, Any

from labenv.computer import Computer
from labenv.errors import EngineError

if TYPE_CHECKING:
    from labenv.engine import Engine

_ALL = IPv4Network("192.168.0.0/16")
_DESKTOP_X = 65  # Docker Desktop's virtual machine uses 192.168.65.0/24 for its own uplink
_LOCAL_ADDRESS = re.compile(r"\|-- (\S+)\n\s+/32 host LOCAL")


@dataclass(frozen=True)
class Route:
    """A row of the routing table; for the same destination the smallest `metric` wins."""

    destination: IPv4Network
    gateway: IPv4Address
    device: str
    metric: int


def taken_by(engine: "Engine") -> dict[int, str]:
    """Which X are taken, each with the end of a sentence that says by whom. Raises EngineError if the engine is gone.

    A route to all of 192.168.0.0/16 (usually a VPN's) would leave no X at all. A lab's narrower route wins over it, so of
    such a network only the parts count that hold an address this computer needs.
    """
    found = taken(engine.networks(), Computer() if engine.is_local else None)
    if not engine.is_local and engine.facts.desktop:  # it runs in a virtual machine
        found.setdefault(_DESKTOP_X, "Docker Desktop itself")
    return found


def taken(networks: Iterable[Mapping[str, Any]], computer: Computer | None) -> dict[int, str]:
    """As `taken_by`, from the engine's list of networks and, unless the engine is elsewhere, this computer's tables."""
    found: dict[int, str] = {}
    for network in networks:
        for pool in (network.get("IPAM") or {}).get("Config") or []:
            _note(found, _subnet(pool.get("Subnet")), _owner(network))
    if computer:
        for route in routes(computer):
            if route.destination.prefixlen > _ALL.prefixlen:
                _note(found, route.destination, f"this computer's route to {route.destination} through {route.device}")
        for address, what in _needed_addresses(computer):
            _note(found, IPv4Network(address), f"{what} {address}")
    return found


def free_x(taken: Mapping[int, str], wanted: int) -> int:
    """The first free X after `wanted`, in a circle; 0, 1 and those above 251 are left to home routers and the like.

    Raises EngineError if there is none.
    """
    for step in range(1, 251):
        x = 2 + (wanted - 2 + step) % 250
        if x not in taken:
            return x
    raise EngineError("All networks from 192.168.2.0/24 to 192.168.251.0/24 are taken. `labenv doctor` says by whom.")


def routes(computer: Computer) -> list[Route]:
    """This computer's IPv4 routes without default routes (a VPN may split a default route into two halves)."""
    return [route for route in _table(computer) if route.destination.prefixlen > 1]


def wide_routes(computer: Computer) -> list[Route]:
    """The routes that cover all of 192.168.0.0/16: a running lab hides its part of them."""
    return [route for route in routes(computer) if _ALL.subnet_of(route.destination)]


def uplink_mtu(computer: Computer | None = None) -> int | None:
    """The MTU of the device of the default route; None if there is none or it cannot be found out."""
    computer = computer or Computer()
    default = [route for route in _table(computer) if route.destination.prefixlen == 0]
    if not default:
        return None
    device = min(default, key=lambda route: route.metric).device
    text = computer.read(f"sys/class/net/{device}/mtu").strip()
    return int(text) if text.isdecimal() else None


def port_in_use(number: int) -> bool:
    """Whether another program already listens on that port of 127.0.0.1, TCP or UDP.

    A port that this user may not open (below 1024) counts as free: the engine opens it, and may.
    """
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as trial:
            if kind == socket.SOCK_STREAM:  # a closed connection that is still listed (TIME_WAIT) is no listener
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind(("127.0.0.1", number))
            except PermissionError:
                continue
            except OSError:
                return True
    return False


def _note(found: dict[int, str], network: IPv4Network | None, who: str) -> None:
    if network and network.overlaps(_ALL):
        first, last = max(network[0], _ALL[0]), min(network[-1], _ALL[-1])
        for x in range(first.packed[2], last.packed[2] + 1):
            found.setdefault(x, who)


def _subnet(text: str | None) -> IPv4Network | None:
    try:
        network = ip_network(text or "", strict=False)
    except ValueError:
        return None
    return network if isinstance(network, IPv4Network) else None


def _owner(network: Mapping[str, Any]) -> str:
    student = (network.get("Labels") or {}).get("labenv.student")
    return f"the environment of {student}" if student else f"the engine's network '{network.get('Name')}'"


def _table(computer: Computer) -> Iterator[Route]:
    for line in computer.read("proc/net/route").splitlines()[1:]:
        fields = line.split()
        if len(fields) >= 8:
            destination, gateway, mask = (_address(fields[i]) for i in (1, 2, 7))
            yield Route(IPv4Network(f"{destination}/{mask}", strict=False), gateway, fields[0], int(fields[6]))


def _address(text: str) -> IPv4Address:
    """An address as the kernel prints it there: a number in this processor's byte order."""
    return IPv4Address(struct.pack("=I", int(text, 16)))


def _needed_addresses(computer: Computer) -> Iterator[tuple[IPv4Address, str]]:
    for text in _LOCAL_ADDRESS.findall(computer.read("proc/net/fib_trie")):
        yield IPv4Address(text), "this computer's own address"
    for route in _table(computer):
        if int(route.gateway):
            yield route.gateway, "this computer's gateway"
    for line in computer.read("etc/resolv.conf").splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver" and (server := _subnet(words[1])):
            yield server[0], "this computer's name server"
