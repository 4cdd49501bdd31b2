"""What a topology is made of, filled in for one student: machines, their published ports and limits, networks."""

import hashlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from ipaddress import IPv4Network
from pathlib import Path

from labenv.environment import Pool
from labenv.errors import UsageError
from labenv.lab.model import Answer, File

# Each environment publishes on its own ten ports, so that a mail client's settings survive `down` and `up`.
_FIRST_PORT = 20000
PORTS_EACH = 10
DESKTOP = "desktop"  # the image of a desktop, unless a topology names another one, and its name in a lab's `files`


@dataclass(frozen=True)
class Port:
    """A port of a machine that is published on 127.0.0.1: `number` there, "tcp" or "udp", and its place in the file."""

    number: int
    protocol: str
    index: int

    @property
    def key(self) -> str:
        """As `status --json` names it: "25", "53/udp"."""
        return str(self.number) if self.protocol == "tcp" else f"{self.number}/{self.protocol}"


@dataclass(frozen=True)
class Limits:
    """The most that a machine may use. Sizes are in bytes, and memory is without swap; threads count as processes.

    `cpu_shares` is its weight where processors are scarce (1024 is usual). `run` is the size of its tmpfs /run.
    """

    memory: int = 1 << 30
    pids: int = 2048  # systemd gives a service 15 % of them (DefaultTasksMax in systemd-system.conf(5))
    cpu_shares: int = 1024
    disk: int = 4 << 30
    run: int = 64 << 20


