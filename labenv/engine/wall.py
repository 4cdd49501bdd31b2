"""The wall around the labs: packet filter rules on the engine's computer, so that nothing leaves a lab's networks.

The rules (wall.nft) are tables of labenv's own, so no restart of an engine or of another firewall touches them, and they
touch nobody's. They name labenv's bridges by the beginning of their names: they are loaded once, and hold for every
network to come. Why it is done so: docs/decisions/0006.
"""

import hashlib
import ipaddress
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from labenv.engine import Engine, computer_network
from labenv.engine.recipe import Facts
from labenv.errors import EngineError
from labenv.student import Student

BRIDGE = "com.docker.network.bridge.name"  # the driver option for the name of a network's bridge
_PREFIX = "labenv"  # of the bridges' names, as in wall.nft
_RULES = Path(__file__).with_suffix(".nft").read_text(encoding="utf-8")
_LOADED = "the wall stands"


def bridge(student: Student, network: str) -> str:
    """The name of the bridge of a student's network. A name of an interface has at most 15 bytes (netdevice(7))."""
    ident = hashlib.sha256(f"{student.id}/{student.x}/{network}".encode()).hexdigest()
    return _PREFIX + ident[: 15 - len(_PREFIX)]


def rules() -> str:
    """The rules, as nft(8) reads them."""
    return _RULES.replace("@mark@", _mark())


def stands() -> bool:
    """Whether exactly these rules are loaded in this process's network. Needs no right, and less than a tenth of a millisecond.

    A packet that an output rule drops is an error for who sends it (EPERM).
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial:
        try:
            trial.sendto(b"", ("127.0.0.1", 9))  # another rule may forbid this process any packet
        except OSError:
            return False
        try:
            trial.sendto(b"", (_mark(), 9))
        except PermissionError:
            return True
        except OSError:  # there is no such loopback here
            pass
    return False


def are_here(bridges: Iterable[str]) -> bool:
    """Whether this process shares the engine's network: it sees the bridges."""
    with suppress(OSError):
        return all(socket.if_nametoindex(name) for name in bridges)
    return False


def build(engine: Engine, student: Student, image: str, bridges: Iterable[str]) -> None:
    """Load the rules where the engine is. Raises EngineError if it does not allow that."""
    script = f'nft "$0" && echo {_LOADED}'
    said = computer_network.said(engine, student.id, image, script, [rules()], "building the wall around the labs")
    if said != _LOADED or (are_here(bridges) and not stands()):
        raise EngineError(f"The engine's computer did not take the rules: {said or 'no reason given'}")


def _mark() -> str:
    """An address of this computer's own 127.0.0.0/8 that stands for exactly these rules."""
    return str(ipaddress.IPv4Address(0x7F800000 | int(hashlib.sha256(_RULES.encode()).hexdigest()[:5], 16)))


def by_hand(facts: Facts, sudo: str) -> str:
    """How to load the rules where labenv may not. Podman without root has its networks in a namespace of its own."""
    nft = "podman unshare --rootless-netns nft" if facts.podman and facts.rootless else f"{sudo}nft"
    return f"labenv doctor --rules | {nft} -f -"


def way_in(student_id: str) -> str:
    """How an environment of an earlier version gets inside the wall."""
    return f"To close it, make the network again: labenv save closed -s {student_id}; labenv restore closed -s {student_id}"
