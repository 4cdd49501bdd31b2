"""Packets as the dialogue that they carry, for a person to read: who says what to whom.

A packet is told if somebody says something in it, asks for a connection, or refuses. One that passes several interfaces of the
machine is told once.
"""

import base64
import binascii
import re
import struct
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from labenv.environments.wire import dns, tls
from labenv.environments.wire.packets import ACK, ICMP, RST, SYN, TCP, UDP, End, Packet, apart
from labenv.text import decoded, many, one_line

_DNS = 53
PORTS = {
    21: "ftp",
    22: "ssh",
    25: "smtp",
    _DNS: "dns",
    80: "http",
    110: "pop3",
    143: "imap",
    443: "https",
    465: "smtps",
    587: "submission",
    993: "imaps",
    995: "pop3s",
}
_PROTOCOLS = {1: "ICMP", 2: "IGMP", 58: "ICMPv6"}
_ICMP = {0: "ICMP echo reply", 8: "ICMP echo request", 11: "ICMP time exceeded"}
_UNREACHABLE = 3
_WHY = {
    0: "network unreachable",
    1: "host unreachable",
    3: "port unreachable",
    9: "prohibited",
    10: "prohibited",
    13: "prohibited",
}
_REMEMBERED = 500  # packets and connections
_SOON = 0.05  # seconds in which a packet passes all interfaces; TCP sends nothing again so soon
_WIDEST = 300  # characters of a line
_LONGEST = 20  # lines of a packet
_SAMPLE = 512  # bytes that tell whether it is text
_CONTROL = bytes({*range(32), 127} - set(b"\t\r\n\x1b"))
# Where base64 is a name and a password, or a part of them (RFC 4954, RFC 9051, RFC 7617).
_PLAIN = re.compile(r"\b(?:AUTH(?:ENTICATE)? +PLAIN|Basic) +([A-Za-z0-9+/]+={0,2})$", re.IGNORECASE)
_BARE = re.compile(r"(?:334 +)?([A-Za-z0-9+/]+={0,2})$")
_ASKS = re.compile(r"(334|\+)( |$)")


@dataclass(frozen=True)
class Turn:
    """What one end says to another, line by line, at a time (seconds since 1970)."""

    time: float
    source: str
    target: str
    lines: tuple[str, ...]


class Dialogue:
    """Tells packets in the order in which they come; `names` are the machines by address."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names
        self._passed: OrderedDict[Hashable, float] = OrderedDict()
        self._encrypted: OrderedDict[Hashable, float] = OrderedDict()  # connections
        self._asked: OrderedDict[Hashable, float] = OrderedDict()  # ends that were asked for a name or a password

    def turn(self, packet: Packet) -> Turn | None:
        """What a packet says; None if it says nothing, or has been told."""
        if self._again(packet):
            return None
        lines = self._lines(packet)
        if not lines:
            return None
        return Turn(packet.time, self._end(packet.source), self._end(packet.target), tuple(lines))

    def _again(self, packet: Packet) -> bool:
        ends = (packet.source, packet.target)
        key = (*ends, packet.protocol, packet.ident, packet.sequence, packet.flags, packet.payload[:_SAMPLE])
        before = self._passed.get(key)
        _remember(self._passed, key, packet.time)
        return before is not None and packet.time - before < _SOON

    def _end(self, end: End) -> str:
        name = self._names.get(end.address, end.address)
        return f"{name}:{PORTS.get(end.port, end.port)}" if end.port else name

    def _lines(self, packet: Packet) -> list[str]:
        if packet.protocol == TCP:
            return self._tcp(packet)
        if packet.protocol == UDP:
            told = dns.told(packet.payload) if _DNS in (packet.source.port, packet.target.port) else ""
            return [told or f"{len(packet.payload)} bytes"]
        if packet.protocol == ICMP and len(packet.payload) >= 2:
            return [self._icmp(packet)]
        return [f"{_PROTOCOLS.get(packet.protocol, f'IP protocol {packet.protocol}')}, {len(packet.payload)} bytes"]

    def _icmp(self, packet: Packet) -> str:
        kind, code = packet.payload[:2]
        if kind != _UNREACHABLE:
            return _ICMP.get(kind, f"ICMP type {kind}")
        why = f"ICMP {_WHY.get(code, f'unreachable, code {code}')}"
        try:
            about = apart(packet.time, packet.payload[8:])
        except (struct.error, IndexError):  # it may quote eight bytes of TCP only (RFC 792)
            about = None
        return f"{why}, about {self._end(about.source)} → {self._end(about.target)}" if about else why

    def _tcp(self, packet: Packet) -> list[str]:
        if packet.flags & SYN and not packet.flags & ACK:
            return ["asks for a connection (SYN)"]
        if packet.flags & RST:
            return ["refuses, or breaks the connection (RST)"]
        return self._said(packet) if packet.payload else []

    def _said(self, packet: Packet) -> list[str]:
        both = frozenset((packet.source, packet.target))
        if found := tls.records(packet.payload):
            _remember(self._encrypted, both, packet.time)
            return found
        if both in self._encrypted:
            return [f"TLS, {len(packet.payload)} bytes more of it"]
        if _DNS in (packet.source.port, packet.target.port) and (told := dns.told(packet.payload[2:])):
            return [told]
        if not _is_text(packet.payload):
            return [f"{len(packet.payload)} bytes that are no text"]
        return self._text(packet)

    def _text(self, packet: Packet) -> list[str]:
        was_asked = self._asked.pop(packet.source, None) is not None
        lines = [one_line(line.rstrip("\r")) for line in decoded(packet.payload).strip("\n").split("\n")]
        if _ASKS.match(lines[-1]):
            _remember(self._asked, packet.target, packet.time)
        shown = [_cut(line) + _unpacked(line, was_asked=was_asked) for line in lines[:_LONGEST]]
        rest = len(lines) - _LONGEST
        return [*shown, f"… {many(rest, 'line')} more"] if rest > 0 else shown


def _remember(kept: OrderedDict[Hashable, float], key: Hashable, time: float) -> None:
    kept[key] = time
    kept.move_to_end(key)
    while len(kept) > _REMEMBERED:
        kept.popitem(last=False)


def _is_text(payload: bytes) -> bool:
    sample = payload[:_SAMPLE]
    return len(sample.translate(None, _CONTROL)) >= 0.95 * len(sample)


def _cut(line: str) -> str:
    return line if len(line) <= _WIDEST else f"{line[: _WIDEST - 1]}…"


def _unpacked(line: str, *, was_asked: bool) -> str:
    """What base64 in a line says, for the end of the line, where it is about a login; else nothing."""
    found = _PLAIN.search(line) or (_BARE.match(line) if was_asked or line.startswith("334 ") else None)
    if not found:
        return ""
    try:
        text = base64.b64decode(found[1], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
    if len(parts := text.split("\0")) == 3:  # RFC 4616
        return _cut(one_line(f"  (that is user {parts[1]}, password {parts[2]})"))
    if ":" in text and found.re is _PLAIN:
        user, _, password = text.partition(":")
        return _cut(one_line(f"  (that is user {user}, password {password})"))
    return _cut(one_line(f"  (that is {text})"))
