"""The settings of a mail client on the student's own computer: as records, and as files that clients read.

The files are Thunderbird's autoconfiguration (config-v1.1.xml), muttrc(5), mbsync(1) and msmtp(1).
"""

import hashlib
import imaplib
import os
import smtplib
import socket
import ssl
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jinja2

from labenv.checks import tls
from labenv.environment import Environment
from labenv.environments.reach import Reach
from labenv.environments.tunnel import Tunnels
from labenv.errors import EngineError, UsageError
from labenv.lab import labs, model, templates
from labenv.text import one_line

# Each file name with its template and its mode: only the owner may read a file with the password.
_FILES = {
    "{domain}.xml": ("autoconfig.xml.j2", 0o644),
    "muttrc": ("muttrc.j2", 0o600),
    "mbsyncrc": ("mbsyncrc.j2", 0o600),
    "msmtprc": ("msmtprc.j2", 0o644),
}
_CERTIFICATES = "certificates.pem"
_TEMPLATES = Path(__file__).parent / "templates"
_PATIENCE = 5  # seconds for a server to show its certificate


@dataclass(frozen=True)
class Service:
    """Where a client connects: `port` of `host`. `security` is "none", "starttls" or "tls"."""

    host: str
    port: int
    security: str


@dataclass(frozen=True)
class Account:
    """The student's mail account as a client needs it: a password to read mail, none to send it."""

    address: str
    user: str
    password: str
    imap: Service
    smtp: Service

    def to_dict(self) -> dict[str, Any]:
        """The account as `client --json` prints it."""
        return asdict(self)


@dataclass(frozen=True)
class Certificate:
    """The certificate that a server shows, in DER."""

    der: bytes

    @property
    def fingerprint(self) -> str:
        """Its SHA-256, as msmtp takes it."""
        return hashlib.sha256(self.der).digest().hex(":").upper()

    @property
    def pem(self) -> str:
        """The same in PEM."""
        return ssl.DER_cert_to_PEM_cert(self.der)


def account(environment: Environment, reach: Reach | Tunnels) -> Account:
    """The student's account, at the addresses and ports where its servers answer from here.

    Raises EngineError if one of their machines is not running, UsageError if the lab has no mail account or it is published nowhere.
    """
    found = labs.of(environment).account
    if found is None:
        raise UsageError(f"{environment.lab} has no mail account, so there are no settings for a mail client.")
    student = environment.student
    address, user = (templates.text(text, student=student) for text in (found.address, found.user))
    imap, smtp = (_service(environment, reach, service) for service in (found.imap, found.smtp))
    return Account(address, user, student.password, imap, smtp)


def write(account: Account, domain: str, folder: Path) -> list[Path]:
    """Write the files for an account into a folder, replacing those of an earlier call, and return their paths.

    Only the owner may read those with the password. Certificates that the servers show are among them: clients are to trust these.
    Raises UsageError if the files cannot be written, EngineError if a server that is to speak TLS does not.
    """
    certificates = _certificates(account)
    files = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=jinja2.select_autoescape(["xml.j2"]),
        keep_trailing_newline=True,
        trim_blocks=True,
    )
    written = []
    try:
        for here in (folder, folder / "Mail"):  # mbsync creates only what is inside the second
            here.mkdir(mode=0o700, parents=True, exist_ok=True)
        for pattern, (template, mode) in _FILES.items():
            path = folder / pattern.format(domain=domain)
            text = files.get_template(template).render(
                account=account, domain=domain, folder=folder.resolve(), certificates=certificates
            )
            _replace(path, text, mode)
            written.append(path)
        if certificates:
            _replace(folder / _CERTIFICATES, "".join(each.pem for each in certificates.values()), 0o644)
            written.append(folder / _CERTIFICATES)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}. Choose another folder.") from error
    return written


def _certificates(account: Account) -> dict[str, Certificate]:
    """What the servers that speak TLS show: "imap", "smtp"."""
    services = {"imap": account.imap, "smtp": account.smtp}
    return {name: _shown(name, service) for name, service in services.items() if service.security != "none"}


def _shown(protocol: str, service: Service) -> Certificate:
    context = tls.context()
    place = (service.host, service.port)
    try:
        if service.security == "tls":
            with socket.create_connection(place, _PATIENCE) as plain, context.wrap_socket(plain) as secure:
                return _of(secure)
        if protocol == "imap":
            with imaplib.IMAP4(*place, timeout=_PATIENCE) as reader:
                reader.starttls(context)
                return _of(reader.sock)
        with smtplib.SMTP(*place, timeout=_PATIENCE) as sender:
            sender.starttls(context=context)
            return _of(sender.sock)
    except (OSError, imaplib.IMAP4.error, smtplib.SMTPException) as error:
        raise EngineError(
            f"{protocol.upper()} at {service.host} port {service.port} shows no certificate ({one_line(str(error))}), and the settings are "
            f"those of the lab's end, with TLS. To see what is missing: labenv check"
        ) from error


def _of(secure: Any) -> Certificate:
    return Certificate(secure.getpeercert(binary_form=True))


def _service(environment: Environment, reach: Reach | Tunnels, of: model.Service) -> Service:
    place = reach.service(environment.machine(of.machine), str(of.port))
    if place is None and environment.pools:
        raise UsageError(
            f"{environment.student.id}'s environment has the X of another one, so it publishes no ports. Use the settings of a tunnel, "
            f"which is open as long as the command runs: labenv client --tunnel -s {environment.student.id}"
        )
    if place is None:
        raise EngineError(
            f"{of.machine} is not running, so nothing answers. Start it: labenv up {environment.student.id}"
        )
    return Service(*place, of.security)


def _replace(path: Path, text: str, mode: int) -> None:
    """Put a file in place atomically; until then, mkstemp(3) keeps it readable only by its owner."""
    handle, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).chmod(mode)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink()
        raise
