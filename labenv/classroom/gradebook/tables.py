"""A class's grades as tables: what a spreadsheet shows, whichever its format is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from labenv.classroom.gradebook.book import Book
from labenv.classroom.grading.model import Grade, StepGrade
from labenv.sheet import guide
from labenv.text import clean

Cell = str | float | datetime | None


@dataclass(frozen=True)
class Table:
    """A table with a name of at most 31 letters (what a spreadsheet allows for a sheet). Its texts are clean, and may be formulas."""

    name: str
    heading: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def tables(book: Book) -> list[Table]:
    """All that there is to tell, as one table for each thing that is counted: students, steps, remarks, and gradings over time."""
    return [summary(book), points_by_step(book), _steps(book), _remarks(book), _history(book)]


def summary(book: Book) -> Table:
    """One row a student."""
    heading = (
        *("student", "name", "e-mail", "LMS id", "points", "of", "percent", "days late", "deducted", "hints"),
        *("attempt", "handed in", "graded", "source", "decided by a teacher", "missing", "notes", "file"),
    )
    return Table("Summary", heading, tuple(_row(_summed(book, grade)) for grade in book.grades))


def _summed(book: Book, grade: Grade) -> Iterator[Cell]:
    there = book.members.get(grade.student)
    yield from (grade.student, there.name if there else "", there.email if there else "", there.lms_id if there else "")
    counted = not grade.missing or grade.overrides
    yield from (grade.total if counted else None, grade.of or None, round(grade.percent, 2) if counted else None)
    yield from (float(grade.days_late), sum(each.points for each in grade.deductions), float(grade.hints))
    yield from (float(grade.attempt), _local(book, grade.handed_in), _local(book, grade.graded), grade.source)
    yield "; ".join(f"{f'step {each.step}' if each.step else 'total'}: {each.points:g}" for each in grade.overrides)
    yield from (grade.missing, "; ".join(grade.notes), grade.file)


def points_by_step(book: Book) -> Table:
    """One row a student: the id, the name, and for each step the points, with what a teacher decided."""
    steps = book.steps
    rows = []
    for grade in book.grades:
        points = {step.step: grade.points_of(step) for step in grade.steps}
        rows.append(_row([grade.student, book.name_of(grade.student), *(points.get(step) for step in steps)]))
    return Table("Points by step", ("student", "name", *(f"step {step}" for step in steps)), tuple(rows))


def _steps(book: Book) -> Table:
    """One row for each step of each student: who judged it, what was seen, what was expected."""
    heading = (
        *("student", "step", "title", "status", "judged by", "student's own result", "points", "of"),
        *("seen", "expected"),
    )
    rows = [_row(_step(grade, step)) for grade in book.grades for step in grade.steps]
    return Table("Steps", heading, tuple(rows))


def _step(grade: Grade, step: StepGrade) -> Iterator[Cell]:
    yield from (grade.student, step.step, step.title, step.status, grade.judge_of(step), step.claimed or "")
    yield from (grade.points_of(step), step.of, step.seen, step.expected)


def _remarks(book: Book) -> Table:
    """One row for whatever is said of a student: deductions, decisions, notes, likeness, hints, drills."""
    rows = [_row((grade.student, *said)) for grade in book.grades for said in _said(book, grade)]
    rows += [_row((each.students[0], "alike", f"with {each.students[1]}: {each.said}", None)) for each in book.alike]
    return Table("Remarks", ("student", "what", "text", "points"), tuple(rows))


def _said(book: Book, grade: Grade) -> Iterator[tuple[str, str, float | None]]:
    if grade.missing:
        yield "missing", grade.missing, None
    for deduction in grade.deductions:
        yield "deduction", deduction.reason, -deduction.points
    for each in grade.overrides:
        what = f"step {each.step}" if each.step else "total"
        yield "decision", f"{what}, by {each.author} on {each.time:%Y-%m-%d}: {each.reason}", each.points
    for note in grade.notes:
        yield "note", note, None
    page = book.page(grade.student)
    for ask in page.asked:
        yield (
            "hint",
            f"step {ask.step}, {_local(book, ask.moment):%Y-%m-%d %H:%M}: {guide.SAID.get(ask.level, ask.level)}",
            None,
        )
    for drill in page.drills:
        yield "drill", f"{drill.name} (level {drill.level}): {drill.ended} after {drill.seconds} s", None


def _history(book: Book) -> Table:
    """One row for each grading on record."""
    heading = ("student", "graded", "attempt", "handed in", "source", "points", "of", "percent", "rubric", "file")
    rows = [
        _row(
            (
                *(grade.student, _local(book, grade.graded), float(grade.attempt), _local(book, grade.handed_in)),
                *(grade.source, grade.total, grade.of, round(grade.percent, 2), grade.rubric[:12], grade.file),
            )
        )
        for grade in book.history
    ]
    return Table("History", heading, tuple(rows))


def _row(cells: Sequence[Cell] | Iterator[Cell]) -> tuple[Cell, ...]:
    return tuple(clean(cell) if isinstance(cell, str) else cell for cell in cells)


def _local(book: Book, moment: datetime | None) -> datetime | None:
    """A time as the clocks of the class show it: spreadsheets know no time zones."""
    return moment.astimezone(book.of.zone).replace(tzinfo=None, microsecond=0) if moment else None
