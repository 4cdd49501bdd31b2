"""The networks in use around a lab: which addresses are taken and by whom, ports, the uplink's MTU.

The kernel's own tables are read (proc(5): net/route, net/fib_trie), which needs no program and no privilege. They
describe this computer only, so they say nothing about an engine elsewhere.
"""

import re
import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, ip_network
from itertools import chain
from typing import TYPE_CHECKING, Any

from labenv.computer import Computer
from labenv.errors import EngineError
from labenv.student import LINKS, Student

if TYPE_CHECKING:
    from labenv.engine import Engine

_ALL = IPv4Network("192.168.0.0/16")
_FIRST = int(_ALL[0])
_DESKTOP = IPv4Network("192.168.65.0/24")  # Docker Desktop's virtual machine uses it for its own uplink
_LOCAL_ADDRESS = re.compile(r"\|-- (\S+)\n\s+/32 host LOCAL")


@dataclass(frozen=True)
class Route:
    """A row of the routing table; for the same destination the smallest `metric` wins."""

    destination: IPv4Network
    gateway: IPv4Address
    device: str
    metric: int


@dataclass(frozen=True)
class Takings:
    """Who has which addresses, and which X: an environment has its own, whatever addresses its networks have.

    Who it is, is the end of a sentence. `links` are the numbers of links to the world outside, whether there is one now or not.
    """

    addresses: tuple[tuple[IPv4Network, str], ...]
    xs: Mapping[int, str]
    links: frozenset[int] = frozenset()

    def of(self, x: int, subnets: Iterable[IPv4Network]) -> str:
        """Who has this X, or addresses of these networks; empty if nobody has."""
        if x in self.xs:
            return self.xs[x]
        wanted = list(subnets)
        return next((who for taken, who in self.addresses if any(map(taken.overlaps, wanted))), "")

    def has(self, subnet: IPv4Network) -> bool:
        """Whether somebody has addresses of a network."""
        return any(taken.overlaps(subnet) for taken, _ in self.addresses)

    @property
    def by_x(self) -> dict[int, str]:
        """Which X cannot be had by a lab whose network is 192.168.X.0/24, and who has them."""
        found = {x: self.of(x, [IPv4Network((_FIRST + (x << 8), 24))]) for x in range(256)}
        return {x: who for x, who in found.items() if who}


def takings(engine: "Engine") -> Takings:
    """Who has which addresses. Raises EngineError if the engine is gone.

    A route to all of 192.168.0.0/16 or more (usually a VPN's) would leave no X at all. A lab's narrower route wins over it, so of
    such a network only the addresses count that this computer needs.
    """
    found = taken(engine.networks(), Computer() if engine.is_local else None)
    if not engine.is_local and engine.facts.desktop:  # it runs in a virtual machine
        return replace(found, addresses=(*found.addresses, (_DESKTOP, "Docker Desktop itself")))
    return found


def taken(networks: Iterable[Mapping[str, Any]], computer: Computer | None) -> Takings:
    """As `takings`, from the engine's list of networks and, unless the engine is elsewhere, this computer's tables."""
    addresses: list[tuple[IPv4Network | None, str]] = []
    xs: dict[int, str] = {}
    links: set[int] = set()
    for network in networks:
        labels = network.get("Labels") or {}
        if labels.get("labenv.x", "").isdecimal():
            xs[int(labels["labenv.x"])] = _owner(network)
            links.add(int(labels.get("labenv.link", labels["labenv.x"])))
        pools = (network.get("IPAM") or {}).get("Config") or []
        addresses += [(_subnet(pool.get("Subnet")), _owner(network)) for pool in pools]
    if computer:
        for route in routes(computer):
            if route.destination.prefixlen > _ALL.prefixlen:
                who = f"this computer's route to {route.destination} through {route.device}"
                addresses.append((route.destination, who))
        addresses += [(IPv4Network(address), f"{what} {address}") for address, what in _needed_addresses(computer)]
    return Takings(tuple((subnet, who) for subnet, who in addresses if subnet), xs, frozenset(links))


def free_x(is_taken: Callable[[int], bool], wanted: int) -> int | None:
    """The first free X after `wanted`, in a circle; 0, 1 and those above 251 are left to home routers and the like. None if there is none."""
    for step in range(1, 251):
        x = 2 + (wanted - 2 + step) % 250
        if not is_taken(x):
            return x
    return None


def free_link(there: Takings, x: int) -> int:
    """The number of a free link to the world outside: that of X, or one that is no X. Raises EngineError if there is none."""
    for number in chain([x], range(256, LINKS), range(256)):
        subnet = IPv4Network(f"{Student('', x, '', '', number).wan}.0/24")
        if number not in there.links and not any(map(subnet.overlaps, (taken for taken, _ in there.addresses))):
            return number
    raise EngineError(f"All {LINKS} numbers of links to the world outside are taken. Remove an environment first.")


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
