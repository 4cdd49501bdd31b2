"""What the report says of a class and of each student, ready for the templates: which step where, who judged, what differs."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import groupby

from labenv.classroom.gradebook import Book
from labenv.classroom.gradebook.book import JUDGES, Page
from labenv.classroom.grading.model import Grade, StepGrade
from labenv.classroom.report import pictures
from labenv.classroom.report.pictures import Curve, Histogram
from labenv.sheet.progress import SYMBOLS

# The classes of the cells, with the sign that the terminal has, and the words for whoever does not see it.
MARKS = {
    "pass": (SYMBOLS["pass"], "passes"),
    "warn": (SYMBOLS["warn"], "passes, with a warning"),
    "fail": (SYMBOLS["fail"], "fails"),
    "skip": (SYMBOLS["skip"], "waits for another step"),
    "person": (SYMBOLS["person"], "for a person to judge"),
    "none": ("", "nothing to grade"),
}
_MOST_TROUBLE = 8
_LONGEST = 1500  # letters of what was seen


def mark(step: StepGrade) -> str:
    """The class of a step's cell, a key of MARKS."""
    if step.status == "missing":
        return "none"
    return "person" if step.judge == "person" and step.status == "skip" else step.status


def cut(text: str) -> str:
    """A text short enough for a page."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


@dataclass(frozen=True)
class Trouble:
    """A step that fails for `count` students, with what is seen most often there, by `seen_by` of them."""

    step: str
    title: str
    count: int
    seen: str
    seen_by: int


@dataclass(frozen=True)
class Cell:
    """A step of a student in the table: `kind` is a key of MARKS; `differs`: the student's own result says otherwise."""

    kind: str
    differs: bool = False
    decided: bool = False


@dataclass(frozen=True)
class Student:
    """One student's part of the report."""

    book: Book
    grade: Grade

    @property
    def id(self) -> str:
        """The id in labenv."""
        return self.grade.student

    @property
    def name(self) -> str:
        """The roster's name, or the id."""
        return self.book.name_of(self.id)

    @property
    def email(self) -> str:
        """The roster's address; "" if it has none."""
        there = self.book.members.get(self.id)
        return there.email if there else ""

    @property
    def counts(self) -> bool:
        """Whether there are points: something was graded, or a teacher decided."""
        return not self.grade.missing or bool(self.grade.overrides)

    @property
    def page(self) -> Page:
        """Hints and drills."""
        return self.book.page(self.id)

    @cached_property
    def cells(self) -> list[Cell]:
        """The row of the table, in the order of the book's steps."""
        decided = {each.step for each in self.grade.overrides}
        if self.grade.missing:
            return [Cell("none", decided=step in decided) for step in self.book.steps]
        there = {
            step.step: Cell(mark(step), step.claimed is not None, step.step in decided) for step in self.grade.steps
        }
        return [there.get(step, Cell("none")) for step in self.book.steps]

    @property
    def judged(self) -> list[tuple[str, float, float, int]]:
        """For each kind of judge: its words, the points, of how many, in how many steps. What differs is kept apart."""
        told = []
        for judge, words in JUDGES.items():
            steps = [step for step in self._shown if self.grade.judge_of(step) == judge]
            if steps:
                points = sum(self.grade.points_of(step) for step in steps)
                told.append((words, points, sum(step.of for step in steps), len(steps)))
        return told

    @cached_property
    def open(self) -> list[StepGrade]:
        """The steps to look at: all but the two kinds below."""
        kept = {step.step for step in (*self.passing, *self.undecided)}
        return [step for step in self._shown if step.step not in kept]

    @cached_property
    def passing(self) -> list[StepGrade]:
        """The steps that simply pass: by all results, and without a teacher."""
        return [s for s in self._shown if s.status == "pass" and s.claimed is None and not self.decision(s)]

    @cached_property
    def undecided(self) -> list[StepGrade]:
        """The steps that a person has to judge and has not."""
        return [step for step in self._shown if mark(step) == "person" and not self.decision(step)]

    @property
    def _shown(self) -> tuple[StepGrade, ...]:
        """The steps that there is something to say about: of a missing hand-in, those that a teacher decided."""
        if self.grade.missing:
            return tuple(step for step in self.grade.steps if self.decision(step))
        return self.grade.steps

    @property
    def differing(self) -> int:
        """In how many steps the student's own result is another one."""
        return sum(step.claimed is not None for step in self.grade.steps)

    @cached_property
    def past(self) -> list[Grade]:
        """The gradings on record, oldest first."""
        return self.book.past(self.id)

    @property
    def curve(self) -> Curve | None:
        """The gradings as a picture."""
        return pictures.small(self.past, self.book.of.zone)

    @property
    def alike(self) -> list[tuple[str, str]]:
        """With whose work this one has something in common, and what."""
        return [
            (next((other for other in each.students if other != self.id), self.id), each.said)
            for each in self.book.alike
            if self.id in each.students
        ]

    def changed(self, place: int) -> str:
        """What a grading changed, in words, against the one before it in `past`."""
        if place == 0:
            return ""
        before = {step.step: self.past[place - 1].points_of(step) for step in self.past[place - 1].steps}
        now = self.past[place]
        more = [s.step for s in now.steps if s.step in before and now.points_of(s) > before[s.step]]
        less = [s.step for s in now.steps if s.step in before and now.points_of(s) < before[s.step]]
        told = [
            f"{word}: {', '.join(steps)}" for word, steps in (("more points", more), ("fewer points", less)) if steps
        ]
        if now.rubric != self.past[place - 1].rubric:
            told.append("another rubric")
        return "; ".join(told)

    def decision(self, step: StepGrade) -> str:
        """What a teacher decided about a step, in words; "" if nothing."""
        found = [each for each in self.grade.overrides if each.step == step.step]
        return f"{found[-1].author}: {found[-1].reason}" if found else ""


