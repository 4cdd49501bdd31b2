"""Grading a class for one lab: each source of results becomes the same records."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from labenv.checks.results import CheckResult
from labenv.classroom.folder.model import Assignment, Class, Member
from labenv.classroom.grading import points
from labenv.classroom.grading.model import Grade, Judge, Override, Source
from labenv.classroom.grading.points import Known
from labenv.environments.drill_records import DrillEntry
from labenv.lab import labs, rubric
from labenv.lab.model import Lab
from labenv.lab.rubric import Rubric
from labenv.sheet.guide import Asked
from labenv.text import one_line

_MOST_NOTES, _LONGEST_NOTE = 100, 1000


@dataclass(frozen=True)
class Task:
    """What is graded: a lab of a class, with its rubric, for these members. `overrides` are what teachers decided, by student."""

    of: Class
    assignment: Assignment
    lab: Lab
    rubric: Rubric
    members: tuple[Member, ...]
    overrides: Mapping[str, Sequence[Override]] = field(default_factory=dict)


@dataclass(frozen=True)
class Work:
    """What there is of one student's work to give points for.

    `judges` say who gave the results of a step, `judge` of the others; `claimed` are the student's own, if these are not. `failed` says
    why it could not be judged as it was to be.
    """

    results: Sequence[CheckResult]
    judges: Mapping[str, Judge]
    judge: Judge
    known: Known = field(default_factory=Known)
    claimed: Sequence[CheckResult] | None = None
    attempt: int = 1
    handed_in: datetime | None = None
    file: str = ""
    digest: str = ""
    notes: tuple[str, ...] = ()
    failed: str = ""


@dataclass(frozen=True)
class Graded:
    """What a run of grading came to.

    `grades` are those that count, one for each member, `others` those of further attempts. `alike` are pairs of students with a
    sentence about what their work has in common; `asked` and `drills` are by student. `failed` are sentences on what could not be
    graded.
    """

    task: Task
    grades: tuple[Grade, ...]
    others: tuple[Grade, ...] = ()
    alike: tuple[tuple[str, str, str], ...] = ()
    asked: Mapping[str, tuple[Asked, ...]] = field(default_factory=dict)
    drills: Mapping[str, tuple[DrillEntry, ...]] = field(default_factory=dict)
    failed: tuple[str, ...] = ()


def task(
    of: Class,
    assignment: Assignment,
    only: Sequence[str] | None = None,
    overrides: Mapping[str, Sequence[Override]] | None = None,
) -> Task:
    """What `class grade` was asked for. Raises UsageError for a lab, a rubric or a student that there is not."""
    lab = labs.load(assignment.lab)
    return Task(of, assignment, lab, rubric.of(lab, assignment.rubric), of.chosen(only), overrides or {})


def graded(task: Task, member: Member, source: Source, work: Work) -> Grade:
    """The grade of one student's work."""
    lab, rubric = task.lab, task.rubric
    steps = points.of_steps(lab, rubric, work.results, lambda step: work.judges.get(step, work.judge), work.claimed)
    of = sum(step.of for step in steps)
    rule = points.late_rule(rubric, task.assignment.late)
    days = points.days_late(work.handed_in, task.assignment.due, rule, task.of.zone)
    late = points.for_late(days, rule, of)
    return _decided(
        task,
        Grade(
            member.id,
            task.assignment.name,
            source,
            _now(),
            work.attempt,
            work.handed_in,
            days,
            work.file,
            steps,
            (*points.taken_away(rubric, work.known), *([late] if late else [])),
            notes=_notes((*work.notes, *points.not_known(rubric, work.known))),
            hints=len(work.known.asked),
            rubric=rubric.digest,
            digest=work.digest,
        ),
    )


def missing(task: Task, member: Member, source: Source, why: str, notes: Iterable[str] = ()) -> Grade:
    """The grade of a student of whom there is nothing to grade: all steps have their points to reach, and none reached."""
    steps = points.of_steps(task.lab, task.rubric, (), lambda _: _JUDGES[source])
    return _decided(
        task,
        Grade(
            member.id,
            task.assignment.name,
            source,
            _now(),
            steps=steps,
            notes=_notes(notes),
            missing=one_line(why)[:_LONGEST_NOTE],
            rubric=task.rubric.digest,
        ),
    )


_JUDGES: Mapping[Source, Judge] = {"environment": "environment", "hand-in": "student", "replay": "replay"}


def best(rubric: Rubric, attempts: Sequence[Grade]) -> Grade:
    """Which of several attempts counts, of at least one that is there. Of equal ones it is the first.

    What a teacher decided about the whole holds for whichever it is.
    """
    if rubric.attempts == "best":
        return max(attempts, key=lambda one: replace(one, overrides=tuple(o for o in one.overrides if o.step)).total)
    return attempts[-1 if rubric.attempts == "last" else 0]


def with_notes(grade: Grade, notes: Iterable[str]) -> Grade:
    """The grade with these notes, each once, after those that it has."""
    return replace(grade, notes=_notes([*grade.notes, *notes]))


def changes(before: Mapping[str, Grade], now: Iterable[Grade]) -> Iterator[tuple[Grade, Grade, tuple[str, ...]]]:
    """Each grade whose points are not those of before, the one before, and why, in words."""
    for grade in now:
        old = before.get(grade.student)
        if old and (round(old.total, 6), round(old.of, 6)) != (round(grade.total, 6), round(grade.of, 6)):
            yield grade, old, tuple(_reasons(old, grade))


def _reasons(old: Grade, new: Grade) -> Iterator[str]:
    if bool(old.missing) != bool(new.missing):
        yield f"was missing: {old.missing}" if old.missing else f"is missing now: {new.missing}"
    if old.source != new.source:
        yield f"graded from {_SOURCES[new.source]}, before from {_SOURCES[old.source]}"
    if old.rubric != new.rubric:
        yield "another rubric"
    if old.digest != new.digest and old.digest and new.digest:
        yield "another hand-in"
    if old.days_late != new.days_late:
        yield f"{new.days_late} days late, before {old.days_late}"
    if old.hints != new.hints:
        yield f"{new.hints} hints, before {old.hints}"
    if [_decision(each) for each in old.overrides] != [_decision(each) for each in new.overrides]:
        yield "what a teacher decided"
    was = {step.step: step.status for step in old.steps}
    turned = [f"{s.step} ({was[s.step]} → {s.status})" for s in new.steps if was.get(s.step, s.status) != s.status]
    if turned and not old.missing and not new.missing:
        more = f" and {len(turned) - 5} more" if len(turned) > 5 else ""
        yield f"steps {', '.join(turned[:5])}{more}"


_SOURCES: Mapping[Source, str] = {"environment": "the environment", "hand-in": "the hand-in", "replay": "replay"}


def _decision(given: Override) -> tuple[float, str]:
    return given.points, given.step


def _notes(notes: Iterable[str]) -> tuple[str, ...]:
    """Notes, which may quote what anybody has packed: each once, on one line, and not too many."""
    return tuple(dict.fromkeys(one_line(note)[:_LONGEST_NOTE] for note in notes))[:_MOST_NOTES]


def _decided(task: Task, grade: Grade) -> Grade:
    return replace(grade, overrides=tuple(task.overrides.get(grade.student, ())))


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
