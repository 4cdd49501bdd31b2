"""How the domains of students answer who comes from outside: their MX record, and the mail server that it names.

The world outside asks once for each student. So what one of them did wrong is seen there, in seconds, and is not looked for in the
logs of all the others; and nobody's Postfix waits for a server that does not answer.
"""

import re
import smtplib
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

from labenv.checks.machine import Machine
from labenv.mail.office import PROBE
from labenv.parallel import Together
from labenv.student import Student
from labenv.text import decoded, one_line

_PATIENCE = 3  # seconds for a connection, as for an answer of a name server
_GREETING = 5  # seconds for a word of a mail server
_TOGETHER = 16
_NOTHING = (
    3  # how often a client of labenv's does nothing, by which its lines are known in logs (labenv/mail/follow.pl)
)
_LONGEST = 200  # characters of what a server says
# Each name with a process of its own: whoever is silent holds up nobody.
_ASK = 'for name in %s; do dig +noall +comments +answer +tries=1 +time=3 @127.0.0.1 "$name" %s | sed "s/^/$name /" & done; wait'


@dataclass(frozen=True)
class Door:
    """A student's domain seen from outside: the machine that its MX names, whether that takes mail for the student.

    `words` are the reason why it does not, as a clause; empty if it does. `exchanger` is empty if no MX was found.
    """

    student: str
    exchanger: str = ""
    words: str = ""

    @property
    def is_open(self) -> bool:
        """Whether mail is accepted."""
        return not self.words


def look(outside: Machine, addresses: Mapping[str, str], students: Sequence[Student]) -> dict[str, Door]:
    """The doors of these students, by id; `addresses` are those to which mail goes. Raises EngineError if outside does not run."""
    said = _asked(outside, [student.domain for student in students], "MX")
    found: dict[str, Door | str] = {}
    for student in students:
        status, answers = said.get(student.domain, ("", []))
        rows = sorted((int(row[0]), row[1]) for row in answers if len(row) == 2 and row[0].isdecimal())
        found[student.id] = rows[0][1].rstrip(".") if rows else Door(student.id, words=_unfound(student.domain, status))
    names = [name for name in found.values() if isinstance(name, str)]
    where = _asked(outside, names, "A") if names else {}

    def one(student: Student) -> Door:
        name = found[student.id]
        if isinstance(name, Door):
            return name
        here = [row[0] for row in where.get(name, ("", []))[1] if len(row) == 1]
        if not here:
            return Door(student.id, name, f"{name}, which the MX of {student.domain} names, has no address")
        if not _is_in(here[0], student):
            return Door(student.id, name, f"{name} has the address {here[0][:40]}, which is not in {student.network}")
        return Door(student.id, name, _refused(outside, here[0], name, addresses[student.id]))

    with Together(_TOGETHER) as pool:
        return {door.student: door for door in pool.map(one, students)}


def _asked(outside: Machine, names: Sequence[str], kind: str) -> dict[str, tuple[str, list[list[str]]]]:
    """For each name the status of the answer, and the data of its records of that type, in words."""
    # The names come from zones of students, too.
    safe = sorted({name for name in names if re.fullmatch(r"[A-Za-z0-9_.-]{1,255}", name) and name[0] != "-"})
    lines = str(outside.run(_ASK % (" ".join(safe), kind)).stdout).splitlines() if safe else []
    found: dict[str, tuple[str, list[list[str]]]] = {name: ("", []) for name in safe}
    for name, _, line in (line.partition(" ") for line in lines):
        rows = found.get(name, ("", []))[1]
        if match := re.search(r"->>HEADER<<-.* status: (\w+)", line):
            found[name] = match[1], rows
        elif match := re.match(rf"\S+\s+\d+\s+IN\s+{kind}\s+(.+)$", line):
            rows.append(match[1].split())
    return found


def _is_in(address: str, student: Student) -> bool:
    try:
        return IPv4Address(address) in student.network
    except ValueError:
        return False


def _unfound(domain: str, status: str) -> str:
    if status == "NOERROR":
        return f"there is no MX record in {domain}"
    if status == "NXDOMAIN":
        return f"the name server of {domain} does not know {domain}"
    return f"the name server of {domain} does not answer for it ({status or 'no answer'})"


def _refused(outside: Machine, address: str, name: str, recipient: str) -> str:
    """Why a mail server does not take a message for that address; empty if it does. No message is sent."""
    try:
        with _Visitor(outside, address) as session:
            for _ in range(_NOTHING):
                session.noop()
            session.ehlo_or_helo_if_needed()
            for line in ("MAIL FROM:<>", f"RCPT TO:<{recipient}>"):
                code, text = session.docmd(line)
                if code != 250:
                    return f"{name} refuses {recipient}: {code} {_short(text)}"
            session.rset()
    except smtplib.SMTPResponseException as error:
        return f"{name} takes no mail: {error.smtp_code} {_short(error.smtp_error)}"
    except (OSError, smtplib.SMTPException) as error:
        return f"{name} takes no mail: {_short(str(error) or type(error).__name__)}"
    return ""


def _short(said: str | bytes) -> str:
    return one_line(decoded(said) if isinstance(said, bytes) else said)[:_LONGEST]


class _Visitor(smtplib.SMTP):
    """A client in the world outside."""

    def __init__(self, outside: Machine, address: str) -> None:
        self._from = outside
        super().__init__(address, 25, local_hostname=f"{PROBE}.{outside.fqdn}", timeout=_GREETING)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return self._from.dial(host, port, patience=_PATIENCE, timeout=timeout)

    def __exit__(self, *error: Any) -> None:
        with suppress(OSError, smtplib.SMTPException):
            super().__exit__(*error)
