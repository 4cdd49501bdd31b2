"""A topology: which machines a lab has, on which addresses, with which published ports.

It is a Compose file, with `x-labenv` for what Compose has no word for. What labenv does not support it refuses by
name, so that nothing in the file is silently without effect.
"""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from labenv import resources
from labenv.errors import UsageError
from labenv.student import Student

_TOP = {"name", "services", "networks", "x-labenv"}
_SERVICE = {"image", "hostname", "networks", "ports"}
_NETWORK = {"driver", "driver_opts", "ipam"}
_PORT = re.compile(r"127\.0\.0\.1::(\d+)(?:/(tcp|udp))?")
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
class Node:
    """A machine as the topology has it: name, fully qualified host name, address, image folder, published ports."""

    name: str
    fqdn: str
    address: str
    image: str
    ports: tuple[Port, ...]


@dataclass(frozen=True)
class Topology:
    """A topology filled in for one student. `options` are the driver options of its network."""

    lab: str
    nodes: tuple[Node, ...]
    subnet: str
    gateway: str
    options: dict[str, str]

    def published(self, node: Node, x: int, shift: int = 0) -> dict[str, int]:
        """The ports on 127.0.0.1 for a node's published ports: fixed by X, or `shift` blocks further on."""
        return {port.key: port_at(x, port.index, shift) for port in node.ports}


def port_at(x: int, index: int, shift: int = 0) -> int:
    """The port on 127.0.0.1 at place `index` of an environment's ten, or of those `shift` blocks further on."""
    return _FIRST_PORT + _PORTS_EACH * (x + 256 * shift) + index


def named(name: str) -> Path:
    """The file of the topology `name` that labenv ships."""
    return resources.topologies() / f"{name}.yaml"


def load(path: Path, student: Student) -> Topology:
    """Read a topology for `student`.

    Raises UsageError naming file and key for what cannot be read, is unknown, or does not fit the student's network.
    """
    values = {"STUDENT": student.id, "DOMAIN": student.domain, "PREFIX": student.prefix, "X": str(student.x)}
    tree = _mapping(_parse(path), f"{path}", _TOP)
    settings = _mapping(tree.get("x-labenv"), f"{path}: x-labenv", {"lab"})
    services = _filled(_mapping(tree.get("services"), f"{path}: services"), values, path)
    networks = _filled(_mapping(tree.get("networks"), f"{path}: networks"), values, path)
    if len(networks) != 1:
        raise UsageError(f"{path}: networks: a lab has exactly one network; here are {len(networks)}.")
    [(lan, network)] = networks.items()
    subnet, gateway, options = _network(network, f"{path}: networks.{lan}", student)
    nodes = _nodes(services, path, lan, subnet)
    return Topology(str(settings.get("lab", "")), nodes, subnet, gateway, options)


def _parse(path: Path) -> Any:
    try:
        return resources.read_yaml(path)
    except OSError as error:
        raise UsageError(f"The topology {path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} is no YAML: {' '.join(str(error).split())}. Mend that place and try again."
        ) from error


def _mapping(value: Any, where: str, known: set[str] | None = None) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise UsageError(f"{where}: here belong keys with values; found {type(value).__name__}.")
    for key in value:
        if known is not None and key not in known:
            raise UsageError(
                f"{where}: labenv does not support the key '{key}' here. It knows: {', '.join(sorted(known))}. Remove the key."
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
                    f"{path}: the variable ${{{name}}} is unknown. There are: {', '.join(sorted(values))}."
                )
        return _VARIABLE.sub(lambda match: values[match[1]], value)
    return value


def _network(network: Any, where: str, student: Student) -> tuple[str, str, dict[str, str]]:
    network = _mapping(network, where, _NETWORK)
    if network.get("driver", "bridge") != "bridge":
        raise UsageError(f"{where}.driver: only 'bridge' is supported, not '{network['driver']}'.")
    ipam = _mapping(network.get("ipam"), f"{where}.ipam", {"config"})
    config = ipam.get("config")
    if not isinstance(config, list) or len(config) != 1:
        raise UsageError(f"{where}.ipam.config: exactly one subnet with its gateway belongs here.")
    pool = _mapping(config[0], f"{where}.ipam.config", {"subnet", "gateway"})
    subnet, gateway = str(pool.get("subnet")), str(pool.get("gateway"))
    if subnet != str(student.network):
        raise UsageError(
            f"{where}: the subnet {subnet} is not the student's network {student.network}: write ${{PREFIX}}.0/24."
        )
    _inside(gateway, subnet, f"{where}: the gateway")
    options = _mapping(network.get("driver_opts") or {}, f"{where}.driver_opts")
    return subnet, gateway, {key: str(value) for key, value in options.items()}


def _nodes(services: dict[str, Any], path: Path, lan: str, subnet: str) -> tuple[Node, ...]:
    nodes: list[Node] = []
    numbers: dict[tuple[str, int], int] = {}
    for name, raw in services.items():
        where = f"{path}: services.{name}"
        if not re.fullmatch(r"[a-z][a-z0-9]*", name):
            raise UsageError(f"{where}: a machine's name holds only a-z and 0-9, and begins with a letter.")
        service = _mapping(raw, where, _SERVICE)
        for key in ("image", "hostname", "networks"):
            if key not in service:
                raise UsageError(f"{where}: the key '{key}' is missing.")
        attached = _mapping(service["networks"], f"{where}.networks", {lan})
        address = str(_mapping(attached.get(lan), f"{where}.networks.{lan}", {"ipv4_address"}).get("ipv4_address"))
        _inside(address, subnet, f"{where}: the address")
        ports = []
        for text in service.get("ports") or []:
            match = _PORT.fullmatch(str(text))
            if not match:
                raise UsageError(
                    f"{where}.ports: '{text}' is not supported; write 127.0.0.1::PORT or 127.0.0.1::PORT/udp."
                )
            number = int(match[1])
            # One number here for both protocols of a port, as DNS clients expect.
            index = numbers.setdefault((name, number), len(numbers))
            ports.append(Port(number, match[2] or "tcp", index))
        nodes.append(Node(name, str(service["hostname"]), address, str(service["image"]), tuple(ports)))
    if len(numbers) > _PORTS_EACH:
        raise UsageError(
            f"{path}: {len(numbers)} published ports are more than the {_PORTS_EACH} that an environment has."
        )
    twice = {node.address for node in nodes if [other.address for other in nodes].count(node.address) > 1}
    if twice:
        raise UsageError(f"{path}: the address {twice.pop()} is given to two machines.")
    return tuple(nodes)


def _inside(address: str, subnet: str, what: str) -> None:
    try:
        if ipaddress.IPv4Address(address) in ipaddress.IPv4Network(subnet):
            return
    except ValueError:
        pass
    raise UsageError(f"{what} {address} does not lie in {subnet}.")
