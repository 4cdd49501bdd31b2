"""The messages in a user's mailboxes on a machine: the spool, and the file to which the mail command may move what was read."""

import re
import shlex
from dataclasses import dataclass

from labenv.checks.machine import Machine
from labenv.mail.office import PROBE

_LARGEST = 1_000_000  # bytes of a mailbox, and characters of the answer, that are read
_LONGEST = 500  # characters of a field
_FILE, _MESSAGE = "=== ", "---"
# Only some fields of each header are printed.
_LOOK = rf"""
home=$(getent passwd $user | cut -d: -f6)
for file in /var/spool/mail/$user "$home/mbox"; do
    [ -f "$file" ] || continue
    echo "{_FILE}$(stat -c '%U' "$file") $file"
    head -c {_LARGEST} "$file" | awk '
        /^From / {{ header = 1; print "{_MESSAGE}" }}
        /^\r?$/ {{ header = 0 }}
        header && tolower($0) ~ /^(from|subject|status|message-id|in-reply-to):/ {{ print substr($0, 1, {_LONGEST}) }}'
done | head -c {_LARGEST}
"""


@dataclass(frozen=True)
class Letter:
    """A message: the fields of its header that are looked at, by their names in small letters."""

    fields: dict[str, str]

    @property
    def sender(self) -> str:
        """The address in From, in small letters."""
        found = re.search(r"[^\s<>\"]+@[^\s<>\"]+", self.fields.get("from", ""))
        return found[0].lower() if found else ""

    @property
    def status(self) -> str:
        """The letters in Status, as the mail command writes them: R for read, O for old."""
        return self.fields.get("status", "")


@dataclass(frozen=True)
class Mailbox:
    """A file with messages, its owner, and the messages that are not labenv's own."""

    path: str
    owner: str
    letters: tuple[Letter, ...]


def of(machine: Machine, user: str) -> list[Mailbox]:
    """A user's mailboxes on a machine, looked up once for all checks of a run."""
    return read(str(machine.once(f"user={shlex.quote(user)}; {_LOOK}").stdout))


def read(said: str) -> list[Mailbox]:
    """The mailboxes in what a machine answered."""
    found = []
    for part in re.split(rf"^{_FILE}", said, flags=re.MULTILINE)[1:]:
        head, _, rest = part.partition("\n")
        owner, _, path = head.partition(" ")
        letters = [_letter(text) for text in re.split(rf"^{_MESSAGE}$", rest, flags=re.MULTILINE)[1:]]
        ours = tuple(one for one in letters if not one.fields.get("message-id", "").startswith(f"<{PROBE}"))
        found.append(Mailbox(path, owner, ours))
    return found


def _letter(text: str) -> Letter:
    rows = (line.partition(":") for line in text.splitlines() if ":" in line)
    return Letter({name.lower(): value.strip() for name, _, value in rows})
