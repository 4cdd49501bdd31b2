"""Grades for the eye: a row for each student, what is to be known beside it, and how the class did."""

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence

from labenv.classroom.folder.model import Assignment, Class
from labenv.classroom.gradebook.book import JUDGES, Alike, Book, Page
from labenv.classroom.grading.grade import Graded
from labenv.classroom.grading.model import Grade
from labenv.classroom.grading.record import Record
from labenv.errors import UsageError
from labenv.text import many, number, one_line

HEADING = ("student", "points", "of", "%", "late", "hints", "notes")
_NAMED = 3  # students that a line names; of more, how many there are


def kept(of: Class, assignment: Assignment) -> list[Grade]:
    """The grades of a lab that are on record, in the order of the roster, then of those who have left it.

    Raises UsageError if nothing was graded yet.
    """
    last = Record(of).last(assignment.name)
    if not last:
        raise UsageError(f"Nothing of {assignment.name} was graded yet. Begin with: labenv class grade")
    in_order = [one.id for one in of.members if one.id in last]
    return [last[name] for name in (*in_order, *sorted(last.keys() - set(in_order)))]


def book(of: Class, assignment: Assignment, grades: Sequence[Grade], run: Graded | None = None) -> Book:
    """What files are made from: these grades, all that is on record, and what is known of this run."""
    names: Mapping[str, object] = {**run.asked, **run.drills} if run else {}
    pages = {name: Page(run.asked.get(name, ()), run.drills.get(name, ())) for name in names} if run else {}
    history = tuple(grade for each in Record(of).runs(assignment.name) for grade in each.grades)
    alike = tuple(Alike((one, other), said) for one, other, said in run.alike) if run else ()
    return Book(of, assignment, tuple(grades), history, alike, pages)


def rows(grades: Sequence[Grade], alike: Sequence[tuple[str, str, str]] = ()) -> list[list[str]]:
    """A row for each grade, under HEADING; `alike` are pairs of students with a sentence."""
    others: dict[str, list[str]] = {}
    for one, other, _ in alike:
        others.setdefault(one, []).append(other)
        others.setdefault(other, []).append(one)
    return [_row(grade, others.get(grade.student, ())) for grade in grades]


def notes(grades: Iterable[Grade]) -> Iterator[str]:
    """What is to be known about the grades; what is to be known of several students, once."""
    whose: dict[str, list[str]] = {}
    for grade in grades:
        for note in grade.notes:
            whose.setdefault(note, []).append(grade.student)
    for note, students in whose.items():
        yield one_line(f"{_first(students)}: {note}")


def summary(grades: Sequence[Grade]) -> Iterator[str]:
    """How many there are, how they did, and who judged what."""
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


def _first(students: Sequence[str]) -> str:
    """The first few of them in words."""
    more = f" and {len(students) - _NAMED} more" if len(students) > _NAMED else ""
    return f"{', '.join(students[:_NAMED])}{more}"


def _row(grade: Grade, alike: Sequence[str]) -> list[str]:
    if grade.missing and not grade.overrides:
        return [grade.student, "-", number(grade.of), "-", "", "", one_line(f"missing: {grade.missing}")]
    told = [
        f"{number(each.points)} points{f' for step {each.step}' if each.step else ''} by {each.author}"
        for each in grade.overrides
    ]
    if grade.missing:
        told.append(f"missing: {grade.missing}")
    if differing := sum(step.claimed is not None for step in grade.steps):
        told.append(f"{many(differing, 'step')} other than the student's own results")
    if grade.notes:
        told.append(many(len(grade.notes), "note"))
    if alike:
        told.append(f"alike: {_first(alike)}")
    late = f"{grade.days_late} d" if grade.days_late else ""
    cells = [grade.student, number(grade.total), number(grade.of), f"{grade.percent:.0f}", late, str(grade.hints or "")]
    return [*cells, one_line("; ".join(told))]