@dataclass(frozen=True)
class Overview:
    """The class as a whole."""

    book: Book

    @cached_property
    def students(self) -> list[Student]:
        """Everybody, in the order of the grades."""
        return [Student(self.book, grade) for grade in self.book.grades]

    @cached_property
    def percents(self) -> list[float]:
        """The results that there are."""
        return [student.grade.percent for student in self.students if student.counts]

    @property
    def facts(self) -> Iterator[tuple[str, str]]:
        """What to know first: a number, and what it counts."""
        yield f"{len(self.percents)} of {len(self.students)}", "students graded"
        yield f"{pictures.middle(self.percents):.0f} %", "the median"
        grades = self.book.grades
        for count, words in (
            (sum(bool(grade.missing) for grade in grades), "without a hand-in"),
            (sum(grade.days_late > 0 for grade in grades), "late"),
            (sum(bool(grade.overrides) for grade in grades), "decided by a teacher"),
            (sum(student.differing > 0 for student in self.students), "where the student's own result differs"),
        ):
            if count:
                yield str(count), words

    @property
    def judged(self) -> Iterator[tuple[str, int, int, float, float]]:
        """For each kind of judge: its words, the results of steps, how many pass, the points, of how many."""
        for judge, words in JUDGES.items():
            there = [
                (grade, step)
                for grade in self.book.grades
                for step in grade.steps
                if grade.judge_of(step) == judge and not grade.missing
            ]
            if there:
                points = sum(grade.points_of(step) for grade, step in there)
                passing = sum(step.status in ("pass", "warn") for _, step in there)
                yield words, len(there), passing, points, sum(step.of for _, step in there)

    @property
    def distribution(self) -> Histogram:
        """The picture of the results."""
        return pictures.histogram(self.percents)

    @property
    def handed_in(self) -> Curve | None:
        """The picture of the hand-ins over time."""
        return pictures.handed_in(self.book.grades, len(self.students), self.book.assignment.due, self.book.of.zone)

    @property
    def progress(self) -> Curve | None:
        """The picture of the results over time."""
        return pictures.progress(self.book.history, self.book.assignment.due, self.book.of.zone)

    @property
    def headings(self) -> list[tuple[str, list[str]]]:
        """The headings of the sheet, each with its steps, for the columns of the table."""
        known = self.book.lab.steps
        grouped = groupby(self.book.steps, key=lambda step: known[step].heading if step in known else "")
        return [(heading, list(steps)) for heading, steps in grouped]

    @property
    def passing(self) -> Iterator[int | None]:
        """For each step of the table, for how many it passes; None where nothing was judged yet."""
        for place in range(len(self.book.steps)):
            kinds = [student.cells[place].kind for student in self.students]
            judged = any(kind not in ("person", "none") for kind in kinds)
            yield sum(kind in ("pass", "warn") for kind in kinds) if judged else None

    @property
    def trouble(self) -> list[Trouble]:
        """The steps that fail most often."""
        failed = [step for grade in self.book.grades for step in grade.steps if step.status == "fail"]
        told = []
        for step, count in Counter(each.step for each in failed).most_common(_MOST_TROUBLE):
            here = [each for each in failed if each.step == step]
            seen, seen_by = Counter(each.seen for each in here).most_common(1)[0]
            told.append(Trouble(step, here[0].title, count, cut(seen), seen_by))
        return told

    def local(self, moment: datetime) -> datetime:
        """A time on the clocks of the class."""
        return moment.astimezone(self.book.of.zone)
