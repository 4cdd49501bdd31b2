"""Hand-ins that came through the gate: when the server took each one in is its name, so lateness is never the archive's own word.

They lie in records/handins/LAB/STUDENT/, each called by its time in UTC in ISO 8601's basic form, such as 20270126T231005Z.tar.gz.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from labenv.classroom.folder import records
from labenv.classroom.folder.model import Assignment, Class
from labenv.errors import UsageError
from labenv.text import many

_FOLDER, _FORM, _ENDING = "handins", "%Y%m%dT%H%M%SZ", ".tar.gz"


def file_for(of: Class, assignment: Assignment, student: str, now: datetime) -> Path:
    """Where a hand-in goes that comes now; its folder is made. Raises UsageError, with the reason, if it is not taken.

    It is not before the lab is open, after the last late day, or when there were as many as the class allows.
    """
    if not assignment.is_open(now):
        raise UsageError(f"{assignment.name} is not open yet. It opens {_said(assignment.open, of)}.")
    last = last_moment(assignment)
    if last and now > last:
        raise UsageError(f"{assignment.name} is closed: it was due {_said(assignment.due, of)}. Ask your teacher.")
    before = len(list_(of, assignment, student))
    if assignment.attempts is not None and before >= assignment.attempts:
        raise UsageError(
            f"You have handed in {assignment.name} {before} times, and {assignment.attempts} are allowed. Ask your teacher."
        )
    return records.place(of, _FOLDER, assignment.name, student, f"{now.astimezone(UTC):{_FORM}}{_ENDING}")


def list_(of: Class, assignment: Assignment, student: str) -> list[Path]:
    """What a student has handed in of a lab, oldest first."""
    folder = of.records / _FOLDER / assignment.name / student
    return sorted(file for file in folder.glob(f"*{_ENDING}") if taken_at(file))


def folders(of: Class, student: str) -> dict[str, Path]:
    """The folders of a student's hand-ins by the name of the lab, of the labs where there are some."""
    found = {each.name: of.records / _FOLDER / each.name / student for each in of.labs}
    return {name: folder for name, folder in found.items() if folder.is_dir()}


def taken_at(file: Path) -> datetime | None:
    """When the server took a hand-in in, from the file's name; None for a file with another name."""
    try:
        return datetime.strptime(file.name.removesuffix(_ENDING), _FORM).replace(tzinfo=UTC)
    except ValueError:
        return None


def last_moment(assignment: Assignment) -> datetime | None:
    """Until when a hand-in is taken; None if there is no due date."""
    if assignment.due is None:
        return None
    return assignment.due + assignment.late.grace + timedelta(days=assignment.late.days)


def said(assignment: Assignment, now: datetime, of: Class) -> str:
    """How a hand-in at that time stands to the due date, in words."""
    if assignment.due is None:
        return "no due date"
    if now <= assignment.due + assignment.late.grace:
        return f"in time, due {_said(assignment.due, of)}"
    days = -((assignment.due + assignment.late.grace - now) // timedelta(days=1))
    return f"{many(days, 'day')} late, due {_said(assignment.due, of)}"


def _said(moment: datetime | None, of: Class) -> str:
    return f"{moment.astimezone(of.zone):%Y-%m-%d %H:%M} ({of.zone})" if moment else "at no time"
