"""What a command for the mailbox does with Dovecot's delivery agent: it is run as local(8) runs it, with printf in the agent's place."""

import getopt
import re
import shlex
from dataclasses import dataclass

from labenv.checks.evidence import CheckFailed
from labenv.checks.machine import Machine
from labenv.mail.settings import postconf, words
from labenv.mail.tables import look_up
from labenv.student import Student

LDA = "/usr/libexec/dovecot/dovecot-lda"
# dovecot-lda(1), and the options that all of Dovecot's programs have.
_OPTIONS = "a:c:d:ef:hi:kLm:o:Op:r:"
_SENDER = "sam@example.com"
_LARGEST_ANSWER = 4000  # bytes
_PATH = re.compile(r"/[\w./-]+")
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


@dataclass(frozen=True)
class Trial:
    """The agent's calls for a message with a sender and for one without; if there are none, what speaks against the command."""

    calls: tuple[Call, ...]
    remark: str = ""


def tried(machine: Machine, command: str, student: Student) -> Trial:
    """What a command does with the agent. It has no calls if it does not name the agent, or hides what it does with it.

    The command runs as nobody, with nothing to read, as it is the student's.
    """
    paths = sorted(set(_PATH.findall(command)))
    tests = "; ".join(
        f"if [ {path} -ef {LDA} ]; then echo = {path}; elif ! [ -e {path} ]; then echo ! {path}; fi" for path in paths
    )
    known = [line.split() for line in machine.run(tests).stdout.splitlines()] if paths else []
    agents = [path for sign, path in known if sign == "="]
    if not agents:
        absent = [path for sign, path in known if sign == "!"]
        return Trial((), f"there is no {absent[0]}" if absent else "it does not name Dovecot's agent")
    posing = _PATH.sub(lambda path: _POSE if path[0] in agents else path[0], command)
    # Both runs are one command: what the first prints ends with this.
    mark = "---"
    said = machine.run(f"; echo {mark}; ".join(_run(posing, sender, student) for sender in (_SENDER, ""))).stdout
    said = said.replace(_POSE, agents[0])  # in what the shell says about the command
    made = [_call(part, sender, student) for part, sender in zip(said.split(mark), (_SENDER, ""), strict=False)]
    if calls := tuple(call for call in made if call):
        return Trial(calls)
    words = said.partition(mark)[0].strip().splitlines()
    return Trial((), f"the shell says: {words[-1]}" if words else "")


def _run(command: str, sender: str, student: Student) -> str:
    """A line for a shell that runs the command as local(8) does, with the variables that it exports."""
    user, recipient = student.id, f"{student.id}@{student.domain}"
    variables = {
        "PATH": "/usr/bin:/bin",
        "LANG": "C",
        "SHELL": "/bin/sh",
        "HOME": "/nonexistent",
        "USER": user,
        "LOGNAME": user,
        "LOCAL": user,
        "DOMAIN": student.domain,
        "SENDER": sender,
        "RECIPIENT": recipient,
        "ORIGINAL_RECIPIENT": recipient,
    }
    exported = " ".join(shlex.quote(f"{name}={value}") for name, value in variables.items())
    nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups"
    return (
        f"cd / && timeout 3 {nobody} env -i {exported} /bin/sh -c {shlex.quote(command)} </dev/null 2>&1"
        f" | head -c {_LARGEST_ANSWER}"
    )


def _call(said: str, sender: str, student: Student) -> Call | None:
    user, recipient = student.id, f"{student.id}@{student.domain}"
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
