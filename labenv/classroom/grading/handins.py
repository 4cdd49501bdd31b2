"""Grading what was handed in: by the student's own results, or by what clean machines show when the hand-in is laid over them."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from labenv.classroom.folder.model import Member
from labenv.classroom.grading import intake
from labenv.classroom.grading.grade import Graded, Task, Work, best, graded, missing, with_notes
from labenv.classroom.grading.handed_in import HandedIn
from labenv.classroom.grading.intake import MOST_ATTEMPTS, HandIn
from labenv.classroom.grading.model import Grade
from labenv.classroom.grading.points import Known
from labenv.classroom.handins import archive, review
from labenv.classroom.handins.look import Looked, look
from labenv.events import Event, Listener
from labenv.plain_tar import Unreadable


@dataclass(frozen=True)
class Attempt:
    """One hand-in that could be read: whose it is, which of how many, when it came, its bytes, and what is to be said of it."""

    member: Member
    number: int
    time: datetime | None
    data: bytes
    looked: Looked
    notes: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """A value that two hand-ins share only if they are the same, byte for byte."""
        return hashlib.sha256(self.data).hexdigest()


def of_handins(
    task: Task, sources: Sequence[Path], handed_in: HandedIn, handouts: Iterable[Path] = (), *, listen: Listener
) -> Graded:
    """The grades by the results that the students' own labenv packed. Raises UsageError for sources that are not there."""
    texts = review.texts(handouts)
    grades: list[Grade] = []
    others: list[Grade] = []
    failed: list[str] = []
    counting: dict[str, Attempt] = {}
    with ExitStack() as stack:
        taken = intake.take(task.of, sources, handed_in.participants, stack)
        failed += taken.loose
        for member in task.members:
            there, trouble = attempts(task, member, taken.attempts.get(member.id, []), handed_in, texts)
            trouble += taken.wrong.get(member.id, [])
            if not there:
                why = "; ".join(trouble) or "nothing was handed in"
                grades.append(missing(task, member, "hand-in", why))
                failed += [f"{member.id}: {said}" for said in trouble]
                continue
            made = [graded(task, member, "hand-in", work(each)) for each in there]
            chosen = best(task.rubric, made)
            counting[member.id] = there[made.index(chosen)]
            grades.append(with_notes(chosen, trouble))
            others += [grade for grade in made if grade is not chosen]
            listen(Event("grade", f"{member.id}: {len(there)} of {len(task.members)}"))
    return compared(Graded(task, tuple(grades), tuple(others), failed=tuple(failed)), counting)


def attempts(
    task: Task, member: Member, given: Sequence[HandIn], handed_in: HandedIn, handouts: tuple[str, ...]
) -> tuple[list[Attempt], list[str]]:
    """A student's hand-ins that can be graded, and sentences about those that cannot or do not count."""
    trouble: list[str] = []
    found: list[Attempt] = []
    most = task.assignment.attempts
    if len(given) > MOST_ATTEMPTS:
        trouble.append(f"{len(given)} files were handed in; the first {MOST_ATTEMPTS} are looked at")
    for number, (one, time) in enumerate(zip(given, _times(given, handed_in.times.get(member.id, [])), strict=True), 1):
        if number > MOST_ATTEMPTS:
            break
        if most is not None and number > most:
            trouble.append(f"{one.file} is attempt {number} and does not count: {most} allowed")
            continue
        try:
            data = one.read()
            looked = look(one.file, archive.read_bytes(data), handouts, task.lab)
        except Unreadable as error:
            trouble.append(f"{one.file} cannot be graded: {error}")
            continue
        notes = []
        if looked.row.student != member.id:
            notes.append(
                f"the archive was made in the environment of {looked.row.student}: a hand-in under another's name"
            )
        if one.named.is_late and time is None:
            notes.append("Canvas says that it came late, but not when: give the times with --handed-in")
        # Whose it is, is what the LMS says; everything else is compared under that name.
        mine = replace(
            looked, row=replace(looked.row, student=member.id), traits=replace(looked.traits, student=member.id)
        )
        found.append(Attempt(member, number, time, data, mine, tuple(notes)))
    return found, trouble


def _times(given: Sequence[HandIn], told: Sequence[datetime]) -> list[datetime | None]:
    """When each hand-in came: what the teacher's table says, if it has a time for each; else what its name tells, else the last one."""
    if len(told) == len(given):
        return list(told)
    return [one.named.time or (told[-1] if told else None) for one in given]


def work(of: Attempt) -> Work:
    """What there is to grade by the student's own results."""
    looked = of.looked
    return Work(
        looked.results,
        {},
        "student",
        Known(looked.asked, looked.left_out),
        attempt=of.number,
        handed_in=of.time,
        file=looked.row.file,
        digest=of.digest,
        notes=of.notes,
    )


def compared(run: Graded, counting: Mapping[str, Attempt]) -> Graded:
    """The run with what the hand-ins that count have in common, and the notes on each."""
    looked = [each.looked for each in counting.values()]
    rows = {row.student: row for row in review.compared(looked)}
    pairs: dict[tuple[str, str], list[str]] = {}
    for row in rows.values():
        for likeness in row.alike:
            if row.student < likeness.student:
                pairs.setdefault((row.student, likeness.student), []).append(likeness.sentence)
    return replace(
        run,
        grades=tuple(with_notes(g, rows[g.student].notes) if g.student in rows else g for g in run.grades),
        alike=tuple((one, other, ", ".join(dict.fromkeys(said))) for (one, other), said in pairs.items()),
        asked={name: each.looked.asked for name, each in counting.items()},
    )
