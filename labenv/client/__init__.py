"""The settings of a mail client on the student's own computer: as records, and as files that clients read.

The files are Thunderbird's autoconfiguration (config-v1.1.xml), muttrc(5), mbsync(1) and msmtp(1).
"""

import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from labenv import lab as labs
from labenv.environment import Environment
from labenv.errors import EngineError, UsageError
from labenv.student import Student

# Each name, and the template of which it is made; a file that holds the password is for its owner alone.
_FILES = {
    "{domain}.xml": "autoconfig.xml.j2",
    "muttrc": "muttrc.j2",
    "mbsyncrc": "mbsyncrc.j2",
    "msmtprc": "msmtprc.j2",
}
_TEMPLATES = Path(__file__).parent / "templates"
_HERE = "127.0.0.1"


@dataclass(frozen=True)
class Service:
    """Where a client connects: `port` of `host`, `security` "none", "SSL/TLS" or "STARTTLS", and whether it logs in.

    `certificate` is the name that the server's certificate is for, empty without one.
    """

    host: str
    port: int
    security: str
    login: bool
    certificate: str


@dataclass(frozen=True)
class Account:
    """A mail account as a client is told about it; `own` is the one on the student's own machines."""

    own: bool
    name: str
    address: str
    user: str
    password: str
    imap: Service
    smtp: Service

    def to_dict(self) -> dict[str, Any]:
        """The account as `client --json` prints it."""
        return asdict(self)


def accounts(environment: Environment) -> list[Account]:
    """The accounts that can be used from this computer, the student's own first.

    Raises EngineError if a machine that serves the own one does not run.
    """
    found = []
    for place, entry in enumerate(labs.load(environment.lab).accounts):
        there = {machine.name for machine in environment.machines if machine.state != "missing"}
        if place == 0 or {entry.imap.machine, entry.smtp.machine} <= there:
            found.append(_account(environment, entry, own=place == 0))
    return found


def write(account: Account, domain: str, folder: Path) -> list[Path]:
    """Write the files for an account into a folder, in place of those of an earlier call, and return their paths.

    They hold the password, so only their owner may read them. Raises UsageError if they cannot be written.
    """
    import jinja2

    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=jinja2.select_autoescape(["xml.j2"]),
        keep_trailing_newline=True,
    )
    written = []
    try:
        for here in (folder, folder / "Mail"):  # mbsync makes only what goes into the second
            here.mkdir(mode=0o700, parents=True, exist_ok=True)
        for pattern, template in _FILES.items():
            path = folder / pattern.format(domain=domain)
            text = templates.get_template(template).render(account=account, domain=domain, folder=folder.resolve())
            _replace(path, text)
            written.append(path)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}. Name another folder.") from error
    return written


def _account(environment: Environment, entry: labs.Account, *, own: bool) -> Account:
    student = environment.student

    def service(end: labs.ServerEnd) -> Service:
        machine = environment.machine(end.machine)
        port = machine.published.get(str(end.port))
        if port is None:
            raise EngineError(f"{machine.name} does not run, so nothing answers. Start it: labenv up {student.id}")
        return Service(_HERE, port, end.security, end.login, end.certificate)

    address, user = (_filled(text, student) for text in (entry.address, entry.user))
    return Account(own, entry.name, address, user, student.password, service(entry.imap), service(entry.smtp))


def _filled(text: str, student: Student) -> str:
    import jinja2.sandbox  # a lab's files are untrusted input

    return (
        jinja2.sandbox.SandboxedEnvironment(undefined=jinja2.StrictUndefined).from_string(text).render(student=student)
    )


def _replace(path: Path, text: str) -> None:
    """Put a file in place in one go; mkstemp(3) makes it readable for its owner alone."""
    handle, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink()
        raise
