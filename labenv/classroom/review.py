"""Reads handed-in archives into one table."""

import csv
import io
import ipaddress
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import jinja2

from labenv import student as students
from labenv.classroom import archive, claims, handin
from labenv.classroom.archive import Archive
from labenv.errors import UsageError
from labenv.lab import labs
from labenv.lab.model import Lab
from labenv.plain_tar import Unreadable
from labenv.sheet import guide, logbook
from labenv.student import Student
from labenv.text import one_line

_TEMPLATES = Path(__file__).parent / "templates"
_STATUSES = ("pass", "fail", "skip", "warn")
_MOST_NOTES, _LONGEST_NOTE = 20, 1000
# The columns of the table: a field of `Submission`, and its name in CSV.
COLUMNS = {
    "student": "student",
    "domain": "domain",
    "when": "when",
    "held": "hold",
    "failed": "fail",
    "waiting": "wait",
    "first": "first failing",
    "hints": "hints",
    "book": "log book",
    "notes": "notes",
    "file": "file",
}
# The same on the screen and in HTML, in the words of the checks.
TITLES = COLUMNS | {"held": "pass"}


@dataclass(frozen=True)
class Submission:
    """One archive in the table. `sound` says whether it could be read and matches its manifest.

    `held`, `failed` and `waiting` count the steps that pass, fail, and wait for another. `book` says how many sections of
    the log book are filled in, of how many.
    """

    file: str
    student: str = ""
    domain: str = ""
    when: str = ""
    held: int = 0
    failed: int = 0
    waiting: int = 0
    first: str = ""
    hints: int = 0
    book: str = ""
    notes: tuple[str, ...] = ()
    sound: bool = True

    def cells(self) -> list[str]:
        """The row as text, one cell per column, without characters that a screen or a spreadsheet would obey."""
        values = {**asdict(self), "notes": "; ".join(self.notes)}
        told = COLUMNS if self.student else ("notes", "file")  # an unreadable archive has no counts
        return [one_line(str(values[name])) if name in told else "" for name in COLUMNS]

    def to_dict(self) -> dict[str, Any]:
        """The row as `review --json` shows it."""
        return {
            **{name: one_line(v) if isinstance(v, str) else v for name, v in asdict(self).items()},
            "notes": [one_line(note) for note in self.notes],
        }


def review(files: Iterable[Path]) -> list[Submission]:
    """A row for each archive, in the given order; the notes of a broken one say why.

    Raises UsageError when none of the files exists.
    """
    files = list(files)
    if not any(file.exists() for file in files):
        raise UsageError(
            f"There is no file {one_line(', '.join(map(str, files)))}. Give archives from `labenv submit`."
        )
    rows, books = [], []
    for file in files:
        try:
            row, words = _row(file, archive.read(file))
        except Unreadable as error:
            row, words = Submission(str(file), notes=(f"unreadable: {error}",), sound=False), ""
        rows.append(row)
        books.append(words)
    return _compared(rows, books)


