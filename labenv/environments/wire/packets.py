"""A packet as two ends and what one said to the other. Whatever sent it may have sent any bytes: what cannot be is no packet."""

import ipaddress
import struct
from dataclasses import dataclass

from labenv.engine.pcap import Record

TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58
SYN, RST, ACK = 0x02, 0x04, 0x10
_IP4, _IP6 = 0x0800, 0x86DD
_COOKED = 20  # bytes of the link's header


@dataclass(frozen=True)
class End:
    """One end of a packet: an address, and a port of it unless it is 0."""

    address: str
    port: int = 0


@dataclass(frozen=True)
class Packet:
    """A packet: when (seconds since 1970), who sent it to whom, by which protocol (as IP numbers them), and what it carries.

    `flags` and `sequence` are TCP's, `ident` is the number that the sender gave it.
    """

    time: float
    source: End
    target: End
    protocol: int
    payload: bytes
    flags: int = 0
    sequence: int = 0
    ident: int = 0


def packet(record: Record) -> Packet | None:
    """The IP packet that a record has; None if it has none, or only a later part of one."""
    if len(record.data) < _COOKED:
        return None
    kind = struct.unpack_from(">H", record.data)[0]
    try:
        return apart(record.time, record.data[_COOKED:]) if kind in (_IP4, _IP6) else None
    except (struct.error, IndexError):  # it is too short for what it says
        return None


def apart(time: float, data: bytes) -> Packet | None:
    """An IP packet, taken apart; None for one that is none, or only a later part of one. Raises struct.error, IndexError if it is cut."""
    if data[0] >> 4 == 6:
        length, protocol = struct.unpack_from(">HB", data, 4)
        ends = [str(ipaddress.IPv6Address(data[at : at + 16].ljust(16, b"\0"))) for at in (8, 24)]
        return _carried(time, ends, protocol, data[40 : 40 + length], 0)
    head, _, length, ident, fragment, _, protocol = struct.unpack_from(">BBHHHBB", data)
    if head >> 4 != 4 or head & 15 < 5 or fragment & 0x1FFF:
        return None
    ends = [str(ipaddress.IPv4Address(struct.unpack_from(">I", data, at)[0])) for at in (12, 16)]
    # A kernel leaves the length of what it will cut later at 0.
    return _carried(time, ends, protocol, data[(head & 15) * 4 : length or None], ident)


def _carried(time: float, ends: list[str], protocol: int, data: bytes, ident: int) -> Packet:
    source, target = ends
    if protocol == UDP:
        ports = struct.unpack_from(">HH", data)
        return Packet(time, End(source, ports[0]), End(target, ports[1]), protocol, data[8:], ident=ident)
    if protocol == TCP:
        first, second, sequence, _, offset, flags = struct.unpack_from(">HHIIBB", data)
        begins = (offset >> 4) * 4
        payload = data[begins:] if begins >= 20 else b""
        return Packet(time, End(source, first), End(target, second), protocol, payload, flags, sequence, ident)
    return Packet(time, End(source), End(target), protocol, data, ident=ident)
