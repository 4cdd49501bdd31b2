"""Who did what, when, from where: one line of JSON each, kept of all that goes through the gate.

What is typed in a shell is not kept here (the machines have their own history), but that a shell was opened, in which machine, and for
how long. A command that is given on ssh's command line is kept.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from labenv.classroom.folder import records
from labenv.classroom.folder.model import Class
from labenv.text import one_line

_FILE, _LOCK = "audit.log", "audit.lock"
_SHOWN = 500  # characters of one value


def note(of: Class, student: str, what: str, address: str = "", **more: str | int) -> None:
    """Add a line: the student's id ("" for none of the roster), what was done, the address it came from, and what belongs to it.

    Values from elsewhere are made clean and cut. Raises UsageError if the log cannot be written.
    """
    entry: dict[str, Any] = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "student": student,
        "from": address,
        "what": what,
        **more,
    }
    tidy = {key: one_line(value)[:_SHOWN] if isinstance(value, str) else value for key, value in entry.items()}
    with _locked(of):
        records.append(records.place(of, _FILE), tidy)


def read(of: Class, students: frozenset[str] | None = None) -> Iterator[dict[str, Any]]:
    """The lines, oldest first, of these students or of all; each with time (ISO 8601, UTC), student, from, what, and more.

    A line that is none (the disk was full) is left out.
    """
    if not (of.records / _FILE).exists():
        return
    with open(of.records / _FILE, encoding="utf-8", errors="replace") as log:
        for line in log:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and (students is None or entry.get("student") in students):
                yield entry


def forget(of: Class, student: str) -> int:
    """Remove the lines of a student; returns how many there were. Raises UsageError if the log cannot be written."""
    gone = 0
    with _locked(of):
        kept = []
        for entry in read(of):
            if entry.get("student") == student:
                gone += 1
            else:
                kept.append(json.dumps(entry, ensure_ascii=False) + "\n")
        if gone:
            records.write(records.place(of, _FILE), "".join(kept))
    return gone


@contextmanager
def _locked(of: Class) -> Iterator[None]:
    """Nobody else writes during the block: `forget` replaces the file, and a line in the old one would be lost."""
    descriptor = os.open(records.place(of, _LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
