"""The class override command."""

import math
from datetime import UTC, datetime
from typing import Annotated

import typer

from labenv.cli import common
from labenv.cli.class_.common import AssignmentOption, ClassOption, complete_member, opened
from labenv.cli.common import JsonOption
from labenv.errors import UsageError
from labenv.text import number, one_line

_MOST = 100_000


def override(
    student: Annotated[str, typer.Argument(metavar="STUDENT", autocompletion=complete_member, help="A student.")],
    points: Annotated[
        float | None, typer.Option("--points", metavar="NUMBER", help="The points in place of those that were given.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why: it stands in all reports.")] = "",
    step: Annotated[str, typer.Option("--step", metavar="STEP", help="Only the points of this step.")] = "",
    lift: Annotated[bool, typer.Option("--lift", help="Take back what was decided before.")] = False,
    folder: ClassOption = None,
    lab: AssignmentOption = None,
    json: JsonOption = False,
) -> None:
    """Decide the points of a student, or of one step: for a step that only a person can judge, or after a talk.

    It is kept with your login name and the time, and holds over every later grading.

    Examples:

      labenv class override asmith15 --step 49 --points 2 --reason "log book: clear and complete"

      labenv class override asmith15 --points 30 --reason "talked about it in the office hour"

      labenv class override asmith15 --lift
    """
    there = opened(folder, writes=True)
    from labenv.classroom.grading.model import Override
    from labenv.classroom.grading.record import Record, author
    from labenv.lab import labs

    name = there.member(student).id
    assignment = there.assignment(lab)
    known = labs.load(assignment.lab).steps
    if step and step not in known:
        raise UsageError(f"{assignment.name} has no step {one_line(step)[:40]}. Its steps are: {', '.join(known)}.")
    record = Record(there)
    what = f"step {step}" if step else "all"
    if lift:
        if points is not None or reason:
            raise UsageError("--lift cannot be combined with --points or --reason.")
        if not record.lift(assignment.name, name, step):
            raise UsageError(f"Nothing was decided about {what} of {name} in {assignment.name}.")
        said = f"{name}, {assignment.name}, {what}: the points are those of the grading again."
    else:
        if points is None or not reason.strip():
            raise UsageError("An override needs --points and --reason.")
        if not math.isfinite(points) or not 0 <= points <= _MOST:
            raise UsageError(f"--points {points:g} is not possible. Give a number from 0 to {_MOST}.")
        given = Override(
            points, one_line(reason.strip())[:1000], author(), datetime.now(UTC).replace(microsecond=0), step
        )
        record.override(assignment.name, name, given)
        said = f"{name}, {assignment.name}, {what}: {number(points)} points by {given.author}: {given.reason}"
    if json:
        held = record.overrides(assignment.name).get(name, [])
        entries = [{**vars(each), "time": each.time.isoformat()} for each in held]
        common.print_json({"student": name, "lab": assignment.name, "overrides": entries})
    else:
        print(said)
