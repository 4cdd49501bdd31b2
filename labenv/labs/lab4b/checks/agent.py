"""What a command for the mailbox does with Dovecot's delivery agent: it is run as local(8) runs it, with printf in the agent's place."""

import getopt
import re
import shlex
from dataclasses import dataclass

from labenv.checks.evidence import CheckFailed
from labenv.checks.machine import Machine
from labenv.checks.match_list import words
from labenv.checks.settings import postconf
from labenv.checks.tables import look_up
from labenv.student import Student

LDA = "/usr/libexec/dovecot/dovecot-lda"
# dovecot-lda(1), and the options that all of Dovecot's programs have.
_OPTIONS = "a:c:d:ef:hi:kLm:o:Op:r:"
_SENDER = "sam@example.com"
_LARGEST_ANSWER = 4000  # bytes
# Each argument, quoted for a shell, ends with this: no character of it means anything to a shell or to printf.
_END = ",:,"
_POSE = f"/usr/bin/printf agent{_END}%q{_END}"


@dataclass(frozen=True)
class Call:
    """How the agent is called for one message: the sender and the recipient of the message, and the agent's options."""

    sender: str
    recipient: str
    user: str
    options: dict[str, str]
    complaint: str = ""

    @property
    def is_right(self) -> bool:
        """Whether the agent is told the message's sender and recipient, and delivers to that user."""
        told = (self.options.get("-f"), self.options.get("-a"), self.options.get("-d", self.user))
        return not self.complaint and told == (self.sender, self.recipient, self.user)

    def __str__(self) -> str:
        """The call in words."""
        given = " ".join(
            f"{name} {shlex.quote(value)}" if value else f"{name} ''" for name, value in self.options.items()
        )
        to = f"for a message from {self.sender or 'nobody (a bounce)'} to {self.recipient}"
        return f"{to} the agent gets {self.complaint or given or 'neither -f nor -a'}"


def calls(machine: Machine, command: str, student: Student) -> list[Call]:
    """The agent's calls for a message with a sender and for one without; empty if the command does not name it, or hides it.

    The command runs as nobody, with nothing to read, as it is the student's.
    """
    paths = sorted(set(re.findall(r"/[\w./-]+", command)), key=len, reverse=True)
    tests = "; ".join(f"[ {shlex.quote(path)} -ef {LDA} ] && echo {shlex.quote(path)}" for path in paths)
    agents = machine.run(tests).stdout.split() if paths else []
    if not agents:
        return []
    posing = re.sub(r"/[\w./-]+", lambda path: _POSE if path[0] in agents else path[0], command)
    user, domain = student.id, student.domain
    recipient = f"{user}@{domain}"
    seen = []
    for sender in (_SENDER, ""):
        # The variables that local(8) exports.
        exported = {
            "PATH": "/usr/bin:/bin",
            "LANG": "C",
            "SHELL": "/bin/sh",
            "HOME": "/nonexistent",
            "USER": user,
            "LOGNAME": user,
            "LOCAL": user,
            "DOMAIN": domain,
            "SENDER": sender,
            "RECIPIENT": recipient,
            "ORIGINAL_RECIPIENT": recipient,
        }
        variables = " ".join(shlex.quote(f"{name}={value}") for name, value in exported.items())
        nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups"
        said = machine.run(
            f"cd / && timeout 3 {nobody} env -i {variables} /bin/sh -c {shlex.quote(posing)} </dev/null 2>/dev/null"
            f" | head -c {_LARGEST_ANSWER}"
        ).stdout
        if (call := _call(said, sender, recipient, user)) is None:
            return []
        seen.append(call)
    return seen


def _call(said: str, sender: str, recipient: str, user: str) -> Call | None:
    _, called, rest = said.partition(f"agent{_END}")
    if not called:
        return None
    try:
        arguments = [
            part for word in rest.replace(f"agent{_END}", "").split(_END)[:-1] for part in shlex.split(word) or [""]
        ]
        options, operands = getopt.getopt(arguments, _OPTIONS)
    except (getopt.GetoptError, ValueError) as error:
        return Call(sender, recipient, user, {}, f"options that it does not know ({error})")
    complaint = f"{' '.join(operands)!r} behind its options" if operands and operands != [""] else ""
    return Call(sender, recipient, user, dict(options), complaint)


def command_for(machine: Machine, student: Student, mailbox_command: str) -> tuple[str, str]:
    """The command that has the student's mail, and where it comes from if not from mailbox_command.

    mailbox_transport_maps goes before mailbox_command_maps, and that before mailbox_command (postconf(5)).
    Raises CheckFailed if one of these tables gives the mail to something else, or cannot be opened.
    """
    for name in ("mailbox_transport_maps", "mailbox_command_maps"):
        for table in words(postconf(machine, name).value):
            found = look_up(machine, table, [student.id]).get(student.id)
            if found and name == "mailbox_transport_maps":
                raise CheckFailed(
                    f"{name} on {machine.name} gives the mail of {student.id} to {found}", "no such table"
                )
            if found:
                return found, f"{name} on {machine.name}"
    return mailbox_command, ""
