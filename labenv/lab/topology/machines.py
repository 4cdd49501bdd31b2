"""The machines of a topology: the services of its Compose file."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from labenv.errors import UsageError
from labenv.lab.model import answer_of, file_of
from labenv.lab.topology.compose import Entry, Tree, filled, listed, mapping
from labenv.lab.topology.networks import inside
from labenv.lab.topology.records import DESKTOP, PORTS_EACH, Limits, Network, Node, Own, Port

_SERVICE = {"image", "hostname", "networks", "ports", "profiles", "x-labenv"}
_LIMITS = {"mem_limit", "pids_limit", "cpu_shares", "storage_opt", "tmpfs"}
_EXTRA = {"systemd", "addresses", "since", "desktop", "files", "answers"}
_ANSWERS = {"banner", "dns", "http", "tls", "command"}  # kinds of labenv.lab.model.Answer
_DESKTOPS = (DESKTOP, "browser")  # images of desktops: the second has Firefox besides
_RESERVED = ("desktop", "screen")  # containers of the desktop
_HOSTNAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_PORT = re.compile(r"127\.0\.0\.1::(\d+)(?:/(tcp|udp))?")
_SIZE = re.compile(r"(\d+)(?:([kmg])b?|b)?", re.IGNORECASE)
_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_LEAST_MEMORY = 64 << 20  # systemd and the services of a machine take up to 40 MiB


def read(
    tree: Tree, values: dict[str, str], networks: dict[str, Network], file: Path
) -> tuple[tuple[Node, ...], tuple[Network, ...]]:
    """The machines, and the networks with the machines that join them. Raises UsageError, which names file and key."""
    nodes: list[Node] = []
    numbers: dict[tuple[str, int], int] = {}
    joining: dict[str, dict[str, str]] = {name: dict(network.joined_by) for name, network in networks.items()}
    for name, entry in tree.services.items():
        node, further = _node(name, entry, values, networks, numbers)
        nodes.append(node)
        for network, address in further.items():
            if name in joining[network]:
                raise UsageError(f"{entry.where}.networks.{network}: the network says already that {name} joins it.")
            joining[network][name] = address
    if len(numbers) > PORTS_EACH:
        raise UsageError(
            f"{file}: services: {len(numbers)} ports are published, but an environment has only {PORTS_EACH}. Remove some."
        )
    joined = {name: replace(network, joined_by=joining[name]) for name, network in networks.items()}
    _refuse_strangers(nodes, joined, tree)
    return tuple(nodes), tuple(joined.values())


def _refuse_strangers(nodes: list[Node], networks: dict[str, Network], tree: Tree) -> None:
    """Raise UsageError for an address that is given twice, and for a machine or a profile that is named but not there."""
    known = {node.name: node for node in nodes}
    for name, network in networks.items():
        for stranger in network.joined_by.keys() - known.keys():
            raise UsageError(f"{tree.networks[name].where}: '{stranger}' joins it, but there is no such machine.")
    has: dict[str, str] = {network.gateway: f"the gateway of {name}" for name, network in networks.items()}
    joinings = [joining for network in networks.values() for joining in network.joined_by.items()]
    for name, address in [*((node.name, node.address) for node in nodes), *joinings]:
        if address in has:
            raise UsageError(
                f"{tree.services[name].where}.networks: the address {address} is given to two: {has[address]} and {name}. Give "
                f"one of them another."
            )
        has[address] = name
    desks = [node.name for node in nodes if node.desktop is not None]
    if len(desks) > 1:
        where = tree.services[desks[1]].where
        raise UsageError(f"{where}: {desks[0]} and {desks[1]} both have the desktop. Only one machine can.")
    profiles = {node.profile for node in nodes if node.profile}
    for name in desks:
        for profile in known[name].desktop or ():
            if profile not in profiles:
                where = tree.services[name].where
                raise UsageError(f"{where}.x-labenv.desktop: no machine has the profile '{profile}'.")


def _node(
    name: str, entry: Entry, values: dict[str, str], networks: dict[str, Network], numbers: dict[tuple[str, int], int]
) -> tuple[Node, dict[str, str]]:
    """A machine, and its addresses on further networks."""
    where = entry.where
    if not re.fullmatch(r"[a-z][a-z0-9]*", name):
        raise UsageError(f"{where}: a machine's name must begin with a letter and contain only a-z and 0-9.")
    if name in _RESERVED:
        raise UsageError(f"{where}: labenv itself has a container of that name. Choose another name.")
    service = mapping(filled(entry.tree, values, where), where, _SERVICE | _LIMITS)
    for key in ("image", "hostname", "networks"):
        if key not in service:
            raise UsageError(f"{where}: the key '{key}' is missing.")
    if not _HOSTNAME.fullmatch(str(service["hostname"])):
        raise UsageError(
            f"{where}.hostname: expected a host name of letters, digits, '-' and '.', such as {name}.${{DOMAIN}}."
        )
    (network, address), *further = _attached(service["networks"], networks, f"{where}.networks")
    extra = mapping(service.get("x-labenv") or {}, f"{where}.x-labenv", _EXTRA)
    node = Node(
        name,
        str(service["hostname"]),
        address,
        str(service["image"]),
        tuple(_ports(name, listed(service.get("ports") or [], f"{where}.ports"), numbers, f"{where}.ports")),
        networks[network].name,
        _profile(service.get("profiles") or [], f"{where}.profiles"),
        bool(extra.get("systemd", True)),
        tuple(str(address) for address in extra.get("addresses") or []),
        _limits(service, where),
        tuple(networks[other].name for other, _ in further),
        _stage(extra.get("since", ""), f"{where}.x-labenv.since"),
        *_desktop(extra.get("desktop", False), f"{where}.x-labenv.desktop"),
        _own(name, extra, entry),
    )
    return node, dict(further)


def _attached(tree: Any, networks: dict[str, Network], where: str) -> list[tuple[str, str]]:
    """The networks of a machine, its own first, each with its address there."""
    attached = mapping(tree, where)
    if not attached:
        raise UsageError(f"{where}: a machine needs a network. The networks are: {', '.join(networks)}.")
    found = []
    for name, raw in attached.items():
        if name not in networks:
            raise UsageError(f"{where}: there is no network '{name}'. The networks are: {', '.join(networks)}.")
        address = str(mapping(raw, f"{where}.{name}", {"ipv4_address"}).get("ipv4_address"))
        inside(address, networks[name].subnet, f"{where}.{name}: the address")
        found.append((name, address))
    return found


def _profile(profiles: Any, where: str) -> str:
    if not isinstance(profiles, list) or len(profiles) > 1:
        raise UsageError(f"{where}: expected a list with one profile.")
    return str(profiles[0]) if profiles else ""


def _stage(since: Any, where: str) -> str:
    if not isinstance(since, str):
        raise UsageError(f"{where}: expected the name of a stage.")
    return since


def _desktop(value: Any, where: str) -> tuple[tuple[str, ...] | None, str]:
    """The profiles that the machine's desktop needs, None for a machine without a desktop; and the desktop's image."""
    if isinstance(value, bool):
        return () if value else None, DESKTOP
    given = mapping(value, where, {"profiles", "image"})
    image = given.get("image", DESKTOP)
    if image not in _DESKTOPS:
        raise UsageError(f"{where}.image: expected {' or '.join(_DESKTOPS)}.")
    return tuple(map(str, listed(given.get("profiles", []), f"{where}.profiles"))), image


def _own(name: str, extra: dict[str, Any], entry: Entry) -> Own | None:
    """The files and answers that the topology brings for a machine; their paths and templates are filled in later."""
    raw = entry.tree.get("x-labenv") or {}  # as written: ${…} is no variable in a path
    if not {"files", "answers"} & set(extra):
        return None
    where = f"{entry.where}.x-labenv"
    templates = entry.file.parent / "templates"
    files = []
    for place, given in enumerate(listed(raw.get("files", []), f"{where}.files"), 1):
        at = f"{where}.files: number {place}"
        file = mapping(given, at, {"path", "template", "link", "mode"})
        if not str(file.get("path", "")).startswith("/") or ("template" in file) == ("link" in file):
            raise UsageError(f"{at}: expected an absolute path, and either a template or a link.")
        template = Path(str(file.get("template", "")))
        if "template" in file and (".." in template.parts or not (templates / template).is_file()):
            raise UsageError(f"{at}: there is no template {file['template']} in {templates}.")
        try:
            files.append(file_of(file, ""))
        except (TypeError, ValueError) as error:
            raise UsageError(f'{at}: its mode is not in octal, in quotes, as "0600" is.') from error
    answers = []
    for place, given in enumerate(listed(raw.get("answers", []), f"{where}.answers"), 1):
        at = f"{where}.answers: number {place}"
        kinds = _ANSWERS & set(mapping(given, at, _ANSWERS | {"port"}))
        if len(kinds) != 1 or (kinds != {"command"} and not isinstance(given.get("port"), int)):
            raise UsageError(
                f"{at}: expected a port and one of {', '.join(sorted(_ANSWERS))}; a command needs no port."
            )
        answers.append(answer_of(given | {"machine": name}, ""))
    return Own(templates, tuple(files), tuple(answers))


def _ports(name: str, texts: list[Any], numbers: dict[tuple[str, int], int], where: str) -> Iterator[Port]:
    for text in texts:
        match = _PORT.fullmatch(str(text))
        if not match:
            raise UsageError(f"{where}: '{text}' is not supported; write 127.0.0.1::PORT or 127.0.0.1::PORT/udp.")
        number = int(match[1])
        # One number here for both protocols of a port, as DNS clients expect.
        index = numbers.setdefault((name, number), len(numbers))
        yield Port(number, match[2] or "tcp", index)


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
        option = mapping(service["storage_opt"], f"{where}.storage_opt", {"size"})
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
