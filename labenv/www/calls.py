"""Connections to a web server from inside a machine, plain or over TLS."""

import socket
from typing import Protocol

from labenv.checks import tls
from labenv.checks.evidence import CheckFailed
from labenv.text import shown

HTTP, HTTPS = 80, 443


class Caller(Protocol):
    """A machine of the checks, as far as it starts connections."""

    name: str
    requested: list[tuple[str, str]]

    def dial(self, host: str, port: int) -> socket.socket:
        """A socket from there to host:port. Raises OSError."""


def connected(start: Caller, host: str, port: int, name: str = "") -> socket.socket:
    """A connection from a machine; with the `name` of a site, over TLS, whatever certificate the server shows.

    Raises CheckFailed, which says why there is none.
    """
    try:
        plain = start.dial(host, port)
    except OSError as error:
        raise CheckFailed(
            f"{start.name} gets no connection to {host} port {port}: {shown(str(error))}", "a connection"
        ) from error
    if not name:
        return plain
    try:
        return tls.secured(plain, name)
    except OSError as error:
        raise CheckFailed(
            f"{host} port {port} does not speak TLS with {start.name}: {shown(tls.why(error))}", "TLS"
        ) from error
