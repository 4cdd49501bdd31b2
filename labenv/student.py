"""Who an environment is made for, and what follows from that: domain, network, addresses.

The course gives each student a domain named after their id and the network 192.168.X.0/24. All input here is
untrusted: it ends up in zone files, shell lines and servers' tables, so only a DNS label is accepted.
"""

import hashlib
import ipaddress
import re
import secrets
from dataclasses import dataclass
from functools import cache

from labenv import resources
from labenv.errors import UsageError

# RFC 1123 section 2.1 and RFC 1035 section 2.3.4 allow 63 octets a label. A login name (useradd(8)) ends at 32,
# and the id is both.
_LABEL = re.compile(r"[a-z](?:[a-z0-9-]{0,30}[a-z0-9])?")
_LONGEST = 32

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # without the look-alikes l, o, 0, 1


@dataclass(frozen=True)
class Student:
    """A student: `id` (the domain is `<id>.ops`), `x` (the network is 192.168.x.0/24), `first` name, lab password.

    `link` is the number of their link to the world outside; None if it is that of x.
    """

    id: str
    x: int
    first: str
    password: str
    link: int | None = None

    @property
    def domain(self) -> str:
        """The student's domain: `Student("asmith15", …).domain == "asmith15.ops"`."""
        return f"{self.id}.ops"

    @property
    def prefix(self) -> str:
        """The first three octets of the lab network: `"192.168.90"`."""
        return f"192.168.{self.x}"

    @property
    def wan(self) -> str:
        """The first three octets of the link to the world outside: `"198.18.90"`. There are 512 in its block (RFC 2544)."""
        link = self.x if self.link is None else self.link
        return f"198.{18 + (link >> 8)}.{link & 255}"

    @property
    def network(self) -> ipaddress.IPv4Network:
        """The lab network, 192.168.X.0/24 (sheet; facts 1.1)."""
        return ipaddress.IPv4Network(f"{self.prefix}.0/24")


def check_id(text: str) -> str:
    """Return `text` if it is a valid student id.

    Raises UsageError, in words, for anything but a lower-case DNS label (RFC 1123) of at most 32 characters.
    """
    return _check_name(text, "student id")


def check_first(text: str, student_id: str) -> str:
    """Return `text` if it is valid as the name of a student's second account.

    Raises UsageError if it is not a lower-case name or equals the id: labs tell the two accounts apart.
    """
    name = _check_name(text, "first name")
    if name == student_id:
        raise UsageError(
            f"The first name '{name}' is the same as the student id, but labs need two accounts of a student, which differ. "
            f"Choose another name: --first NAME."
        )
    return name


def check_x(x: int) -> int:
    """Return `x` if 192.168.x.0/24 is a network. Raises UsageError outside 0-255."""
    if not 0 <= x <= 255:
        raise UsageError(f"--net {x} is outside 0-255: X is the third octet of the network 192.168.X.0/24.")
    return x


LINKS = 512  # how many links to the world outside there are in their block


def check_link(link: int | None) -> None:
    """Raise UsageError unless it is the number of a link."""
    if link is not None and not 0 <= link < LINKS:
        raise UsageError(f"{link} is no number of a link to the world outside: these are 0-{LINKS - 1}.")


def derive_x(student_id: str) -> int:
    """The X of a student if none is given: stable, 2-251, from a hash of the id.

    0 and 1 are left out because home routers use them (facts 10.1).
    """
    return 2 + int.from_bytes(hashlib.sha256(student_id.encode()).digest()[:4], "big") % 250


def derive_first(student_id: str) -> str:
    """The first name of a student if none is given: the letters of the id after its initial (`asmith15` → `smith`).

    If the id is too short for that, it is `<id>-first`, so that it never equals the id.
    """
    letters = re.sub(r"[^a-z]", "", student_id[1:])
    if len(letters) >= 3 and letters not in _reserved() and letters != student_id:
        return letters
    return f"{student_id[: _LONGEST - 6].rstrip('-')}-first"


def new_password() -> str:
    """A new lab password: eight characters that are easy to read aloud."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(8))


@cache
def _reserved() -> frozenset[str]:
    """The names that the machines use themselves: a file beside their images has them."""
    lines = (resources.images() / "accounts").read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


def _check_name(text: str, what: str) -> str:
    if not text:
        raise UsageError(f"The {what} is empty. Use a name such as 'asmith15': lower-case letters, digits and hyphens.")
    shown = ascii(text[:40])
    if len(text) > _LONGEST:
        raise UsageError(f"The {what} {shown}... has {len(text)} characters; a login name can have at most {_LONGEST}.")
    if not _LABEL.fullmatch(text):
        raise UsageError(
            f"The {what} {shown} cannot be used: {_reason(text)}. It becomes a DNS name and a login, so it must start with a "
            f"lower-case letter and contain only a-z, 0-9 and inner hyphens, such as 'asmith15'."
        )
    if text in _reserved():
        raise UsageError(f"The {what} {shown} is a system account or a reserved name on the machines. Choose another.")
    return text


def _reason(text: str) -> str:
    if text.isascii() and _LABEL.fullmatch(text.lower()):
        return "it has upper-case letters"
    if not text.isascii():
        return "it has characters outside ASCII"
    if bad := re.search(r"[^A-Za-z0-9-]", text):
        return f"it contains {bad.group()!r}"
    if text.endswith("-"):
        return "it ends with a hyphen"
    return "it does not start with a letter"
