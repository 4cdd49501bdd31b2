"""Sentences from the teacher to a student, kept until the student has read them.

They lie in records/nudges/STUDENT.json, oldest first.
"""

import json
import secrets
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from labenv.classroom.folder import records
from labenv.classroom.folder.model import Class
from labenv.errors import UsageError
from labenv.text import one_line

LONGEST = 400  # characters of a sentence
MOST = 20  # that wait for one student; then the oldest goes
_FOLDER = "nudges"
_lock = threading.Lock()


@dataclass(frozen=True)
class Nudge:
    """A sentence, and when it was sent (ISO 8601, UTC)."""

    key: str
    text: str
    time: str


def tidy(text: str) -> str:
    """The sentence as it is sent: on one line. Raises UsageError if there is none, or if it is too long."""
    found = one_line(text).strip()
    if not found:
        raise UsageError("There is no sentence to send. Write one.")
    if len(found) > LONGEST:
        raise UsageError(f"The sentence has {len(found)} characters, and {LONGEST} are shown. Write a shorter one.")
    return found


def send(of: Class, students: Iterable[str], text: str) -> None:
    """Keep a sentence for these students. Raises UsageError as `tidy` does, and if it cannot be kept."""
    made = Nudge(secrets.token_hex(8), tidy(text), datetime.now(UTC).isoformat(timespec="seconds"))
    with _lock:
        for student in students:
            _write(of, student, [*unread(of, student), made][-MOST:])


def unread(of: Class, student: str) -> list[Nudge]:
    """What a student has not read yet, oldest first. A file that is damaged has nothing."""
    try:
        kept = json.loads(_file(of, student).read_text(encoding="utf-8"))
        return [Nudge(**{name: str(each[name]) for name in ("key", "text", "time")}) for each in kept]
    except (OSError, ValueError, TypeError, LookupError):
        return []


def read(of: Class, student: str, keys: Iterable[str]) -> None:
    """The student has read these. Raises UsageError if that cannot be kept."""
    gone = set(keys)
    with _lock:
        there = unread(of, student)
        left = [each for each in there if each.key not in gone]
        if left != there:
            _write(of, student, left)


def said(nudge: Nudge, of: Class) -> str:
    """The sentence with the time at which it was sent, where the class is."""
    try:
        at = f"{datetime.fromisoformat(nudge.time).astimezone(of.zone):%H:%M} "
    except ValueError:
        at = ""
    return f"{at}Your teacher says: {nudge.text}"


def _write(of: Class, student: str, left: list[Nudge]) -> None:
    if left:
        records.write(records.place(of, _FOLDER, _file(of, student).name), json.dumps([asdict(each) for each in left]))
    else:
        _file(of, student).unlink(missing_ok=True)


def _file(of: Class, student: str) -> Path:
    return of.records / _FOLDER / f"{student}.json"
