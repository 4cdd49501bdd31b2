"""The certificate that a server shows (RFC 5280), read from what it sends: of DER, only what a certificate has."""

import hashlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from labenv.checks.evidence import CheckFailed
from labenv.text import decoded
from labenv.www.calls import HTTPS, Caller, connected

_UTC_TIME, _VERSION, _EXTENSIONS, _DNS_NAME = 0x17, 0xA0, 0xA3, 0x82
_COMMON_NAME, _ALTERNATIVE_NAMES = bytes.fromhex("550403"), bytes.fromhex("551d11")


@dataclass(frozen=True)
class Certificate:
    """`name` is the common name of whom it is for, `names` are the DNS names in it, `fingerprint` its SHA-256."""

    name: str
    issuer: str
    names: tuple[str, ...]
    begins: datetime
    ends: datetime
    is_self_signed: bool
    fingerprint: str

    def is_for(self, site: str) -> bool:
        """Whether a browser takes it for that site: a name in it, or one with a star for the first label (RFC 9525)."""
        wanted = site.lower()
        return any(
            name.lower() == wanted or (name.startswith("*.") and name[2:].lower() == wanted.partition(".")[2])
            for name in self.names
        )

    def is_valid(self, now: datetime) -> bool:
        """Whether its time has begun and has not ended."""
        return self.begins <= now <= self.ends


def served(start: Caller, host: str, *, name: str, port: int = HTTPS) -> Certificate:
    """The certificate that the server at the address `host` shows a client that asks for `name`.

    Raises CheckFailed if it does not speak TLS, or shows none that can be read.
    """
    with connected(start, host, port, name) as connection:
        shown = connection.getpeercert(binary_form=True) if isinstance(connection, ssl.SSLSocket) else None
    if not shown:
        raise CheckFailed(f"{host} port {port} shows {start.name} no certificate", "a certificate")
    try:
        return read(shown)
    except (ValueError, IndexError) as error:
        raise CheckFailed(
            f"{host} port {port} shows {start.name} a certificate that cannot be read", "a certificate"
        ) from error


def read(data: bytes) -> Certificate:
    """A certificate in DER. Raises ValueError, IndexError for anything else."""
    ((_, whole),) = _parts(data)
    (_, content), _, _ = _parts(whole)
    fields = [part for part in _parts(content) if part[0] != _VERSION]
    _, _, (_, issuer), (_, validity), (_, subject) = fields[:5]
    begins, ends = (_time(*part) for part in _parts(validity))
    extensions = [value for tag, value in fields[5:] if tag == _EXTENSIONS]
    return Certificate(
        name=_common_name(subject),
        issuer=_common_name(issuer),
        names=_names(extensions[0]) if extensions else (),
        begins=begins,
        ends=ends,
        is_self_signed=issuer == subject,
        fingerprint=hashlib.sha256(data).hexdigest(),
    )


def _parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The values in a constructed one, each with its tag (X.690, section 8.1)."""
    at = 0
    while at < len(data):
        tag, length, at = data[at], data[at + 1], at + 2
        if length & 0x80:
            octets = length & 0x7F
            length, at = int.from_bytes(data[at : at + octets], "big"), at + octets
        if at + length > len(data):
            raise ValueError("a value is longer than what it is in")
        yield tag, data[at : at + length]
        at += length


def _time(tag: int, value: bytes) -> datetime:
    """A UTCTime, whose years are those from 1950 to 2049, or a GeneralizedTime."""
    text = value.decode("ascii")
    if tag == _UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _common_name(name: bytes) -> str:
    for _, group in _parts(name):
        for _, pair in _parts(group):
            (_, kind), (_, value) = _parts(pair)
            if kind == _COMMON_NAME:
                return decoded(value)
    return ""


def _names(extensions: bytes) -> tuple[str, ...]:
    """The DNS names among the alternative names of the subject."""
    ((_, listed),) = _parts(extensions)
    for _, extension in _parts(listed):
        (_, kind), *_, (_, value) = _parts(extension)
        if kind == _ALTERNATIVE_NAMES:
            ((_, names),) = _parts(value)
            return tuple(decoded(name) for tag, name in _parts(names) if tag == _DNS_NAME)
    return ()
