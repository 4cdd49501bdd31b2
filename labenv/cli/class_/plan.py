"""The class plan command."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labenv.cli import common
from labenv.cli.class_.common import AssignmentOption, ClassOption, opened
from labenv.cli.common import JsonOption
from labenv.errors import UsageError

if TYPE_CHECKING:
    from labenv.classroom.capacity.asked import Asked
    from labenv.classroom.capacity.hour import Hour
    from labenv.classroom.capacity.outcome import Outcome
    from labenv.classroom.capacity.plan import Plan


def plan(
    folder: ClassOption = None,
    lab: AssignmentOption = None,
    students: Annotated[
        int | None,
        typer.Option(
            "--students", metavar="N", help="So many students. Default: those of the class that may run at once."
        ),
    ] = None,
    outside: Annotated[
        bool, typer.Option("--outside", help="Everybody has the world outside, as with labenv up --outside.")
    ] = False,
    desktops: Annotated[
        float,
        typer.Option("--desktop-share", metavar="PART", help="The part of the students who open the desktop, 0 to 1."),
    ] = 0.0,
    node: Annotated[
        list[str] | None,
        typer.Option(
            "--node",
            metavar="SIZE",
            help="The size of a server, as processors and memory: 8x32g. Repeatable. Default: 4x16g, 8x32g, 16x64g.",
        ),
    ] = None,
    within: Annotated[
        str,
        typer.Option(
            "--within", metavar="TIME", help="Most students come within this time, such as 10m; 0m: all at once."
        ),
    ] = "10m",
    wait: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", help="How long 95 % of them wait for their machines at most.")
    ] = 60.0,
    simulate: Annotated[
        bool,
        typer.Option(
            "--simulate", help="Also simulate a class hour, with a server that is drained and one that fails."
        ),
    ] = False,
    seed: Annotated[
        int, typer.Option("--seed", metavar="NUMBER", help="Of the simulation: the same one gives the same hour.")
    ] = 0,
    json: JsonOption = False,
) -> None:
    """Say how many servers of which size a class needs, from measured figures.

    No engine is asked. A plan has one server more than the environments need, so that one may fail; the manager comes on top of it.
    Without --lab it is for the lab of the class that needs most; with --students no class is needed.

    Examples:

      labenv class plan

      labenv class plan --students 300 --outside

      labenv class plan --students 300 --node 8x32g --node 32x128g --within 5m --wait 30

      labenv class plan --students 3000 --node 16x64g --simulate
    """
    from labenv.classroom.capacity import plan as core
    from labenv.classroom.capacity import size
    from labenv.cli.class_ import servers

    asked = _asked(folder, lab, students, outside, desktops)
    sizes = [size.read(text) for text in node] if node else core.SIZES
    hour = _hour(within, wait)
    plans = core.plans(sizes, asked.students, asked.need, hour, wait)
    outcomes = [_simulated(each, asked, hour, seed) for each in plans] if simulate else []
    if json:
        common.print_json(_document(asked, plans, outcomes, seed))
        return
    servers.table(asked, plans)
    if simulate:
        servers.hours(hour, plans, outcomes, seed)


def _asked(folder: Path | None, lab: str | None, students: int | None, outside: bool, desktops: float) -> "Asked":
    """What is asked about. Raises UsageError if that is nobody, or neither a class nor a number is there."""
    from labenv.classroom.capacity import asked
    from labenv.classroom.folder import load

    if folder is None and students is not None:
        return asked.of_nobody(students, lab, outside, desktops)
    try:
        load.find(folder)
    except UsageError as error:
        if folder is not None:
            raise
        raise UsageError(
            "For how many students? There is no class here. Name the number: --students N; or the class: -c FOLDER"
        ) from error
    return asked.of_class(opened(folder), lab, students, outside, desktops)


def _hour(within: str, wait: float) -> "Hour":
    from labenv.classroom.capacity.hour import Hour
    from labenv.classroom.folder import load

    seconds = load.span(within).total_seconds()
    if seconds > Hour().lasts:
        raise UsageError(f"--within {within} is longer than the class hour that is planned for. Give at most 1h.")
    if not wait > 0:
        raise UsageError(f"--wait {wait:g} is no time to wait. Give a number of seconds above 0.")
    return Hour(within=seconds)


def _simulated(there: "Plan", asked: "Asked", hour: "Hour", seed: int) -> "Outcome":
    from labenv.classroom.capacity.simulation import Simulation

    return Simulation(asked.students, [there.size] * there.servers, asked.need, hour, seed=seed).run()


def _document(asked: "Asked", plans: "list[Plan]", outcomes: "list[Outcome]", seed: int) -> dict[str, Any]:
    from dataclasses import asdict

    from labenv.classroom.capacity import predicted

    shown: dict[str, Any] = {"students": asked.students, "lab": asked.lab, "environment": asdict(asked.need)}
    shown["plans"] = [each.to_dict() for each in plans]
    for document, outcome in zip(shown["plans"], outcomes, strict=False):
        document["hour"] = outcome.to_dict()
    if outcomes:
        shown |= {"seed": seed, "model": [each.to_dict() for each in predicted.compared()]}
    return shown
