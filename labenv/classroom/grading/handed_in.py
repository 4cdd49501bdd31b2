"""When hand-ins came, from a CSV file: one of the teacher's own, or the grading worksheet that Moodle gives.

It has a column that names the student (id, e-mail, login or name) and one with the time. Moodle's worksheet also tells which
participant is whom (mod/assign/feedback/offline: "Identifier", "Last modified (submission)").
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from pathlib import Path

from labenv.classroom.folder import columns, table
from labenv.classroom.folder.columns import Columns
from labenv.classroom.folder.model import Class
from labenv.classroom.grading.whose import Roster
from labenv.errors import UsageError
from labenv.text import one_line

_TIME = ("time", "handedin", "submitted", "submittedat", "submissiontime", "lastmodifiedsubmission", "datesubmitted")
_NUMBER = re.compile(r"\D*(\d+)")  # "Participant 12345", in any language
# Beside ISO 8601: Moodle in English ("Tuesday, 26 January 2027, 11:59 PM"), spreadsheets.
_FORMS = (
    "%A, %d %B %Y, %I:%M %p",
    "%A, %B %d, %Y, %I:%M %p",
    "%A, %d %B %Y, %H:%M",
    "%d %B %Y, %I:%M %p",
    "%d %B %Y, %H:%M",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y %H:%M:%S",
)


@dataclass(frozen=True)
class HandedIn:
    """The times of each student's hand-ins by id, oldest first, and the student whom Moodle's number of a participant means."""

    times: dict[str, list[datetime]] = field(default_factory=dict)
    participants: dict[str, str] = field(default_factory=dict)


def read(file: Path, of: Class) -> HandedIn:
    """What a CSV file says; a time without a zone is in that of the class. Raises UsageError, with the line, for what it cannot read."""
    told = table.read(file, lambda cell: columns.known(cell) or _plain(cell) in _TIME, "id")
    timed = next((name for name in told.columns if _plain(name) in _TIME), None)
    if timed is None:
        raise UsageError(f"{file} has no column with the time. Call it time, beside a column id with the student.")
    number_in = next((name for name in told.columns if _plain(name) == "identifier"), "")
    meant = columns.understood(told.columns)
    roster = Roster(of.members)
    times: dict[str, list[datetime]] = defaultdict(list)
    participants: dict[str, str] = {}
    for row in told.rows:
        try:
            member = roster.find(_keys(row.cells, meant))
        except UsageError as error:
            raise UsageError(f"{file}:{row.line}: {error}") from error
        if member is None:  # a worksheet lists the whole course, of which a class may be a part
            continue
        if number := _NUMBER.fullmatch(row.cells.get(number_in, "")):
            participants[number[1]] = member.id
        if said := row.cells[timed].strip(" -"):  # Moodle writes - for none
            times[member.id].append(_moment(said, of.zone, file, row.line))
    if not times:
        raise UsageError(
            f"{file} has no time for any student in the roster. A row needs the student's id, e-mail or name, and a time."
        )
    return HandedIn({name: sorted(found) for name, found in times.items()}, participants)


def _moment(text: str, zone: tzinfo, file: Path, line: int) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        found = (_parsed(text, form) for form in _FORMS)
        if not (there := next(filter(None, found), None)):
            raise UsageError(
                f"{file}:{line}: '{one_line(text)[:60]}' is no time. Write it as 2027-01-26 23:59."
            ) from None
        moment = there
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def _parsed(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(text, form)
    except ValueError:
        return None


def _keys(cells: Mapping[str, str], meant: Columns) -> Iterator[str]:
    """What a row has that names its student, the surest first."""
    yield from (cells[name] for name in (meant.id, meant.lms_id, meant.email) if name and cells[name].strip())
    if name := " ".join(cells[part] for part in meant.name).strip():
        yield name


def _plain(name: str) -> str:
    """The letters of a column's name."""
    return re.sub(r"[\W_]", "", name).casefold()
