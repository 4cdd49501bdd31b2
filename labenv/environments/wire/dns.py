"""A message of DNS in one line (RFC 1035 section 4)."""

import ipaddress
import struct

from labenv.text import decoded, one_line

_TYPES = {
    1: "A",
    2: "NS",
    5: "CNAME",
    6: "SOA",
    12: "PTR",
    15: "MX",
    16: "TXT",
    28: "AAAA",
    33: "SRV",
    43: "DS",
    48: "DNSKEY",
    255: "ANY",
}
_A, _MX, _AAAA = 1, 15, 28
_NAMES = {2, 5, 12}  # types whose content is a name
_CODES = {0: "", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
_JUMPS = 20  # pointers that a name may follow: with one to itself it would never end
_MOST = 6  # records that are shown


def told(message: bytes) -> str:
    """The message in words: "asks A www.example.com", or "answers …"; empty for what is no message."""
    try:
        _, flags, questions, answers = struct.unpack_from(">HHHH", message)
        if questions != 1:
            return ""
        name, at = _name(message, 12)
        kind = struct.unpack_from(">H", message, at)[0]
        asked = f"{_TYPES.get(kind, f'type {kind}')} {name}"
        if not flags & 0x8000:
            return f"asks {asked}"
        code = flags & 15
        found = _records(message, at + 4, answers) if answers else []
    except (struct.error, IndexError):
        return ""
    said = ", ".join(found) or _CODES.get(code, f"code {code}") or "nothing"
    return f"answers {asked}: {said}"


def _records(message: bytes, at: int, count: int) -> list[str]:
    found = []
    for number in range(count):
        if number == _MOST:
            found.append(f"and {count - _MOST} more")
            break
        _, at = _name(message, at)
        kind, _, _, length = struct.unpack_from(">HHIH", message, at)
        found.append(_content(message, at + 10, kind, length))
        at += 10 + length
    return found


def _content(message: bytes, at: int, kind: int, length: int) -> str:
    if kind == _A and length == 4:
        return str(ipaddress.IPv4Address(message[at : at + 4].ljust(4, b"\0")))
    if kind == _AAAA and length == 16:
        return str(ipaddress.IPv6Address(message[at : at + 16].ljust(16, b"\0")))
    if kind == _MX:
        return f"MX {struct.unpack_from('>H', message, at)[0]} {_name(message, at + 2)[0]}"
    if kind in _NAMES:
        return f"{_TYPES[kind]} {_name(message, at)[0]}"
    return _TYPES.get(kind, f"type {kind}")


def _name(message: bytes, at: int) -> tuple[str, int]:
    """The name at a place, and where what follows it begins. Raises IndexError for one that does not end."""
    labels: list[bytes] = []
    after = 0
    jumps = 0
    while size := message[at]:
        if size & 0xC0 == 0xC0:
            jumps += 1
            if jumps > _JUMPS:
                raise IndexError("a name that does not end")
            after = after or at + 2
            at = (size & 0x3F) << 8 | message[at + 1]
            continue
        labels.append(message[at + 1 : at + 1 + size])
        at += 1 + size
        if len(labels) > 128:
            raise IndexError("a name that does not end")
    return one_line(decoded(b".".join(labels))) or ".", after or at + 1
