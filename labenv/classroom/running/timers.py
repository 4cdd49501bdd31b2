"""When environments of a class are stopped by themselves: kept among the class's records, a file for each student.

`labenv class up --for` and `--idle` set them, and `labenv class serve` holds to them. Because they are files, they outlast both.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from labenv import student
from labenv.classroom.folder import records
from labenv.classroom.folder.model import Class
from labenv.errors import LabenvError

_FOLDER = "timers"


@dataclass(frozen=True)
class Timer:
    """When a student's environment is stopped: at a time (with a zone), and after so long without activity; None: never.

    `since` is when it was set (seconds since 1970), where it was read.
    """

    student: str
    until: datetime | None = None
    idle: timedelta | None = None
    since: float = field(default=0.0, compare=False)


def set_(of: Class, timer: Timer) -> None:
    """Keep a student's timer, in place of the one before. Raises UsageError if it cannot be written."""
    told = {
        "until": timer.until.isoformat(timespec="seconds") if timer.until else None,
        "idle": timer.idle.total_seconds() if timer.idle else None,
    }
    records.write(records.place(of, _FOLDER, f"{student.check_id(timer.student)}.json"), json.dumps(told) + "\n")


def get_all(of: Class) -> dict[str, Timer]:
    """The timers by student. A file that is no timer is passed over: it stops nobody's work."""
    return {timer.student: timer for file in sorted((of.records / _FOLDER).glob("*.json")) for timer in _read(file)}


def drop(of: Class, student_id: str) -> None:
    """Forget a student's timer, if there is one: the environment was stopped or removed, or goes on without."""
    with suppress(OSError):
        (of.records / _FOLDER / f"{student.check_id(student_id)}.json").unlink()


def _read(file: Path) -> Iterator[Timer]:
    with suppress(OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError, LabenvError):
        told = json.loads(file.read_text(encoding="utf-8"))
        until = datetime.fromisoformat(told["until"]) if told["until"] else None
        idle = timedelta(seconds=told["idle"]) if told["idle"] else None
        if until is None or until.tzinfo:
            yield Timer(student.check_id(file.stem), until, idle, file.stat().st_mtime)