@dataclass(frozen=True)
class Own:
    """What a topology itself lays over a machine's image and asks of it, at every stage of every lab that has the machine.

    The templates of its `files` are in `templates`.
    """

    templates: Path
    files: tuple[File, ...] = ()
    answers: tuple[Answer, ...] = ()

    @cached_property
    def digest(self) -> str:
        """A hash over the files, with their templates."""
        digest = hashlib.sha256(repr(self.files).encode())
        for file in self.files:
            if file.template:
                digest.update((self.templates / file.template).read_bytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Node:
    """A machine of the topology: name, fully qualified host name, address, image folder, published ports.

    `network` is the name of the network that has the address, `joins` are those of further networks that it is on. A machine
    with a `profile` exists only if that profile is requested, one with `since` only from that stage on. `addresses` are
    additional ones that the machine assigns to itself. `desktop` are the profiles whose machines the desktop of this machine
    needs; None if it is not the machine that has one; `desktop_image` is what that is made from. `own` is what the topology brings for it. `moves` are addresses that the
    engine has for it, each with the one, and its prefix, that the machine gives itself in its place.
    """

    name: str
    fqdn: str
    address: str
    image: str
    ports: tuple[Port, ...]
    network: str
    profile: str = ""
    systemd: bool = True
    addresses: tuple[str, ...] = ()
    limits: Limits = Limits()
    joins: tuple[str, ...] = ()
    since: str = ""
    desktop: tuple[str, ...] | None = None
    desktop_image: str = DESKTOP
    own: Own | None = None
    moves: tuple[tuple[str, str], ...] = ()

    def on_engine(self, address: str) -> str:
        """What the engine has in place of an address of the machine."""
        return next((there for there, own in self.moves if own.partition("/")[0] == address), address)


@dataclass(frozen=True)
class Network:
    """A network of an environment. The first one, the student's own, has no `name`; `options` are its driver options.

    `joined_by` are machines of another network and the address that each gets here; they join when the network is created.
    `key` is its name in the file. `pool` is what the engine knows it by, if not by its own addresses.
    """

    name: str
    subnet: str
    gateway: str
    options: dict[str, str]
    joined_by: dict[str, str]
    key: str = "lan"
    pool: Pool | None = None

    @property
    def on_engine(self) -> tuple[str, str]:
        """The subnet and the gateway that the engine has for it."""
        return (self.pool.there, self.pool.on_engine(self.gateway)) if self.pool else (self.subnet, self.gateway)


@dataclass(frozen=True)
class Topology:
    """A topology filled in for one student. The first of its networks is the student's own: 192.168.X.0/24 in the course's labs.

    `lent` are machines of the student's class that are on their networks.
    """

    nodes: tuple[Node, ...]
    networks: tuple[Network, ...]
    lent: tuple[Node, ...] = ()

    @property
    def profiles(self) -> list[str]:
        """The profiles of its machines."""
        return sorted({node.profile for node in self.nodes if node.profile})

    @property
    def desk(self) -> Node | None:
        """The machine that has the desktop, if there is one."""
        return next((node for node in self.nodes if node.desktop is not None), None)

    @cached_property
    def subnets(self) -> tuple[IPv4Network, ...]:
        """The addresses that its networks take."""
        return tuple(IPv4Network(network.subnet) for network in self.networks)

    def with_profiles(self, profiles: Collection[str]) -> "Topology":
        """The topology without the machines whose profile is not among these, and without their networks.

        Raises UsageError, which lists the profiles, for one that no machine has.
        """
        for profile in profiles:
            if profile not in self.profiles:
                has = f"The profiles are: {', '.join(self.profiles)}." if self.profiles else "It has no profiles."
                raise UsageError(f"The topology has no machine with the profile '{profile}'. {has}")
        return self._only(node for node in self.nodes if not node.profile or node.profile in profiles)

    def lending(self, profile: str) -> "Topology":
        """The topology with the machines of a profile as those of the class, and their networks. Raises UsageError if it has none."""
        if profile not in self.profiles:
            raise UsageError(f"The topology has no machine with the profile '{profile}', which a class could share.")
        lent = tuple(node for node in self.nodes if node.profile == profile)
        return replace(self, nodes=tuple(node for node in self.nodes if node not in lent), lent=lent)

    def at(self, reached: Callable[[str], bool]) -> "Topology":
        """The topology without the machines of a stage that is not `reached` yet, and without their networks."""
        if not any(node.since for node in self.nodes):
            return self
        return self._only(node for node in self.nodes if not node.since or reached(node.since))

    def allowing(self, memory: int, processes: int) -> "Topology":
        """The topology whose machines may use so many bytes of memory and so many processes; 0 leaves what it says itself."""
        if not (memory or processes):
            return self

        def allowed(node: Node) -> Node:
            there = node.limits
            return replace(node, limits=replace(there, memory=memory or there.memory, pids=processes or there.pids))

        return replace(self, nodes=tuple(map(allowed, self.nodes)))

    def _only(self, nodes: Iterable[Node]) -> "Topology":
        kept = tuple(nodes)
        used = {network for node in (*kept, *self.lent) for network in (node.network, *node.joins)}
        return replace(self, nodes=kept, networks=tuple(n for n in self.networks if not n.name or n.name in used))

    def completed_by(self, usual: "Topology") -> "Topology":
        """The topology with what it does not say about its machines from another one, its lab's, for machines of the same names."""
        known = {node.name: node for node in usual.nodes}
        has_desk = self.desk is not None

        def completed(node: Node) -> Node:
            there = known.get(node.name)
            if not there:
                return node
            desk = node if has_desk else there
            return replace(node, own=node.own or there.own, desktop=desk.desktop, desktop_image=desk.desktop_image)

        return replace(self, nodes=tuple(map(completed, self.nodes)))

    def pooled(self, pools: Iterable[Pool]) -> "Topology":
        """The topology with networks that the engine knows by other addresses, which it cannot publish ports of."""
        there = {pool.network: pool for pool in pools}
        if not there:
            return self

        def moved(node: Node) -> Node:
            at = {
                network.name: network.joined_by[node.name]
                for network in self.networks
                if node.name in network.joined_by
            }
            at[node.network] = node.address
            moves = tuple(
                (pool.on_engine(at[name]), f"{at[name]}/{IPv4Network(pool.own).prefixlen}")
                for name, pool in there.items()
                if name in at
            )
            return replace(node, moves=moves, ports=() if node.network in there else node.ports)

        networks = tuple(replace(network, pool=there.get(network.name)) for network in self.networks)
        return replace(self, nodes=tuple(map(moved, self.nodes)), networks=networks)

    def published(self, node: Node, x: int, shift: int = 0) -> dict[str, int]:
        """The ports on 127.0.0.1 for a node's published ports: fixed by X, or `shift` blocks further on."""
        return {port.key: port_at(x, port.index, shift) for port in node.ports}


def port_at(x: int, index: int, shift: int = 0) -> int:
    """The port on 127.0.0.1 at place `index` of an environment's ten, or of the ten `shift` blocks further on."""
    return _FIRST_PORT + PORTS_EACH * (x + 256 * shift) + index
