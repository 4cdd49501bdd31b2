"""A topology: which machines a lab has, on which addresses, with which published ports.

It is a Compose file, with `x-labenv` for what Compose cannot express. labenv refuses by name what it does not support,
so that nothing in the file is silently ignored.
"""

import ipaddress
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from labenv import resources
from labenv.errors import UsageError
from labenv.lab.schema import kind
from labenv.student import Student
from labenv.text import shown

_TOP = {"name", "services", "networks", "x-labenv"}
_SERVICE = {"image", "hostname", "networks", "ports", "profiles", "x-labenv"}
_LIMITS = {"mem_limit", "pids_limit", "cpu_shares", "storage_opt", "tmpfs"}
_NETWORK = {"driver", "driver_opts", "ipam", "x-labenv"}
_LINKS = ipaddress.IPv4Network("198.18.0.0/15")  # RFC 2544: the range of an environment's additional networks
_PORT = re.compile(r"127\.0\.0\.1::(\d+)(?:/(tcp|udp))?")
_SIZE = re.compile(r"(\d+)(?:([kmg])b?|b)?", re.IGNORECASE)
_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_LEAST_MEMORY = 64 << 20  # systemd and the services of a machine take up to 40 MiB
_VARIABLE = re.compile(r"\$\{(\w+)\}")

# Each environment publishes on its own ten ports, so that a mail client's settings survive `down` and `up`.
_FIRST_PORT = 20000
_PORTS_EACH = 10


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
class Node:
    """A machine of the topology: name, fully qualified host name, address, image folder, published ports.

    `network` is the name of the network that has the address. A machine with a `profile` exists only if that profile is
    requested. `addresses` are additional ones that the machine assigns to itself.
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


@dataclass(frozen=True)
class Network:
    """A network of an environment. The student's own has no `name`; `options` are its driver options.

    `joined_by` are machines of another network and the address that each gets here; they join when the network is created.
    """

    name: str
    subnet: str
    gateway: str
    options: dict[str, str]
    joined_by: dict[str, str]


@dataclass(frozen=True)
class Topology:
    """A topology filled in for one student. The first of its networks is the student's own, 192.168.X.0/24."""

    nodes: tuple[Node, ...]
    networks: tuple[Network, ...]

    def with_profiles(self, profiles: Collection[str]) -> "Topology":
        """The topology without the machines whose profile is not among these, and without their networks.

        Raises UsageError, which lists the profiles, for one that no machine has.
        """
        known = sorted({node.profile for node in self.nodes if node.profile})
        for profile in profiles:
            if profile not in known:
                has = f"The profiles are: {', '.join(known)}." if known else "It has no profiles."
                raise UsageError(f"The topology has no machine with the profile '{profile}'. {has}")
        nodes = tuple(node for node in self.nodes if not node.profile or node.profile in profiles)
        used = {node.network for node in nodes}
        return replace(self, nodes=nodes, networks=tuple(n for n in self.networks if n.name in used))

    def published(self, node: Node, x: int, shift: int = 0) -> dict[str, int]:
        """The ports on 127.0.0.1 for a node's published ports: fixed by X, or `shift` blocks further on."""
        return {port.key: port_at(x, port.index, shift) for port in node.ports}


def port_at(x: int, index: int, shift: int = 0) -> int:
    """The port on 127.0.0.1 at place `index` of an environment's ten, or of the ten `shift` blocks further on."""
    return _FIRST_PORT + _PORTS_EACH * (x + 256 * shift) + index


def names() -> list[str]:
    """The topologies that labenv ships."""
    return sorted(path.stem for path in resources.topologies().glob("*.yaml"))


def named(name: str) -> Path:
    """The file of the topology `name` that labenv ships."""
    return resources.topologies() / f"{name}.yaml"


def load(path: Path, student: Student) -> Topology:
    """Read a topology for `student`.

    Raises UsageError, which names file and key, for what cannot be read, is unknown, or does not fit the student's network.
    """
    values = {"STUDENT": student.id, "DOMAIN": student.domain, "PREFIX": student.prefix, "X": str(student.x)}
    tree = _mapping(_parse(path), f"{path}", _TOP)
    _mapping(tree.get("x-labenv"), f"{path}: x-labenv", {"lab"})  # for the reader: a lab names its topology
    services = _filled(_mapping(tree.get("services"), f"{path}: services"), values, path)
    networks = _networks(_filled(_mapping(tree.get("networks"), f"{path}: networks"), values, path), path, student)
    return Topology(_nodes(services, path, networks), tuple(networks.values()))


