"""Where Dovecot keeps a user's mail, for a value of mail_location."""

import posixpath
import re

from labenv.checks.machine import Machine
from labenv.labs.lab4b.checks.common import first_name
from labenv.student import Student


def is_their_maildir(machine: Machine, location: str, student: Student) -> bool:
    """Whether that place is the Maildir in the home directory of each of the student's users, who may not all exist yet.

    The format is "maildir:PATH" and perhaps ":KEY=VALUE" parts, in which INBOX is another place for the inbox
    (https://doc.dovecot.org/2.3/configuration_manual/mail_location/).
    """
    kind, _, rest = location.partition(":")
    path, *more = rest.split(":")
    inboxes = [part.removeprefix("INBOX=") for part in more if part.startswith("INBOX=")]
    homes = dict(
        line.split(":")[0::5][:2]
        for line in machine.run("getent passwd %s %s", student.id, first_name(machine, student)).stdout.splitlines()
    )
    return kind.lower() == "maildir" and all(
        _expanded(place, user, home) == f"{home}/Maildir"
        for user, home in (homes or {student.id: f"/home/{student.id}"}).items()
        for place in (path, *inboxes)
    )


def _expanded(place: str, user: str, home: str) -> str:
    """The place with `~` and the variables of a local user replaced, whose name has no domain (Dovecot's config variables)."""
    known = {"u": user, "n": user, "h": home, "%": "%", "d": "", "{user}": user, "{username}": user, "{home}": home}

    def value(match: re.Match[str]) -> str:
        plain = known.get(match[2], match[0])
        return plain.lower() if match[1] == "L" else plain.upper() if match[1] == "U" else plain

    whole = f"{home}{place[1:]}" if place.startswith("~/") else place
    if not whole.startswith(("/", "%")):
        return whole
    return posixpath.normpath(re.sub(r"%([LU]?)(\{\w+\}|[unhd%])", value, whole))
