"""The class rubric command."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common
from labenv.cli.class_.common import ClassOption, complete_assignment, opened
from labenv.cli.common import JsonOption
from labenv.cli.output import as_it_is
from labenv.errors import UsageError
from labenv.text import number

if TYPE_CHECKING:
    from labenv.lab.model import Lab


def rubric(
    lab: Annotated[
        str | None,
        typer.Argument(
            metavar="[LAB]",
            autocompletion=complete_assignment,
            help="A lab. Default: the last one of the class that is open.",
        ),
    ] = None,
    show: Annotated[
        bool, typer.Option("--show", help="Show the points that hold in the class, in place of a rubric to begin with.")
    ] = False,
    folder: ClassOption = None,
    json: JsonOption = False,
) -> None:
    """Write a rubric to begin with: YAML that gives each step of a lab a point, and says how to change that.

    Put it beside the lab as rubric.yaml, or anywhere in the folder of the class and name it in class.yaml. With --show: what holds.

    Examples:

      labenv class rubric lab4b > lab4b.points.yaml

      labenv class rubric --show
    """
    from labenv.lab import labs
    from labenv.lab import rubric as rubrics

    file: Path | None = None
    if lab is None or show or json:
        assignment = opened(folder).assignment(lab)
        there, file = labs.load(assignment.lab), assignment.rubric
    else:
        there = _lab(lab, folder)
    if not (show or json):
        as_it_is(rubrics.starter(there))
        return
    made = rubrics.of(there, file)
    who = {step: made.says.get(step, "checks") for step in there.steps}
    if json:
        steps = [
            {"step": s.id, "title": s.title, "stage": s.stage, "points": made.points[s.id], "by": who[s.id]}
            for s in there.steps.values()
        ]
        common.print_json({"lab": there.id, "file": str(file or ""), "digest": made.digest, "steps": steps})
        return
    from labenv.cli import show as tables

    rows = [[s.id, number(made.points[s.id]), s.stage, who[s.id], s.title] for s in there.steps.values()]
    tables.table(("step", "points", "stage", "judged by", "what"), rows)
    print(f"{number(sum(made.points.values()))} points")


def _lab(name: str, folder: Path | None) -> "Lab":
    """A lab of the class at hand, or any other by its name or folder. Raises UsageError."""
    from labenv.lab import labs

    with suppress(UsageError):
        return labs.load(opened(folder).assignment(name).lab)
    return labs.load(name)
