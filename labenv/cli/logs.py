"""The logs command."""

from typing import Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import MachineArgument, StudentOption


def logs(
    machine: MachineArgument,
    student: StudentOption = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep showing new lines until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines to show.")] = 50,
) -> None:
    """Show what a machine has logged, mail included.

    Example:

      labenv logs vm3 -f
    """
    from labenv.engine.session import life
    from labenv.environments import logfiles
    from labenv.environments.gone import error_if_gone

    with screen.progress(quiet=True) as listen:
        engine = common.open_engine(listen)
        environment = common.chosen(engine, student)
        target = environment.machine(machine)
    if target.state not in ("running", "missing"):  # a stopped machine still has its console output
        print(engine.last_words(target.container)[2])
        return
    command = logfiles.command(lines, follow=follow)
    before = life(engine, target.container) if follow else ""
    try:
        for line in engine.lines(target, command):  # a machine has only some of them
            print(line, flush=follow)
    except KeyboardInterrupt:  # the usual way to end it
        raise typer.Exit(130) from None
    if follow:  # tail(1) does not end by itself
        again = f"labenv logs {machine} -f -s {environment.student.id}"
        if gone := error_if_gone(engine, environment, target, before, ended="its log ended", again=again, wait=True):
            raise gone
