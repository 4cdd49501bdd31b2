"""Connections to a web server from inside a machine, plain or over TLS."""

import socket
import ssl
from typing import Protocol

from labenv.checks.evidence import CheckFailed
from labenv.text import shown

HTTP, HTTPS = 80, 443


class Caller(Protocol):
    """A machine of the checks, as far as it starts connections."""

    name: str

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
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        return context.wrap_socket(plain, server_hostname=name)
    except OSError as error:  # ssl.SSLError is one
        plain.close()
        why = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise CheckFailed(
            f"{host} port {port} does not speak TLS with {start.name}: {shown(str(why))}", "TLS"
        ) from error
