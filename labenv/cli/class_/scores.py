"""Grades as a terminal shows them, and as the reports get them."""

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import typer

from labenv.text import one_line

if TYPE_CHECKING:
    from labenv.classroom.folder.model import Assignment, Class
    from labenv.classroom.gradebook import Book
    from labenv.classroom.grading.grade import Graded
    from labenv.classroom.grading.model import Grade
    from labenv.classroom.grading.record import Record

_NAMED = 3  # students that a line names; of more, how many there are
_TITLES = ("student", "points", "of", "%", "late", "hints", "notes")


def table(grades: "Sequence[Grade]", alike: "Sequence[tuple[str, str, str]]" = ()) -> None:
    """Print a row for each grade; `alike` are pairs of students with a sentence."""
    from labenv.cli import show

    others: dict[str, list[str]] = {}
    for one, other, _ in alike:
        others.setdefault(one, []).append(other)
        others.setdefault(other, []).append(one)
    rows = [_row(grade, others.get(grade.student, ())) for grade in grades]
    show.table(_TITLES, rows, [at for at, grade in enumerate(grades) if grade.missing])


def notes(grades: "Iterable[Grade]") -> None:
    """Print what is to be known about the grades, below the table; what is to be known of several students, once."""
    whose: dict[str, list[str]] = {}
    for grade in grades:
        for note in grade.notes:
            whose.setdefault(note, []).append(grade.student)
    for note, students in whose.items():
        typer.secho(one_line(f"{_first(students)}: {note}"), fg="yellow")


def _first(students: "Sequence[str]") -> str:
    """The first few of them in words."""
    more = f" and {len(students) - _NAMED} more" if len(students) > _NAMED else ""
    return f"{', '.join(students[:_NAMED])}{more}"


def summary(grades: "Sequence[Grade]") -> "Iterator[str]":
    """How many there are, how they did, and who judged what."""
    from labenv.classroom.gradebook.book import JUDGES

    there = [grade for grade in grades if not grade.missing or grade.overrides]
    lacking = len(grades) - len(there)
    told = f"{len(there)} graded" + (f", {lacking} missing" if lacking else "")
    if there:
        percents = [grade.percent for grade in there]
        told += f"; mean {statistics.mean(percents):.0f} %, median {statistics.median(percents):.0f} %"
    yield f"{told}."
    judged: dict[str, float] = {}
    for grade in there:
        for step in grade.steps:
            if step.of and not grade.missing:
                who = JUDGES[grade.judge_of(step)]
                judged[who] = judged.get(who, 0) + step.of
    if len(judged) == 1:
        yield f"All points were judged {next(iter(judged))}."
    elif whole := sum(judged.values()):
        shares = (f"{100 * points / whole:.0f} % {who}" for who, points in judged.items())
        yield f"How the points were judged: {', '.join(shares)}."


def number(points: float) -> str:
    """Points as a person writes them: two digits behind the dot at most."""
    return f"{round(points, 2):g}"


def _row(grade: "Grade", alike: "Sequence[str]") -> list[str]:
    if grade.missing and not grade.overrides:
        return [grade.student, "-", number(grade.of), "-", "", "", one_line(f"missing: {grade.missing}")]
    said = [
        f"{number(each.points)} points{f' for step {each.step}' if each.step else ''} by {each.author}"
        for each in grade.overrides
    ]
    told = [*said, *([f"missing: {grade.missing}"] if grade.missing else []), *_count(grade)]
    if alike:
        told.append(f"alike: {_first(alike)}")
    late = f"{grade.days_late} d" if grade.days_late else ""
    cells = [grade.student, number(grade.total), number(grade.of), f"{grade.percent:.0f}", late, str(grade.hints or "")]
    return [*cells, one_line("; ".join(told))]


def _count(grade: "Grade") -> "Iterator[str]":
    if differing := sum(step.claimed is not None for step in grade.steps):
        yield f"{differing} step{'s' if differing > 1 else ''} other than the student's own results"
    if grade.notes:
        yield f"{len(grade.notes)} note{'s' if len(grade.notes) > 1 else ''}"


def book(
    of: "Class", assignment: "Assignment", grades: "Sequence[Grade]", record: "Record", run: "Graded | None" = None
) -> "Book":
    """What reports are made from: these grades, all that is on record, and what is known of this run."""
    from labenv.classroom.gradebook import Alike, Book, Page

    names: Mapping[str, object] = {**run.asked, **run.drills} if run else {}
    pages = {name: Page(run.asked.get(name, ()), run.drills.get(name, ())) for name in names} if run else {}
    history = tuple(grade for each in record.runs(assignment.name) for grade in each.grades)
    alike = tuple(Alike((one, other), said) for one, other, said in run.alike) if run else ()
    return Book(of, assignment, tuple(grades), history, alike, pages)
