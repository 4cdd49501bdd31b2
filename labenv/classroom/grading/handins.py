"""Grading what was handed in: by the student's own results, or by what clean machines show when the hand-in is laid over them."""

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from labenv.classroom.folder.model import Member
from labenv.classroom.grading import intake
from labenv.classroom.grading.grade import Graded, Task, Work, best, graded, missing, with_notes
from labenv.classroom.grading.handed_in import HandedIn
from labenv.classroom.grading.intake import MOST_ATTEMPTS, HandIn
from labenv.classroom.grading.model import Grade, Source
from labenv.classroom.grading.points import Known
from labenv.classroom.handins import archive, review
from labenv.classroom.handins.look import Looked, look
from labenv.errors import UsageError
from labenv.plain_tar import Unreadable


@dataclass(frozen=True)
class Attempt:
    """One hand-in that could be read: whose it is, which of how many, when it came, and what is to be said of it.

    `digest` is a value that two hand-ins share only if they are the same, byte for byte. `copy` is a file with its bytes, as long as
    it is graded.
    """

    member: Member
    number: int
    time: datetime | None
    looked: Looked
    digest: str
    copy: Path
    notes: tuple[str, ...] = ()


# What makes hand-ins into work to give points for, in any order.
Judging = Callable[[Sequence[Attempt]], Iterator[tuple[Attempt, Source, Work]]]


def by_their_own(attempts: Sequence[Attempt]) -> Iterator[tuple[Attempt, Source, Work]]:
    """What there is to grade by the results that the students' own labenv packed."""
    for each in attempts:
        yield each, "hand-in", work(each)


def of_handins(
    task: Task,
    sources: Sequence[Path],
    handed_in: HandedIn,
    handouts: Iterable[Path] = (),
    judging: Judging = by_their_own,
) -> Graded:
    """The grades of what was handed in; `handouts` are texts that the students were given. Raises UsageError for sources that are not there."""
    texts = review.texts(handouts)
    found: dict[str, list[Attempt]] = {}
    trouble: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory(prefix="labenv-grade-") as copies:
        with ExitStack() as stack:
            taken = intake.take(task.of, sources, handed_in.participants, stack)
            for member in task.members:
                given = taken.attempts.get(member.id, [])
                found[member.id], said = _attempts(task, member, given, handed_in, texts, Path(copies))
                trouble[member.id] = said + taken.wrong.get(member.id, [])
        grades: dict[str, list[tuple[Grade, Attempt]]] = {}
        failed = list(taken.loose)
        for each, source, there in judging([each for those in found.values() for each in those]):
            made = graded(task, each.member, source, there)
            grades.setdefault(each.member.id, []).append((made, each))
            failed += [f"{each.member.id}: {there.failed}"] if there.failed else []
    counting: dict[str, Attempt] = {}
    those: list[Grade] = []
    others: list[Grade] = []
    for member in task.members:
        said = trouble[member.id]
        made_of = sorted(grades.get(member.id, []), key=lambda pair: pair[1].number)
        if not made_of:
            those.append(missing(task, member, "hand-in", "; ".join(said) or "nothing was handed in"))
            failed += [f"{member.id}: {each}" for each in said]
            continue
        chosen = best(task.rubric, [grade for grade, _ in made_of])
        counting[member.id] = next(attempt for grade, attempt in made_of if grade is chosen)
        beside = review.of_the_same(counting[member.id].looked, [attempt.looked for _, attempt in made_of])
        those.append(with_notes(chosen, [*beside, *said]))
        others += [grade for grade, _ in made_of if grade is not chosen]
    return _compared(Graded(task, tuple(those), tuple(others), failed=tuple(failed)), counting)


def _attempts(
    task: Task,
    member: Member,
    given: Sequence[HandIn],
    handed_in: HandedIn,
    handouts: tuple[str, ...],
    copies: Path,
) -> tuple[list[Attempt], list[str]]:
    """A student's hand-ins that can be graded, and sentences about those that cannot or do not count."""
    trouble: list[str] = []
    found: list[Attempt] = []
    most = task.assignment.attempts
    if len(given) > MOST_ATTEMPTS:
        trouble.append(f"{len(given)} files were handed in; the first {MOST_ATTEMPTS} are looked at")
    times = _times(given, handed_in.times.get(member.id, []))
    for number, (one, time) in enumerate(zip(given[:MOST_ATTEMPTS], times, strict=False), 1):
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
        # Whose it is, is what the LMS says; it is compared with others under that name.
        mine = replace(
            looked, row=replace(looked.row, student=member.id), traits=replace(looked.traits, student=member.id)
        )
        copy = copies / f"{member.id}.{number}.tar.gz"
        try:
            copy.write_bytes(data)
        except OSError as error:
            raise UsageError(
                f"{copies} cannot be written: {error.strerror}. Free some space and grade again."
            ) from error
        digest = hashlib.sha256(data).hexdigest()
        found.append(Attempt(member, number, time, mine, digest, copy, tuple(notes)))
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


def _compared(run: Graded, counting: Mapping[str, Attempt]) -> Graded:
    """The run with what the hand-ins that count have in common, and the other notes on each."""
    rows = {row.student: row for row in review.compared([each.looked for each in counting.values()])}
    pairs: dict[tuple[str, str], list[str]] = {}
    for row in rows.values():
        for likeness in row.alike:
            if row.student < likeness.student:
                pairs.setdefault((row.student, likeness.student), []).append(likeness.sentence)
    return replace(
        run,
        grades=tuple(with_notes(g, _other(rows[g.student].notes)) if g.student in rows else g for g in run.grades),
        alike=tuple((one, other, ", ".join(dict.fromkeys(said))) for (one, other), said in pairs.items()),
        asked={name: each.looked.asked for name, each in counting.items()},
    )


def _other(notes: Iterable[str]) -> Iterator[str]:
    """The notes but those on what is alike, which belong to two."""
    return (note for note in notes if not note.startswith(("looks alike with ", "same log book as ")))
