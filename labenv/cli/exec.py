"""The exec command."""

from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli.common import MachineArgument, StudentOption

if TYPE_CHECKING:
    pass


def execute(
    machine: MachineArgument,
    command: Annotated[list[str], typer.Argument(metavar="-- CMD…", help="The command and its arguments, after `--`.")],
    student: StudentOption = None,
) -> None:
    """Run one command in a machine, and exit with its exit code.

    Examples:

      labenv exec vm3 -- postconf -n

      labenv exec -s asmith15 host -- dig +short MX asmith15.ops
    """
    from labenv.cli import terminal

    again = "labenv exec {machine} -s {student} -- …"
    raise typer.Exit(terminal.run_in(machine, student, command, begun=True, called="the command", again=again))
