"""The logs command."""

from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import MachineArgument, StudentOption

if TYPE_CHECKING:
    pass


# Where a person looks first: all of a machine's log, mail included.
_LOGS = ["/var/log/messages", "/var/log/maillog"]


def logs(
    machine: MachineArgument,
    student: StudentOption = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines come in (end with Ctrl-C).")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")] = 50,
) -> None:
    """Show a machine's log: its maillog, and its messages.

    Example:

      labenv logs vm3 -f
    """
    from labenv.cli import terminal

    with screen.progress(quiet=True) as listen:
        engine = common.open_engine(listen)
        target = common.chosen(engine, student).machine(machine)
    if target.state not in ("running", "missing"):  # a dead machine still has what it said on its console
        print(engine.last_words(target.container)[2])
        return
    command = ["tail", "-q", "-n", str(lines), *(["-F"] if follow else []), *_LOGS]
    try:
        terminal.run_in(
            machine, student, ["sh", "-c", '"$@" 2>/dev/null', "sh", *command]
        )  # a machine may have only one of them
    except KeyboardInterrupt:  # the way to end it
        raise typer.Exit(130) from None