def _parse(path: Path) -> Any:
    try:
        return resources.read_yaml(path)
    except OSError as error:
        raise UsageError(f"The topology {path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise UsageError(
            f"{path} is not valid YAML: {' '.join(str(error).split())}. Fix that place and try again."
        ) from error


def _mapping(value: Any, where: str, known: set[str] | None = None) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{where}: expected a mapping, found {kind(value)}.")
    for key in value:
        if not isinstance(key, str):
            raise UsageError(f"{where}: the key '{key}' is {kind(key)}, not text. Put it in quotes.")
        if known is not None and key not in known:
            raise UsageError(
                f"{where}: labenv does not support the key '{shown(key)}' here. Remove it, or use one of: {', '.join(sorted(known))}."
            )
    return value


def _filled(value: Any, values: dict[str, str], path: Path) -> Any:
    if isinstance(value, dict):
        return {key: _filled(inner, values, path) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, values, path) for inner in value]
    if isinstance(value, str):
        for name in _VARIABLE.findall(value):
            if name not in values:
                raise UsageError(
                    f"{path}: the variable ${{{name}}} is unknown. The variables are: {', '.join(sorted(values))}."
                )
        return _VARIABLE.sub(lambda match: values[match[1]], value)
    return value


def _networks(tree: dict[str, Any], path: Path, student: Student) -> dict[str, Network]:
    """The networks by the names that the file has for them."""
    networks: dict[str, Network] = {}
    for name, raw in tree.items():
        where = f"{path}: networks.{name}"
        subnet = _subnet(_mapping(raw, where, _NETWORK), where)
        if not networks and subnet != str(student.network):
            raise UsageError(
                f"{where}: the subnet {subnet} is not the student's network {student.network}: write ${{PREFIX}}.0/24."
            )
        if networks and not ipaddress.IPv4Network(subnet).subnet_of(_LINKS):
            raise UsageError(f"{where}: the subnet {subnet} of an additional network is not in {_LINKS}.")
        networks[name] = _network(name if networks else "", raw, where)
    if not networks:
        raise UsageError(f"{path}: networks: the student's network is missing: the subnet ${{PREFIX}}.0/24.")
    return networks


def _subnet(network: dict[str, Any], where: str) -> str:
    """The subnet of the one pool of addresses that a network has."""
    ipam = _mapping(network.get("ipam"), f"{where}.ipam", {"config"})
    config = ipam.get("config")
    if not isinstance(config, list) or len(config) != 1:
        raise UsageError(f"{where}.ipam.config: expected a list with exactly one subnet and its gateway.")
    subnet = str(_mapping(config[0], f"{where}.ipam.config", {"subnet", "gateway"}).get("subnet"))
    try:
        return str(ipaddress.IPv4Network(subnet))
    except ValueError as error:
        raise UsageError(f"{where}.ipam.config: {subnet} is not an IPv4 network ({error}).") from error


def _network(name: str, network: dict[str, Any], where: str) -> Network:
    if network.get("driver", "bridge") != "bridge":
        raise UsageError(f"{where}.driver: only 'bridge' is supported, not '{network['driver']}'.")
    subnet, gateway = _subnet(network, where), str(network["ipam"]["config"][0].get("gateway"))
    _inside(gateway, subnet, f"{where}: the gateway")
    options = _mapping(network.get("driver_opts") or {}, f"{where}.driver_opts")
    extra = _mapping(network.get("x-labenv") or {}, f"{where}.x-labenv", {"joined_by"})
    joined_by = _mapping(extra.get("joined_by") or {}, f"{where}.x-labenv.joined_by")
    for machine, address in joined_by.items():
        _inside(str(address), subnet, f"{where}: the address of {machine}")
    return Network(
        name, subnet, gateway, {k: str(v) for k, v in options.items()}, {k: str(v) for k, v in joined_by.items()}
    )


