"""Environments with one X side by side: what an engine knows the networks of the later ones by.

The machines of both have the addresses of the sheet (labenv.engine.moves). The engine tells the networks apart by pools of labenv's own
choice, of which there are enough for thousands: its own default has some thirty.
"""

import hashlib
from collections.abc import Iterable
from ipaddress import IPv4Network

from labenv.environment import Pool
from labenv.environments.networks import Takings
from labenv.errors import EngineError
from labenv.lab.topology import Network

# Part of a private block (RFC 1918) that few engines and home networks use; none of these addresses is ever on a wire.
_SPACE = IPv4Network("10.192.0.0/10")


def pools_for(there: Takings, student_id: str, networks: Iterable[Network], *, every: bool = False) -> tuple[Pool, ...]:
    """A free pool for each of these networks whose own addresses are taken, or for `every` one. Raises EngineError if there is none."""
    chosen: list[Pool] = []
    for network in networks:
        own = IPv4Network(network.subnet)
        if every or there.has(own):
            mine = [IPv4Network(pool.there) for pool in chosen]
            chosen.append(
                Pool(network.name, str(free_pool(there, f"{student_id}/{network.name}", own.prefixlen, mine)), str(own))
            )
    return tuple(chosen)


def free_pool(there: Takings, ident: str, prefix: int, mine: Iterable[IPv4Network] = ()) -> IPv4Network:
    """A network of that size whose addresses nobody has, neither there nor among `mine`. Raises EngineError if there is none.

    Where the search begins depends on `ident`, so that environments that come up together do not all want the same.
    """
    taken = [*mine, *(subnet for subnet, _ in there.addresses if subnet.overlaps(_SPACE))]
    count = 1 << max(prefix - _SPACE.prefixlen, 0)
    begin = int.from_bytes(hashlib.sha256(ident.encode()).digest()[:4], "big")
    for step in range(count):
        number = (begin + step) % count
        tried = IPv4Network((int(_SPACE[0]) + (number << (32 - prefix)), prefix))
        if not any(map(tried.overlaps, taken)):
            return tried
    raise EngineError(f"No network of the size /{prefix} is free in {_SPACE}. `labenv doctor` says what uses networks.")