def as_csv(rows: Iterable[Submission]) -> str:
    """The table as CSV (RFC 4180); a cell that a spreadsheet would take for a formula gets an apostrophe in front."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS.values())
    for row in rows:
        writer.writerow([f"'{cell}" if cell.lstrip()[:1] in ("=", "+", "-", "@") else cell for cell in row.cells()])
    return buffer.getvalue()


def as_html(rows: Iterable[Submission]) -> str:
    """The table as one self-contained HTML page."""
    pages = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return pages.get_template("review.html.j2").render(columns=TITLES, rows=list(rows))


def _row(file: Path, given: Archive) -> tuple[Submission, str]:
    """The row of an archive, and the student's own words in its log book. Raises Unreadable."""
    about = given.manifest
    student, lab = _student(about), _lab(about)
    notes = list(given.notes)
    if about["domain"] != student.domain:
        notes.append(f"the manifest's domain is {about['domain']}, not the student's")
    claimed, failed, waiting = _steps(given, lab, student, notes)
    notes += _noted(given)
    notes += claims.contradictions(given, student.id, about["network"], claimed)
    wanted = handin.wanted(lab)
    expected = [handin.BOOK, handin.HINTS, *(f"evidence/{machine}.txt" for machine in wanted.machines)]
    notes += [f"{name} is missing" for name in expected if name not in given.members]
    book = logbook.sections(given.text(handin.BOOK)[: logbook.LARGEST], logbook.blank(lab, student))
    filled = sum(section.is_filled for section in book)
    hints = list(guide.read_asked(given.text(handin.HINTS)[: logbook.LARGEST].splitlines()))
    row = Submission(
        file=str(file),
        student=student.id,
        domain=about["domain"],
        when=about["time"],
        held=len(claimed),
        failed=len(failed),
        waiting=len(waiting),
        first=f"{failed[0]}: {lab.steps[failed[0]].title}" if failed else "",
        hints=len(hints),
        book=f"{filled} of {len(book)}",
        notes=tuple(notes),
        sound=not given.notes,
    )
    return row, logbook.own_words(book)


def _noted(given: Archive) -> list[str]:
    """What `labenv submit` noted about the programs of the machines."""
    notes = archive.document(given.members.get(handin.CHECKS), handin.CHECKS).get("notes")
    said = notes if isinstance(notes, list) else []
    return [note[:_LONGEST_NOTE] for note in said[:_MOST_NOTES] if isinstance(note, str)]


def _student(about: dict[str, Any]) -> Student:
    try:
        network = ipaddress.IPv4Network(about["network"])
        return Student(students.check_id(about["student"]), network.network_address.packed[2], "first", "")
    except (UsageError, ValueError) as error:
        raise Unreadable(f"its manifest has no valid student and network: {error}") from error


def _lab(about: dict[str, Any]) -> Lab:
    if about["lab"] not in labs.names():
        raise Unreadable("this version of labenv does not have its lab")
    return labs.load(about["lab"])


def _steps(given: Archive, lab: Lab, student: Student, notes: list[str]) -> tuple[set[str], list[str], list[str]]:
    """The steps that pass, fail, and wait for another, according to the check results. Raises Unreadable."""
    report = archive.document(given.members.get(handin.CHECKS), handin.CHECKS)
    if report.get("student") != student.id:
        notes.append(f"{handin.CHECKS} is not the student's")
    results = report.get("results")
    found: dict[str, set[str]] = defaultdict(set)
    for result in results if isinstance(results, list) else []:
        step, status = (result.get("step"), result.get("status")) if isinstance(result, dict) else (None, None)
        if not isinstance(step, str) or step not in lab.steps or status not in _STATUSES:
            raise Unreadable(f"its {handin.CHECKS} has a result with an unknown step or status")
        found[step].add(status)
    if lacking := [s.id for s in lab.steps.values() if not s.is_for_a_person and s.id not in found]:
        notes.append(f"{handin.CHECKS} has no result for {len(lacking)} steps, the first is {lacking[0]}")
    failed = [name for name in lab.steps if "fail" in found[name]]
    waiting = [n for n, s in lab.steps.items() if "skip" in found[n] and n not in failed and not s.is_for_a_person]
    held = {name for name, seen in found.items() if seen and seen <= {"pass", "warn"}}
    return held, failed, waiting


def _compared(rows: list[Submission], books: list[str]) -> list[Submission]:
    """The rows, with notes on what several of them share."""
    compared = []
    for row, words in zip(rows, books, strict=True):
        others = [
            other
            for other, theirs in zip(rows, books, strict=True)
            if words and theirs == words and other.student != row.student
        ]
        notes = [f"same log book as {other.student}" for other in others]
        again = [other.file for other in rows if other is not row and row.student and other.student == row.student]
        notes += [f"same student as in {name}" for name in again]
        compared.append(replace(row, notes=(*row.notes, *notes)))
    return compared
