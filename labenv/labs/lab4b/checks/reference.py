"""The reference account at Seneca, which the machine outside stands in for: how it answers, and what was done with it.

What the student did there is read from the mailboxes: a client that opens the inbox moves its messages from new/ to
cur/, and one that shows a message marks it as seen. A message that was submitted on port 587 after a login says so
in its Received line (RFC 3848: ESMTPSA), and the log names the user (smtpd(8), sasl_username), wherever it went. The
checks' own sessions leave none of this.
"""

import base64
from dataclasses import dataclass

import pytest

from labenv.checks.machine import Machine, Site
from labenv.checks.results import ONLY_A_PERSON

SERVER = "outlook.office365.com"
_CLIENT = f"timeout 30 openssl s_client -quiet -verify_return_error -verify_hostname {SERVER}"


@dataclass(frozen=True)
class Reference:
    """The last answers of both servers to a client on host, and how many messages are unopened, seen and sent."""

    imap: str
    smtp: str
    unopened: int
    seen: int
    sent: int


def outside(site: Site) -> Machine:
    """The machine outside. If there is none, the check is skipped: only a person can judge what is done there."""
    if "outside" not in site.machines:
        pytest.skip(f"{ONLY_A_PERSON} without the world outside: labenv up {site.student.id} --outside")
    return site["outside"]


def look(site: Site) -> Reference:
    """Log in to both servers from host, and count what is in the mailboxes outside."""
    machine, host = outside(site), site["host"]
    user, password = f"{site.student.id}@myseneca.ca", site.student.password
    imap = rf"a LOGIN {user} {password}\r\nb EXAMINE INBOX\r\nc LOGOUT\r\n"
    token = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
    smtp = rf"EHLO host.{site.student.domain}\r\nAUTH PLAIN {token}\r\nQUIT\r\n"
    mailbox = f"/var/mail/myseneca.ca/{site.student.id}"
    counted = machine.output(
        f"cd {mailbox} && find new -type f ! -newer /etc/labenv/laid | wc -l; "
        "find . -type f -name '*:2,*S*' | wc -l; "
        f"{{ grep -rl 'with ESMTPSA' /var/mail | xargs -r grep -l '^Return-Path: <{user}>'; "
        f"grep -hs 'sasl_username={user}$' /var/log/maillog*; }} | wc -l"
    )
    unopened, seen, sent = map(int, counted.split())
    return Reference(
        _asked(host, imap, f"-connect {SERVER}:993", ("b OK", "b NO", "a NO")),
        _asked(host, smtp, f"-starttls smtp -connect {SERVER}:587", ("235", "5", "4")),
        unopened,
        seen,
        sent,
    )


def _asked(host: Machine, words: str, where: str, telling: tuple[str, ...]) -> str:
    """The line of the server's answers that shows how it went, or the error of openssl(1)."""
    said = host.run(f"printf '{words}' | {_CLIENT} {where}")
    lines = [str(line).strip() for line in said.stdout.splitlines()]
    for beginning in telling:
        if found := [line for line in lines if line.startswith(beginning)]:
            return found[0]
    return ([str(line) for line in said.stderr.splitlines()] or lines or ["no answer"])[-1]
