"""Sessions that labenv's own mail clients open inside a machine: SMTP and IMAP."""

import imaplib
import smtplib
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from labenv.checks import kernel, tls
from labenv.checks.evidence import CheckFailed
from labenv.checks.firewall import greeted
from labenv.checks.machine import Machine
from labenv.mail.office import PROBE
from labenv.text import decoded

# Seconds until a mail server must have sent its first word. One that cannot look up its client's name is silent for longer
# (resolv.conf(5)), but then its machine's names are what is wrong.
_GREETING = 8
_READY = 220  # RFC 5321 section 4.2.3
_NOTHING = 3  # as follow.pl knows it
ITSELF = "localhost"  # how a machine calls itself
ASTRAY = "does not end at that port: its addresses are rewritten on the way"
ENDS_THERE = "it ends there"
SMTP, IMAP, IMAPS = 25, 143, 993


def smtp(
    start: Machine, end: Machine, *, source: str | None = None, hopeless: Callable[[], object] | None = None
) -> "Smtp":
    """An SMTP session from a machine to port 25 of another, or its own; `hopeless` as for `Machine.dial`.

    Raises CheckFailed if there is none.
    """
    try:
        return Smtp(start, end, source, hopeless)
    except (OSError, smtplib.SMTPException) as error:
        raise _unreached(start, end, SMTP, error) from error


def greeting(start: Machine, end: Machine) -> str:
    """The line with which port 25 of a machine greets another one, or itself.

    Raises CheckFailed as `greeted` does, and if something else answers there.
    """
    with greeted(smtp, start, end, SMTP) as session:
        if start is not end and kernel.astray(start, end, SMTP):
            raise CheckFailed(f"A connection from {start.name} to port 25 of {end.name} {ASTRAY}", ENDS_THERE)
        return session.banner


def imap(start: Machine, end: Machine, *, hopeless: Callable[[], object] | None = None) -> "Imap":
    """An IMAP session from a machine to another's port 143; `hopeless` as for `Machine.dial`. Raises CheckFailed if there is none."""
    try:
        return Imap(start, end, hopeless)
    except (OSError, imaplib.IMAP4.error) as error:
        raise _unreached(start, end, IMAP, error) from error


def imaps(start: Machine, end: Machine, *, hopeless: Callable[[], object] | None = None) -> "Imap":
    """The same over TLS, to port 993, whatever certificate the server shows."""
    try:
        return Imaps(start, end, hopeless)
    except (OSError, imaplib.IMAP4.error) as error:
        raise _unreached(start, end, IMAPS, error) from error


def _unreached(start: Machine, end: Machine, port: int, error: Exception) -> CheckFailed:
    said = error.args[0] if error.args else ""
    words = decoded(said) if isinstance(said, bytes) else tls.why(error)
    return CheckFailed(f"{start.name} gets no greeting from {end.name} port {port}: {words}", "one", by=end.name)


class Smtp(smtplib.SMTP):
    """smtplib's client, connecting from inside a machine. `banner` is the greeting line, with its code.

    Two things distinguish it in the logs from a student's own client: the name that it greets with, which smtpd(8) logs when it
    refuses something, and that it does nothing three times, which smtpd counts in the last line of each session.
    """

    def __init__(
        self, machine: Machine, other: Machine, source: str | None, hopeless: Callable[[], object] | None
    ) -> None:
        """Connect and read the greeting. Raises OSError, SMTPException."""
        self._from = machine
        self._hopeless = hopeless
        self._source = source
        self.banner = ""
        host = ITSELF if other is machine else other.address
        super().__init__(host, SMTP, local_hostname=f"{PROBE}.{machine.fqdn}", timeout=_GREETING)

    def connect(self, host: str = "localhost", port: int = 0, source_address: Any = None) -> tuple[int, bytes]:
        """Connect as smtplib does, and keep the greeting."""
        code, text = super().connect(host, port, source_address)
        self.banner = f"{code} {decoded(text)}"
        with suppress(OSError, smtplib.SMTPException):  # whatever comes next reports it
            for _ in range(_NOTHING if code == _READY else 0):
                self.noop()
        return code, text

    def secure(self) -> bytes:
        """Ask for TLS, and return the certificate that the server shows, in DER. Raises OSError, SMTPException."""
        self.starttls(context=tls.context())
        assert isinstance(self.sock, ssl.SSLSocket)
        return self.sock.getpeercert(binary_form=True) or b""

    def ask(self, *lines: str) -> str:
        """Send commands one after the other, and return the reply to the last one as one line."""
        code, text = 0, b""
        for line in lines:
            code, text = self.docmd(line)
        return f"{code} {decoded(text)}".replace("\n", " ")

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return self._from.dial(host, port, source=self._source, timeout=timeout, hopeless=self._hopeless)


class Imap(imaplib.IMAP4):
    """imaplib's client, connecting from inside a machine."""

    at = IMAP

    def __init__(self, machine: Machine, other: Machine, hopeless: Callable[[], object] | None) -> None:
        """Connect by name, as a mail client is configured, and read the greeting. Raises OSError, IMAP4.error."""
        self._from = machine
        self._hopeless = hopeless
        super().__init__(other.fqdn, self.at, timeout=10)

    @property
    def greeting(self) -> str:
        """The server's greeting line."""
        return decoded(self.welcome)

    def mailboxes(self) -> tuple[str, ...]:
        """The names of the user's mailboxes (RFC 3501 section 7.2.2). Raises IMAP4.error."""
        status, lines = self.list()
        if status != "OK":
            raise self.error(decoded(lines[0]) if isinstance(lines[0], bytes) else "LIST failed")
        said = [decoded(line) for line in lines if isinstance(line, bytes)]
        return tuple(line.rpartition('" ')[2].strip('"') for line in said)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        return self._from.dial(self.host, self.port, hopeless=self._hopeless)


class Imaps(Imap):
    """The same over TLS."""

    at = IMAPS

    def _create_socket(self, timeout: float | None) -> socket.socket:
        return tls.secured(super()._create_socket(timeout), self.host)
