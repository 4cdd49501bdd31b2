"""Grades of what was replayed: end states by clean machines, what was transient by what was handed in."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from labenv.checks.results import CheckResult, in_chains
from labenv.classroom.grading import points
from labenv.classroom.grading.grade import Work
from labenv.classroom.grading.handins import Attempt, Judging, work
from labenv.classroom.grading.model import Grade, Judge, Source
from labenv.classroom.grading.points import Known
from labenv.classroom.handins import archive, look
from labenv.classroom.handins.look import Looked
from labenv.classroom.replay.replay import Replayed, replay_all
from labenv.errors import EngineError, LabenvError, UsageError
from labenv.events import Listener
from labenv.lab import labs, rubric
from labenv.lab.model import Lab
from labenv.lab.rubric import Rubric
from labenv.plain_tar import Unreadable

if TYPE_CHECKING:
    from labenv.engine import Engine


def on_clean_machines(engine: "Engine", lab: Lab, listen: Listener) -> Judging:
    """What makes hand-ins of a lab into work to give points for by replaying them; one that cannot be is judged by its own results."""

    def judging(attempts: Sequence[Attempt]) -> Iterator[tuple[Attempt, Source, Work]]:
        by_copy = {each.copy: each for each in attempts}
        if not by_copy:
            return
        for copy, told in replay_all(engine, list(by_copy), listen):
            each = by_copy[copy]
            theirs = work(each)
            if isinstance(told, LabenvError):
                why = f"judged by the student's own results, without replay: {str(told).removeprefix(f'{copy}: ')}"
                failed = why if isinstance(told, EngineError) else ""
                yield each, "hand-in", replace(theirs, notes=(*theirs.notes, why), failed=failed)
                continue
            results, judges = _together(told, each.looked, lab)
            notes = (*theirs.notes, *_refused(told))
            yield (
                each,
                "replay",
                replace(
                    theirs, results=results, judges=judges, judge="replay", claimed=each.looked.results, notes=notes
                ),
            )

    return judging


def grade(file: Path, replayed: Replayed, by: Rubric | None = None) -> Grade:
    """The grade of a submission, by a rubric: else the lab's own, else the default one. Nothing is known of when it came.

    Raises UsageError for a file or a rubric that cannot be read.
    """
    lab = labs.load(replayed.report.lab)
    by = by or rubric.of(lab)
    try:
        looked = look.look(str(file), archive.read(file), lab=lab)
    except Unreadable as error:
        raise UsageError(f"{file}: {error}.") from error
    results, judges = _together(replayed, looked, lab)
    return Grade(
        replayed.report.student,
        lab.id,
        "replay",
        datetime.now(UTC),
        file=file.name,
        steps=points.of_steps(lab, by, results, lambda step: judges.get(step, "replay"), looked.results),
        deductions=tuple(points.taken_away(by, Known(looked.asked, looked.left_out))),
        notes=(*looked.row.notes, *_refused(replayed)),
        hints=len(looked.asked),
        rubric=by.digest,
    )


def _together(replayed: Replayed, looked: Looked, lab: Lab) -> tuple[Sequence[CheckResult], Mapping[str, Judge]]:
    """The results of clean machines, with the handed-in ones of steps that they cannot judge, and who gave those."""
    judged = {result.step for result in replayed.report.results}
    handed_in = tuple(result for result in looked.results if result.step not in judged)
    results = in_chains((*replayed.report.results, *handed_in), lab, replayed.report.waits)
    has_logs = not any(name.startswith("evidence/") for name in looked.left_out)
    return results, dict.fromkeys(replayed.transient, "log" if has_logs else "student")


def _refused(replayed: Replayed) -> Iterator[str]:
    return (f"not carried to the clean machines: {said}" for said in replayed.refused)
