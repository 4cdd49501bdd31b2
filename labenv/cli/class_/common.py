"""What the class commands share: their options, and the class that is meant."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer._click.globals import get_current_context

from labenv.cli import common
from labenv.errors import LabenvError

if TYPE_CHECKING:
    from labenv.classroom.folder.model import Class
    from labenv.engine import Engine
    from labenv.events import Listener


def opened(folder: Path | None, *, writes: bool = False) -> "Class":
    """The class that a command means. Raises UsageError.

    One that `writes` records has the folder to itself until it ends. Raises EngineError, which names the other one, if it cannot have it.
    """
    from labenv.classroom.folder import load

    there = load.load(load.find(folder))
    if writes:
        from labenv.classroom.folder import lock
        from labenv.cli import screen

        with screen.progress(quiet=True) as listen:
            get_current_context().with_resource(lock.held(there, listen))
    return there


def open_engine(of: "Class", listen: "Listener", *, swarm: bool = False) -> "Engine":
    """The engine that has a class's environments: the one that answers, or all nodes of the swarm that the class is on, or is to be.

    Raises EngineError, and UsageError if that swarm is not managed here.
    """
    from labenv.classroom.running import placed

    if not (swarm or placed.is_on_swarm(of)):
        return common.open_engine(listen)
    from labenv.swarm.where import Fleet

    return Fleet(common.open_manager(listen))


def _class_at_hand(ctx: typer.Context) -> "Class | None":
    try:
        return opened(ctx.params.get("folder"))
    except LabenvError:  # completion stays quiet
        return None


def complete_member(ctx: typer.Context, incomplete: str) -> list[str]:
    """The students of the class."""
    there = _class_at_hand(ctx)
    return [one.id for one in there.members if one.id.startswith(incomplete)] if there else []


def complete_assignment(ctx: typer.Context, incomplete: str) -> list[str]:
    """The labs of the class."""
    there = _class_at_hand(ctx)
    return [each.name for each in there.labs if each.name.startswith(incomplete)] if there else []


def complete_stage(ctx: typer.Context, incomplete: str) -> list[str]:
    """The stages of the lab that --lab names; without that option, of all labs of the class."""
    from labenv.lab import labs

    there, wanted = _class_at_hand(ctx), ctx.params.get("lab")
    stages: dict[str, None] = {}
    for each in there.labs if there else ():
        if wanted in (None, each.name):
            with suppress(LabenvError):  # completion stays quiet
                stages |= dict.fromkeys(stage.id for stage in labs.load(each.lab).stages)
    return [name for name in stages if name.startswith(incomplete)]


ClassOption = Annotated[
    Path | None,
    typer.Option(
        "--class",
        "-c",
        metavar="FOLDER",
        envvar="LABENV_CLASS",
        help="The folder of the class. Default: the current folder, or the nearest above it that has a class.yaml.",
    ),
]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="STUDENT",
        autocompletion=complete_member,
        help="Only these students: ids, or patterns such as 'b*'. Repeatable, or with commas.",
    ),
]
AssignmentOption = Annotated[
    str | None,
    typer.Option(
        "--lab",
        metavar="NAME",
        autocompletion=complete_assignment,
        help="A lab of the class. Default: the last one that is open.",
    ),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