def _nodes(services: dict[str, Any], path: Path, networks: dict[str, Network]) -> tuple[Node, ...]:
    nodes: list[Node] = []
    numbers: dict[tuple[str, int], int] = {}
    for name, raw in services.items():
        where = f"{path}: services.{name}"
        if not re.fullmatch(r"[a-z][a-z0-9]*", name):
            raise UsageError(f"{where}: a machine's name must begin with a letter and contain only a-z and 0-9.")
        service = _mapping(raw, where, _SERVICE | _LIMITS)
        for key in ("image", "hostname", "networks"):
            if key not in service:
                raise UsageError(f"{where}: the key '{key}' is missing.")
        network, address = _attached(service["networks"], networks, f"{where}.networks")
        extra = _mapping(service.get("x-labenv") or {}, f"{where}.x-labenv", {"systemd", "addresses"})
        nodes.append(
            Node(
                name,
                str(service["hostname"]),
                address,
                str(service["image"]),
                tuple(_ports(name, service.get("ports") or [], numbers, f"{where}.ports")),
                network.name,
                _profile(service.get("profiles") or [], f"{where}.profiles"),
                bool(extra.get("systemd", True)),
                tuple(str(address) for address in extra.get("addresses") or []),
                _limits(service, where),
            )
        )
        if network.name and not nodes[-1].profile:
            raise UsageError(f"{where}: a machine without a profile must be on the student's own network.")
    if len(numbers) > _PORTS_EACH:
        raise UsageError(
            f"{path}: {len(numbers)} ports are published, but an environment has only {_PORTS_EACH}. Remove some."
        )
    joined_by = [joining for network in networks.values() for joining in network.joined_by.items()]
    addresses = [*(node.address for node in nodes), *(address for _, address in joined_by)]
    twice = {address for address in addresses if addresses.count(address) > 1}
    if twice:
        raise UsageError(f"{path}: the address {twice.pop()} is given to two machines.")
    strangers = {name for name, _ in joined_by} - {node.name for node in nodes}
    if strangers:
        raise UsageError(f"{path}: networks: '{strangers.pop()}' joins a network, but there is no such machine.")
    return tuple(nodes)


def _limits(service: dict[str, Any], where: str) -> Limits:
    """The limits that a service sets, and the usual ones for the rest."""
    found: dict[str, int] = {}
    if "mem_limit" in service:
        found["memory"] = _size(service["mem_limit"], f"{where}.mem_limit")
        if found["memory"] < _LEAST_MEMORY:
            raise UsageError(f"{where}.mem_limit: a machine needs at least {_LEAST_MEMORY >> 20}m.")
    for key, field in (("pids_limit", "pids"), ("cpu_shares", "cpu_shares")):
        if key in service:
            found[field] = _size(service[key], f"{where}.{key}")
    if "storage_opt" in service:
        option = _mapping(service["storage_opt"], f"{where}.storage_opt", {"size"})
        found["disk"] = _size(option.get("size"), f"{where}.storage_opt.size")
    if "tmpfs" in service:
        [text] = service["tmpfs"] if isinstance(service["tmpfs"], list) and len(service["tmpfs"]) == 1 else [""]
        path, _, size = str(text).partition(":size=")
        if path != "/run" or not size:
            raise UsageError(f"{where}.tmpfs: expected a list with the size of /run, such as [/run:size=64m].")
        found["run"] = _size(size, f"{where}.tmpfs")
    return Limits(**found)


def _size(value: Any, where: str) -> int:
    """A number, or a size as Compose writes it (512m, 1gb). Raises UsageError for anything else, and for none at all."""
    match = _SIZE.fullmatch(str(value))
    size = int(match[1]) * _UNITS.get((match[2] or "").lower(), 1) if match and not isinstance(value, bool) else 0
    if not 0 < size < 1 << 63:
        raise UsageError(f"{where}: '{value}' is not a limit. Write a number above 0, or a size such as 512m or 1g.")
    return size


def _attached(tree: Any, networks: dict[str, Network], where: str) -> tuple[Network, str]:
    attached = _mapping(tree, where, set(networks))
    if len(attached) != 1:
        raise UsageError(f"{where}: expected exactly one network for a machine, found {len(attached)}.")
    [(name, raw)] = attached.items()
    address = str(_mapping(raw, f"{where}.{name}", {"ipv4_address"}).get("ipv4_address"))
    _inside(address, networks[name].subnet, f"{where}.{name}: the address")
    return networks[name], address


def _profile(profiles: Any, where: str) -> str:
    if not isinstance(profiles, list) or len(profiles) > 1:
        raise UsageError(f"{where}: expected a list with one profile.")
    return str(profiles[0]) if profiles else ""


def _ports(name: str, texts: list[Any], numbers: dict[tuple[str, int], int], where: str) -> Iterator[Port]:
    for text in texts:
        match = _PORT.fullmatch(str(text))
        if not match:
            raise UsageError(f"{where}: '{text}' is not supported; write 127.0.0.1::PORT or 127.0.0.1::PORT/udp.")
        number = int(match[1])
        # One number here for both protocols of a port, as DNS clients expect.
        index = numbers.setdefault((name, number), len(numbers))
        yield Port(number, match[2] or "tcp", index)


def _inside(address: str, subnet: str, what: str) -> None:
    try:
        if ipaddress.IPv4Address(address) in ipaddress.IPv4Network(subnet):
            return
    except ValueError:
        pass
    raise UsageError(f"{what} {address} is not in {subnet}.")
