"""The reset command."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption, StudentOption, YesOption

if TYPE_CHECKING:
    pass


def reset(
    machine: Annotated[
        str | None,
        typer.Argument(metavar="MACHINE", autocompletion=common.complete_machine, help="Only this machine."),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="STAGE",
            autocompletion=common.complete_stage,
            help="The stage to reset to. Default: the current one.",
        ),
    ] = None,
    student: StudentOption = None,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Reset an environment, or one machine, to the start of a stage. The current state is saved first.

    Examples:

      labenv reset vm3

      labenv reset --at relay --yes
    """
    from labenv.cli import summary
    from labenv.environments import saves as core

    with screen.progress(quiet=True) as listen:
        engine = common.open_engine(listen)
        environment = common.chosen(engine, student)
        core.check_reset(environment, machine, at)
    what = f"{environment.student.id}'s {machine or 'environment'}"
    question = f"Reset {what} to the start of {at or environment.stage}? The current state is saved first."
    if sys.stdin.isatty() and not yes and not typer.confirm(question, err=True):
        print("Nothing was changed.", file=sys.stderr)
        return
    with screen.progress() as listen:
        outcome = core.reset(engine, environment, machine, at, listen)
    summary.show_restored(outcome, "before-reset", json=json)
