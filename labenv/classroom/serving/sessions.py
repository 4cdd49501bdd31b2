"""Who is signed in to the page of a class, kept for the next server: of each session only a hash of what the browser has.

A session ends when nobody has used it for half a day, when its student signs out, and when the table forgets it.
"""

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from labenv.classroom.folder.model import Class
from labenv.classroom.serving import tables

IDLE = 12 * 3600.0  # seconds
EACH = 10  # sessions of one student: of an eleventh the one longest unused makes room
_TABLE = "sessions"
_KEPT = 600.0  # seconds by which a last use may be later than the table says


@dataclass
class _Known:
    student: str
    used: float


@dataclass(eq=False)
class Sessions:
    """The sessions of a class. The teacher is the student called ""."""

    of: Class
    clock: Callable[[], float] = time.time
    _known: dict[str, _Known] = field(default_factory=dict)
    _read: int = 0

    def begin(self, student: str) -> str:
        """What the browser of somebody who has just signed in is to send from now on. Raises UsageError if it cannot be kept."""
        secret = secrets.token_urlsafe(32)
        now = self.clock()
        with tables.changing(self.of, _TABLE) as table:
            for other, theirs in list(table.items()):
                table[other] = {key: used for key, used in theirs.items() if now - used < IDLE}
                if not table[other]:
                    del table[other]
            mine = sorted(table.get(student, {}).items(), key=lambda each: each[1])[-EACH + 1 :]
            table[student] = dict(mine) | {_hash(secret): now}
        return secret

    def whose(self, secret: str) -> str | None:
        """Whose session it is; None for one that is none, or is over. Raises UsageError."""
        self._read_again()
        known = self._known.get(_hash(secret))
        return known.student if known and self.clock() - known.used < IDLE else None

    def use(self, secret: str) -> None:
        """Somebody does something in a session, which goes on for as long again. Raises UsageError."""
        if self.whose(secret) is None:
            return
        key, now = _hash(secret), self.clock()
        known = self._known[key]
        if now - known.used >= _KEPT:
            with tables.changing(self.of, _TABLE) as table:
                if key in table.get(known.student, {}):
                    table[known.student][key] = now
        known.used = now

    def end(self, secret: str) -> None:
        """End a session. Raises UsageError."""
        with tables.changing(self.of, _TABLE) as table:
            for theirs in table.values():
                theirs.pop(_hash(secret), None)

    def _read_again(self) -> None:
        """Read the table if it has changed: another command may have forgotten somebody."""
        written = tables.written(self.of, _TABLE)
        if written == self._read:
            return
        self._read = written
        before = self._known
        self._known = {
            key: _Known(student, max(used, before[key].used) if key in before else used)
            for student, theirs in tables.read(self.of, _TABLE).items()
            for key, used in theirs.items()
        }


def count(of: Class, student: str) -> int:
    """How many sessions a student has. Raises UsageError."""
    return len(tables.read(of, _TABLE).get(student, {}))


def forget(of: Class, student: str) -> int:
    """End all sessions of a student; returns how many there were. Raises UsageError."""
    with tables.changing(of, _TABLE) as table:
        return len(table.pop(student, {}))


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
