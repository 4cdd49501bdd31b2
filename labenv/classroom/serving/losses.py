"""What students lost with a server of a swarm: told until they have read it, or it is no news any more."""

from contextlib import suppress
from pathlib import Path

from labenv.classroom.folder import records
from labenv.classroom.folder.model import Class
from labenv.swarm import leases

_FOLDER = "losses"  # a file for each student, with the time of the last loss that they have read of


def unread(of: Class, student: str) -> str:
    """What a student lost lately and has not read of, in sentences; "" for nothing."""
    lease = leases.placed(student)
    lost = leases.news(lease) if lease and lease.class_id == of.id else None
    if lease is None or lost is None:
        return ""
    with suppress(OSError):
        if _file(of, student).read_text(encoding="utf-8").strip() == lost.at:
            return ""
    return " ".join(leases.told(lease))


def read(of: Class, student: str) -> None:
    """The student has read it. Raises UsageError if that cannot be kept."""
    if (lease := leases.placed(student)) and (lost := leases.loss(lease)):
        records.write(records.place(of, _FOLDER, _file(of, student).name), f"{lost.at}\n")


def _file(of: Class, student: str) -> Path:
    return of.records / _FOLDER / f"{student}.txt"
