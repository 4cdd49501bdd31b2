"""The reboot command."""

from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import StudentOption
from labenv.errors import UsageError

if TYPE_CHECKING:
    pass


def reboot(
    machine: Annotated[
        str | None,
        typer.Argument(
            metavar="MACHINE", autocompletion=common.complete_machine, help="A machine of the environment; or --all."
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Reboot all machines at the same time.")] = False,
    hard: Annotated[bool, typer.Option("--hard", help="Simulate a power cut, without an orderly shutdown.")] = False,
    student: StudentOption = None,
) -> None:
    """Reboot a machine and wait until it answers.

    What was not enabled or not saved is lost. Another host name that was set in the machine takes effect.

    Examples:

      labenv reboot vm3

      labenv reboot --all --hard
    """
    from labenv.environments import reboot as core

    if every == bool(machine):
        raise UsageError("Give either a machine to reboot, or --all.")
    with screen.progress() as listen:
        engine = common.open_engine(listen)
        environment = common.chosen(engine, student)
        machines = [environment.machine(machine)] if machine else environment.regular
        core.reboot(engine, environment, machines, listen, hard=hard)
