"""The shell command."""

from typing import TYPE_CHECKING

import typer

from labenv.cli.common import MachineArgument, StudentOption

if TYPE_CHECKING:
    pass


def shell(machine: MachineArgument, student: StudentOption = None) -> None:
    """Open a root shell in a machine.

    Example:

      labenv shell vm3
    """
    from labenv.cli import terminal

    raise typer.Exit(
        terminal.run_in(
            machine,
            student,
            ["bash", "-l"],
            written=True,
            called="this shell",
            again="labenv shell {machine} -s {student}",
        )
    )
