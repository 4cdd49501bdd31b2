"""TLS as a client speaks it that takes any certificate: the checks look at what a server shows, and decide themselves."""

import socket
import ssl


def context() -> ssl.SSLContext:
    """What such a client asks of a server: nothing but TLS."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    return made


def secured(plain: socket.socket, name: str) -> ssl.SSLSocket:
    """A connection over TLS on one that is there, to a server of that name. Raises OSError; then the plain one is closed."""
    try:
        return context().wrap_socket(plain, server_hostname=name)
    except OSError:  # ssl.SSLError is one
        plain.close()
        raise


def why(error: Exception) -> str:
    """Why there is no TLS, in the words of the library."""
    return str(getattr(error, "reason", None) or str(error) or type(error).__name__)
