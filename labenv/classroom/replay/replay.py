"""Judging a submission by what it hands in, on clean machines of labenv's own images.

What it says of itself has no say, nor has any program of the student's: listed files, accounts and what starts at boot are laid over
the machines as the lab gave them, they boot, and the lab's checks run there. So the verdict is about what a boot makes of the
configuration. What a boot cannot show again is transient: those steps are left to the logs and results that were handed in.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labenv import student as students
from labenv.checks.results import Report
from labenv.checks.run import run_checks
from labenv.classroom.handins import archive, handin, look, pieces
from labenv.classroom.handins.pieces import Pieces
from labenv.classroom.replay import clean
from labenv.classroom.running.checking import Checkers
from labenv.classroom.running.room import Room
from labenv.classroom.running.waves import of_one, paced
from labenv.errors import LabenvError, UsageError
from labenv.events import Listener, announced
from labenv.lab.model import Lab
from labenv.plain_tar import Unreadable
from labenv.student import Student
from labenv.text import many, one_line

if TYPE_CHECKING:
    from labenv.engine import Engine

_MOST_REFUSED = 100
_MACHINES = 4  # of an environment, for the question whether there is room for another
NOTHING = "it was made by a labenv that packed nothing for replay, or without that part"


@dataclass(frozen=True)
class Replayed:
    """What clean machines showed of a submission.

    `transient` are the steps that replay cannot judge, and not those for a person, which have no result either. `refused` are sentences
    about what of the submission was not carried; `seconds` is how long it took.
    """

    report: Report
    transient: frozenset[str]
    refused: tuple[str, ...]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """The record as `replay --json` shows it: the report as `check --json` has it, and the rest."""
        return self.report.to_dict() | {
            "transient": sorted(self.transient, key=_in_order),
            "refused": list(self.refused),
            "seconds": round(self.seconds, 1),
        }


@dataclass(frozen=True)
class Submitted:
    """What replay takes of an archive, a file: whose it is, of which lab, and the pieces of each machine."""

    file: Path
    student: Student
    lab: Lab
    pieces: Mapping[str, Pieces]


def read(file: Path) -> Submitted:
    """What there is to replay in a file. Raises UsageError, with the reason, for one that cannot be judged."""
    try:
        given = archive.read(file)
        student, lab = look.student_of(given.manifest), look.lab_of(given.manifest)
        if why := handin.wanted(lab).no_replay:
            raise Unreadable(
                f"{lab.id} cannot be judged on clean machines: {why}. To see the results and the evidence in it: labenv review"
            )
        parts = {name: data for name, data in given.members.items() if name.startswith(f"{pieces.FOLDER}/")}
        if not parts:
            raise Unreadable(f"nothing in it can be replayed: {NOTHING}")
        there = {name.partition("/")[2].removesuffix(".json"): pieces.read(data) for name, data in parts.items()}
    except Unreadable as error:
        raise UsageError(f"{one_line(str(file))}: {error}.") from error
    return Submitted(file, replace(student, password=students.new_password()), lab, there)


def transient(lab: Lab) -> frozenset[str]:
    """The steps of a lab that replay cannot judge, without those for a person."""
    return frozenset(step.id for step in lab.steps.values() if step.is_transient and not step.is_for_a_person)


def replay(engine: "Engine", file: Path, *, listen: Listener) -> Replayed:
    """Judge one submission. Raises UsageError for a file that cannot be judged, EngineError."""
    given = read(file)
    clean.sweep(engine, listen)
    with announced(listen, "replay", f"judging {given.student.id}'s {given.lab.id} on clean machines"):
        return _replayed(engine, given, next(clean.free_ids(engine)), partial(run_checks, engine), listen)


def replay_all(
    engine: "Engine", files: Sequence[Path], listen: Listener
) -> Iterator[tuple[Path, Replayed | LabenvError]]:
    """Judge submissions, as many at a time as the computer bears, each yielded as soon as it is done.

    One that cannot be judged has its error, and stops no other.
    """
    given: list[Submitted] = []
    for file in files:
        try:
            given.append(read(file))
        except LabenvError as error:
            yield file, error
    if not given:
        return
    clean.sweep(engine, listen)
    for one in {one.lab.id: one for one in given}.values():
        clean.prepare(engine, one.student, one.lab, len(given), listen)
    ids, used, made = clean.free_ids(engine), list[str](), list[str]()
    lock = threading.Lock()

    def judged(one: Submitted) -> Replayed:
        with lock:
            place = used.pop() if used else next(ids)
            made.append(place)
        try:
            return _replayed(engine.apart(), one, place, checkers.check, of_one(listen, one.student.id))
        finally:
            used.append(place)

    try:
        with Checkers(engine) as checkers:
            for one, result in paced(
                given,
                judged,
                listen,
                name=lambda one: one.student.id,
                doing=f"judging {many(len(given), 'submission')} on clean machines",
                room=Room(engine, _MACHINES),
                elsewhere=not engine.is_local,
            ):
                yield one.file, result
    except KeyboardInterrupt:  # the threads end with the command
        clean.drop(engine, made)
        raise


def _replayed(
    engine: "Engine", given: Submitted, place: str, check: Callable[..., Report], listen: Listener
) -> Replayed:
    began = time.monotonic()
    who, lab = given.student, given.lab
    made, refused = clean.plan(engine, who, lab, handin.wanted(lab), given.pieces, place)
    away = transient(lab)
    steps = [step.id for step in lab.steps.values() if not step.is_for_a_person and step.id not in away]
    with clean.machines(engine, made, listen) as there:
        report = check(there, steps=steps, written=False)
    report = replace(report, student=who.id, notes=(), attempts=())
    return Replayed(report, away, tuple(map(one_line, refused[:_MOST_REFUSED])), time.monotonic() - began)


def _in_order(step: str) -> tuple[int, str]:
    number = "".join(filter(str.isdecimal, step))
    return int(number or 0), step
