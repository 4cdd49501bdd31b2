"""What a service is asked to show that it answers, by the kinds of a lab's `answers`: the bytes that are sent, and which reply counts."""

import re
import ssl
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from labenv.environment import Machine
from labenv.lab.model import Answer

_HANDSHAKE = b"\x16\x03"  # a record of TLS with a server's hello; an alert is 0x15 (RFC 8446 section 5.1)


@dataclass(frozen=True)
class Question:
    """What is sent at once, which first bytes of a reply count as an answer, and what is sent then."""

    first: bytes
    is_answered: Callable[[bytes], bool]
    last: bytes = b""


def question(machine: Machine, answer: Answer) -> Question:
    """What a port of a machine is asked. The answer is one of the kinds that have a port."""
    if answer.banner:
        greeting = answer.banner.encode()
        return Question(b"", lambda reply: reply.startswith(greeting), b"QUIT\r\n")
    if answer.dns:
        return Question(_soa_query(answer.dns), _has_record)
    if answer.http:
        named = re.match(r"//([^/]+)(.*)", answer.http)  # as in RFC 3986 section 4.2
        site, path = named.groups() if named else (machine.fqdn, answer.http)
        return Question(f"GET {path or '/'} HTTP/1.0\r\nHost: {site}\r\n\r\n".encode(), _is_served)
    return Question(_hello(machine.fqdn), lambda reply: reply.startswith(_HANDSHAKE))


def _soa_query(zone: str) -> bytes:
    """A DNS query for a zone's SOA in its TCP form (RFC 1035 sections 4.1 and 4.2.2)."""
    name = b"".join(bytes([len(label)]) + label.encode() for label in zone.rstrip(".").split(".") if label) + b"\0"
    message = struct.pack(">HHHHHH", 1, 0, 1, 0, 0, 0) + name + struct.pack(">HH", 6, 1)
    return struct.pack(">H", len(message)) + message


def _has_record(reply: bytes) -> bool:
    """Whether a reply over TCP has no error and at least one answer record."""
    if len(reply) < 14:
        return False
    flags, _, answers = struct.unpack_from(">HHH", reply, 4)
    return not flags & 0xF and answers > 0


def _is_served(reply: bytes) -> bool:
    """Whether an HTTP server has the page, or says where it is (RFC 9110 section 15)."""
    return bool(re.match(rb"HTTP/\d(\.\d)? [23]\d\d\b", reply))


def _hello(name: str) -> bytes:
    """How a client begins a TLS handshake: whose certificate the server has is no question of whether it answers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with suppress(ssl.SSLWantReadError):  # it has said hello, and waits
        client.do_handshake()
    return outgoing.read()
