"""TLS by its first bytes: which records a packet begins, and what is readable in them (RFC 8446, RFC 6066)."""

import struct

from labenv.text import decoded, one_line

_LARGEST = 16_640  # bytes of a record (RFC 5246 section 6.2.3)
_ALERT, _HANDSHAKE = 21, 22
_KINDS = {20: "ChangeCipherSpec", _ALERT: "alert", _HANDSHAKE: "handshake", 23: "application data"}
_CLIENT_HELLO = 1
_MESSAGES = {
    _CLIENT_HELLO: "ClientHello",
    2: "ServerHello",
    4: "NewSessionTicket",
    11: "Certificate",
    12: "ServerKeyExchange",
    14: "ServerHelloDone",
    16: "ClientKeyExchange",
}
_ALERTS = {
    0: "close notify",
    10: "unexpected message",
    40: "handshake failure",
    42: "bad certificate",
    45: "certificate expired",
    46: "certificate unknown",
    48: "unknown CA",
    70: "protocol version",
    112: "unrecognized name",
}
_SNI = 0


def records(payload: bytes) -> list[str]:
    """The records that begin in a packet, in words: "TLS ClientHello, SNI www.example.com"; none if the packet begins with no record."""
    said = []
    while len(payload) >= 5:
        kind, major, minor, length = struct.unpack_from(">BBBH", payload)
        if kind not in _KINDS or major != 3 or minor > 4 or length > _LARGEST:
            break
        said.append(f"TLS {_named(kind, length, payload[5 : 5 + length])}")
        payload = payload[5 + length :]
    return said


def _named(kind: int, length: int, body: bytes) -> str:
    if kind == _ALERT and length == 2 and len(body) == 2 and body[1] in _ALERTS:
        return f"alert: {_ALERTS[body[1]]}"
    # An encrypted message begins with any bytes; of one that is not, the length has three bytes, and is short.
    if kind == _HANDSHAKE and len(body) >= 2 and body[0] in _MESSAGES and body[1] == 0:
        name = server_name(body) if body[0] == _CLIENT_HELLO else ""
        return f"{_MESSAGES[body[0]]}{f', SNI {name}' if name else ''}"
    return f"{_KINDS[kind]}, {length} bytes"


def server_name(hello: bytes) -> str:
    """The name that a client asks for in its hello; empty if it names none, or the hello is cut before it."""
    try:
        at = 4 + 2 + 32  # the message's header, version, random
        at += 1 + hello[at]
        at += 2 + struct.unpack_from(">H", hello, at)[0]
        at += 1 + hello[at]
        end = at + 2 + struct.unpack_from(">H", hello, at)[0]
        at += 2
        while at + 4 <= min(end, len(hello)):
            kind, length = struct.unpack_from(">HH", hello, at)
            at += 4
            if kind == _SNI:
                size = struct.unpack_from(">H", hello, at + 3)[0]
                return one_line(decoded(hello[at + 5 : at + 5 + size]))
            at += length
    except (struct.error, IndexError):  # it goes on in another packet
        pass
    return ""
