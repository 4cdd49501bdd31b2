"""The networks of a topology: private ones that depend on X, so that no two students' overlap."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, collapse_addresses
from typing import Any

from labenv.errors import UsageError
from labenv.lab.topology.compose import Entry, filled, mapping
from labenv.lab.topology.records import Network

_KEYS = {"driver", "driver_opts", "ipam", "x-labenv"}
# RFC 1918, and the range of tests of networks (RFC 2544). The wall (engine/wall.nft) names the same.
_PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15")))
RESERVED = "screen"  # the network of the desktop's page


def read(entries: dict[str, Entry], values: dict[str, str], x: int) -> dict[str, Network]:
    """The networks by the names that the file has for them; the first is the student's own.

    Raises UsageError, which names file and network.
    """
    found: dict[str, Network] = {}
    for name, entry in entries.items():
        if found and name == RESERVED:
            raise UsageError(f"{entry.where}: labenv itself has a network of that name. Choose another name.")
        found[name] = _network(name, not found, entry, values)
    _refuse_overlaps(entries, {name: IPv4Network(network.subnet) for name, network in found.items()}, values, x)
    return found


def _network(key: str, first: bool, entry: Entry, values: dict[str, str]) -> Network:
    where = entry.where
    network = mapping(filled(entry.tree, values, where), where, _KEYS)
    subnet, gateway = str(_subnet(network, where)), str(network["ipam"]["config"][0].get("gateway"))
    if network.get("driver", "bridge") != "bridge":
        raise UsageError(f"{where}: the driver '{network['driver']}' is not supported; use bridge.")
    inside(gateway, subnet, f"{where}: the gateway")
    options = mapping(network.get("driver_opts") or {}, f"{where}.driver_opts")
    extra = mapping(network.get("x-labenv") or {}, f"{where}.x-labenv", {"joined_by"})
    joined_by = mapping(extra.get("joined_by") or {}, f"{where}.x-labenv.joined_by")
    for machine, address in joined_by.items():
        inside(str(address), subnet, f"{where}: the address of {machine}")
    return Network(
        "" if first else key,
        subnet,
        gateway,
        {k: str(v) for k, v in options.items()},
        {k: str(v) for k, v in joined_by.items()},
        key,
    )


def _subnet(network: dict[str, Any], where: str) -> IPv4Network:
    """The subnet of the one pool of addresses that a network has; a private one."""
    ipam = mapping(network.get("ipam"), f"{where}.ipam", {"config"})
    config = ipam.get("config")
    if not isinstance(config, list) or len(config) != 1:
        raise UsageError(f"{where}.ipam.config: expected a list with exactly one subnet and its gateway.")
    text = str(mapping(config[0], f"{where}.ipam.config", {"subnet", "gateway"}).get("subnet"))
    return _private(text, f"{where}.ipam.config")


def _private(text: str, where: str) -> IPv4Network:
    try:
        subnet = IPv4Network(text)
    except ValueError as error:
        raise UsageError(f"{where}: {text} is not an IPv4 network ({error}).") from error
    if not any(subnet.subnet_of(block) for block in _PRIVATE):
        blocks = ", ".join(map(str, _PRIVATE))
        raise UsageError(f"{where}: the subnet {subnet} is not private. Choose one within {blocks}.")
    return subnet


def _refuse_overlaps(
    entries: dict[str, Entry], subnets: dict[str, IPv4Network], values: dict[str, str], x: int
) -> None:
    """Raise UsageError if two of the networks overlap, for this student or between this one and another.

    The others are the neighbour, who is nearest, and both ends of X, where a number can become too large.
    """
    if sum(1 for _ in collapse_addresses(subnets.values())) < len(subnets):
        _refuse_pairs(entries, subnets)
    elsewhere = "198.19" if values["LINK"].startswith("198.18.") else "198.18"
    for other in {x ^ 1, 0, 255} - {x}:
        for entry in entries.values():
            text = str(entry.tree["ipam"]["config"][0]["subnet"])
            their = {"X": str(other), "PREFIX": f"192.168.{other}", "LINK": f"{elsewhere}.{other}"}
            theirs = filled(text, values | their, entry.where)
            subnet = _private(theirs, f"{entry.where}.ipam.config: with X = {other}")
            if ours := next((own for own in subnets.values() if own.overlaps(subnet)), None):
                raise UsageError(
                    f"{entry.where}: its subnet {text} is not each student's own: {subnet} (X = {other}) overlaps {ours} "
                    f"(X = {x}). Write ${{X}} in it, as in 10.${{X}}.1.0/24, or ${{PREFIX}}.0/24."
                )


def _refuse_pairs(entries: dict[str, Entry], subnets: dict[str, IPv4Network]) -> None:
    names = list(subnets)
    for place, name in enumerate(names):
        for before in names[:place]:
            if subnets[name].overlaps(subnets[before]):
                raise UsageError(
                    f"{entries[name].where}: the subnet {subnets[name]} overlaps {subnets[before]} of the network {before}. "
                    f"Choose another one."
                )


def inside(address: str, subnet: str, what: str) -> None:
    """Raise UsageError unless a machine can have that address in the subnet."""
    network = IPv4Network(subnet)
    try:
        if IPv4Address(address) in network and IPv4Address(address) not in _ends(network):
            return
    except ValueError:
        pass
    raise UsageError(f"{what} {address} is not in {subnet}.")


def _ends(network: IPv4Network) -> Iterable[IPv4Address]:
    """The addresses of the network itself and of all its machines, which no machine can have (RFC 1122, 3.2.1.3)."""
    return (network[0], network[-1]) if network.prefixlen < 31 else ()
