"""The render command."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.request import (
    FirstOption,
    LabOption,
    NetOption,
    OutsideOption,
    StageOption,
    TopologyOption,
    WithOption,
    profiles,
)
from labenv.errors import UsageError

if TYPE_CHECKING:
    pass


def render(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
    student: Annotated[
        str | None, typer.Option("--student", "-s", envvar="LABENV_STUDENT", help="The student id, such as asmith15.")
    ] = None,
    net: NetOption = None,
    first: FirstOption = None,
    at: StageOption = None,
    lab: LabOption = None,
    topology: TopologyOption = None,
    with_: WithOption = None,
    outside: OutsideOption = False,
) -> None:
    """Write an environment as plain files: compose.yaml and every machine's configuration.

    `docker-compose up -d` (or `docker compose up -d`) in that folder starts the same environment without labenv.

    Example:

      labenv render mylab -s asmith15 --at lab4a
    """
    from labenv.environments import plan
    from labenv.environments import render as core

    if student is None:
        raise UsageError("The student is missing. Use: labenv render DIR -s STUDENT")
    request = plan.validated(plan.Request(student, net, first, at, lab, topology, profiles(outside, with_)))
    core.check_folder(folder)
    with screen.progress() as listen:
        engine = common.open_engine(listen)
        core.write(engine, request, folder, listen)
    print(f"Wrote {folder}. To start it there: docker-compose up -d")
