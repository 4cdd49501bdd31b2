"""Postfix's match lists, such as mynetworks and mydestination, and what they say about a name or a client.

The first pattern that fits decides, and `!` before it excludes (postconf(5), mynetworks). A pattern is a name, an address, a
network, a file with more patterns, or a table.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from labenv.checks.evidence import CheckFailed
from labenv.checks.machine import Machine
from labenv.mail.settings import words
from labenv.mail.tables import is_table, look_up

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_parsed = lru_cache(1024)(ipaddress.ip_address)
_DEEPEST = 4  # files in files
# Postfix tries to read a word as a network only if it has no other characters; it passes over anything else without a word.
_OF_NETWORKS = re.compile(r"[0-9a-fA-F.:\[\]/]+")


class BadNetworkError(Exception):
    """A word that Postfix refuses when it compares an address with it: it answers "Temporary lookup failure"."""


@dataclass(frozen=True)
class Pattern:
    """One member of a list, without its `!`."""

    text: str
    excludes: bool = False

    def __str__(self) -> str:
        """As it is written."""
        return f"{'!' if self.excludes else ''}{self.text}"


@dataclass(frozen=True)
class Client:
    """Who connects: the address, and the name that the DNS has for it, or nothing."""

    address: str
    name: str = ""

    @property
    def keys(self) -> list[str]:
        """What Postfix asks a table for: name, parent domains, address."""
        parts = self.name.split(".") if self.name else []
        return [".".join(parts[start:]) for start in range(len(parts))] + [self.address]


class MatchList:
    """A list, for questions about `keys`: a table is asked once, for all of them.

    Raises CheckFailed if a file of the list cannot be read or, when it decides, a table cannot be opened.
    """

    def __init__(self, machine: Machine, value: str, keys: Iterable[str]) -> None:
        """Read the list, with its files."""
        self.patterns = list(_read(machine, value, 0))
        self._machine = machine
        self._keys = sorted(set(keys))
        self._answers: dict[str, set[str]] = {}

    def has_name(self, name: str) -> bool:
        """Whether the list has this name, as mydestination is compared: whole, the case folded."""
        decides = self._first(lambda pattern: pattern.text.lower() == name.lower() or self._in_table(pattern, [name]))
        return decides is not None and not decides.excludes

    def decides(self, client: Client) -> Pattern | None:
        """The pattern that decides about a client, as mynetworks is compared. Raises BadNetworkError."""
        return self._first(lambda pattern: self._in_table(pattern, client.keys) or _fits(pattern.text, client))

    def _first(self, fits: Callable[[Pattern], bool]) -> Pattern | None:
        return next(filter(fits, self.patterns), None)

    def _in_table(self, pattern: Pattern, keys: Iterable[str]) -> bool:
        if not is_table(pattern.text):
            return False
        if pattern.text not in self._answers:
            self._answers[pattern.text] = set(look_up(self._machine, pattern.text, self._keys))
        return not self._answers[pattern.text].isdisjoint(keys)


@lru_cache(1024)  # the checks ask for the same word with each address of the lab
def network(text: str) -> Network | None:
    """The network that a word means, None if Postfix does not take it for one. Raises BadNetworkError as Postfix warns.

    The number of bits belongs to it unless it is one address, and the bits after them must be 0 (postconf(5), mynetworks).
    """
    if not _OF_NETWORKS.fullmatch(text) or not re.search(r"[/:]|^[\d.]+$", text):
        return None
    address, slash, mask = text.replace("[", "").replace("]", "").partition("/")
    try:
        whole = _parsed(address)
    except ValueError:
        if not slash:  # digits and dots that are no address: a name, for Postfix
            return None
        raise BadNetworkError(f"{address} is not an address") from None
    if slash and not (mask.isdigit() and int(mask) <= whole.max_prefixlen):
        said = "a mask in dots" if "." in mask else f"/{mask}"
        raise BadNetworkError(f"it has {said}, where Postfix needs a mask's number of bits, such as /24")
    meant = ipaddress.ip_network(f"{address}/{mask or whole.max_prefixlen}", strict=False)
    if meant.network_address != whole:
        raise BadNetworkError(f"it has host bits that are not 0; the network is {meant}")
    return meant


def _read(machine: Machine, value: str, depth: int) -> Iterator[Pattern]:
    for word in words(value):
        text = word.lstrip("!")
        excludes = (len(word) - len(text)) % 2 == 1
        if not text.startswith("/"):
            yield Pattern(text, excludes)
            continue
        if depth == _DEEPEST:
            raise CheckFailed(f"{text} on {machine.name} is read by a file that it reads itself", "patterns")
        read = machine.run("head -c 65536 %s", text)
        if read.rc:
            raise CheckFailed(
                f"Postfix on {machine.name} cannot read {text}, which a list names", "a file with patterns"
            )
        lines = read.stdout.splitlines()
        inside = " ".join(line for line in lines if not line.lstrip().startswith("#"))
        for pattern in _read(machine, inside, depth + 1):
            yield Pattern(pattern.text, pattern.excludes != excludes)


def _fits(text: str, client: Client) -> bool:
    there = _parsed(client.address)
    if there == _address(text):
        return True
    meant = network(text) if (":" in text) == (there.version == 6) else None
    if meant:
        return there in meant
    # mynetworks is in the default of parent_domain_matches_subdomains: a domain stands for all names below it.
    return bool(client.name) and f".{client.name}".lower().endswith(f".{text.lstrip('.').lower()}")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return _parsed(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
