"""The grade of one submission that was replayed: end states by clean machines, what was transient by what was handed in."""

from datetime import UTC, datetime
from pathlib import Path

from labenv.checks.results import in_chains
from labenv.classroom.grading import points
from labenv.classroom.grading.model import Grade
from labenv.classroom.grading.points import Known
from labenv.classroom.handins import archive, look
from labenv.classroom.replay.replay import Replayed
from labenv.errors import UsageError
from labenv.lab import labs, rubric
from labenv.lab.rubric import Rubric
from labenv.plain_tar import Unreadable


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
    judged = {result.step for result in replayed.report.results}
    handed_in = tuple(result for result in looked.results if result.step not in judged)
    results = in_chains((*replayed.report.results, *handed_in), lab, replayed.report.waits)
    steps = points.of_steps(
        lab, by, results, lambda step: "log" if step in replayed.transient else "replay", looked.results
    )
    return Grade(
        replayed.report.student,
        lab.id,
        "replay",
        datetime.now(UTC),
        file=file.name,
        steps=steps,
        deductions=tuple(points.taken_away(by, Known(looked.asked, looked.left_out))),
        notes=(*looked.row.notes, *(f"not carried: {said}" for said in replayed.refused)),
        hints=len(looked.asked),
        rubric=by.digest,
    )
