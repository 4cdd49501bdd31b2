"""The content of every file that tells of grades: a class's grades for one lab, and what is known beside them."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from labenv.classroom.folder.model import Assignment, Class, Member
from labenv.classroom.grading.model import Grade, Judge
from labenv.environments.drill_records import DrillEntry
from labenv.lab import labs
from labenv.lab.model import Lab
from labenv.sheet.guide import Asked

# Who judged a step, in words that follow "judged": kept apart wherever points are told.
JUDGES: dict[Judge, str] = {
    "replay": "on clean machines",
    "environment": "on the running machines",
    "log": "by the handed-in logs",
    "student": "by the student's own labenv",
    "person": "by a person",
}


@dataclass(frozen=True)
class Page:
    """What is told of one student beside the grade: the hints that were asked for, and the drills."""

    asked: tuple[Asked, ...] = ()
    drills: tuple[DrillEntry, ...] = ()


@dataclass(frozen=True)
class Alike:
    """What the work of two students has in common, in a neutral sentence such as Likeness.sentence. It decides nothing."""

    students: tuple[str, str]
    said: str


@dataclass(frozen=True)
class Book:
    """The grades of a class for one lab: one for each student, with `missing` where there is nothing to grade.

    `history` are all grades on record for that lab, of all students, oldest first. `pages` are by student. `item` is what the
    LMS calls the column of this lab, as the teacher says; "" for the lab's title or the roster's own column.
    """

    of: Class
    assignment: Assignment
    grades: tuple[Grade, ...]
    history: tuple[Grade, ...] = ()
    alike: tuple[Alike, ...] = ()
    pages: Mapping[str, Page] = field(default_factory=dict)
    item: str = ""

    @cached_property
    def lab(self) -> Lab:
        """The lab. Raises UsageError as `labs.load` does."""
        return labs.load(self.assignment.lab)

    @cached_property
    def members(self) -> Mapping[str, Member]:
        """The members of the class by their ids."""
        return {one.id: one for one in self.of.members}

    @cached_property
    def steps(self) -> tuple[str, ...]:
        """The steps that were graded, in the order of the sheet."""
        there = {step.step for grade in self.grades for step in grade.steps}
        known = [step for step in self.lab.steps if step in there]
        return (*known, *sorted(there - set(known)))

    @property
    def points(self) -> float:
        """The points that there are."""
        return max((grade.of for grade in self.grades), default=0.0)

    @property
    def graded(self) -> datetime:
        """When the last of the grades was made; now, if there is none: all failed, or nobody was chosen."""
        return max((grade.graded for grade in self.grades), default=datetime.now(self.of.zone))

    def page(self, student: str) -> Page:
        """What is told of a student beside the grade."""
        return self.pages.get(student) or Page()

    def name_of(self, student: str) -> str:
        """What the roster calls a student; the id if it has no name, or the student is not in it."""
        there = self.members.get(student)
        return (there.name if there else "") or student

    def past(self, student: str) -> list[Grade]:
        """The grades on record of one student, oldest first."""
        return self._past.get(student, [])

    @cached_property
    def _past(self) -> Mapping[str, list[Grade]]:
        past: dict[str, list[Grade]] = defaultdict(list)
        for grade in sorted(self.history, key=lambda each: each.graded):
            past[grade.student].append(grade)
        return past
