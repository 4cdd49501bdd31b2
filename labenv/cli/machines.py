"""Commands on one machine: shell, exec, logs, reboot."""

from typing import Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import MachineArgument, StudentOption
from labenv.errors import EngineError, UsageError

# Where a person looks first: all of a machine's log, mail included.
_LOGS = ["/var/log/messages", "/var/log/maillog"]


def shell(machine: MachineArgument, student: StudentOption = None) -> None:
    """Open a root shell in a machine.

    Example:

      labenv shell vm3
    """
    raise typer.Exit(_run(machine, student, ["bash", "-l"], written=True))


def execute(
    machine: MachineArgument,
    command: Annotated[list[str], typer.Argument(metavar="-- CMD…", help="The command and its arguments, after `--`.")],
    student: StudentOption = None,
) -> None:
    """Run one command in a machine; its exit code is labenv's.

    Examples:

      labenv exec vm3 -- postconf -n

      labenv exec -s asmith15 host -- dig +short MX asmith15.ops
    """
    raise typer.Exit(_run(machine, student, command, begun=True))


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
    with screen.progress(quiet=True) as listen:
        engine = common.open_engine(listen)
        target = common.chosen(engine, student).machine(machine)
    if target.state not in ("running", "missing"):  # a dead machine still has what it said on its console
        print(engine.last_words(target.container)[2])
        return
    command = ["tail", "-q", "-n", str(lines), *(["-F"] if follow else []), *_LOGS]
    try:
        _run(machine, student, ["sh", "-c", '"$@" 2>/dev/null', "sh", *command])  # a machine may have only one of them
    except KeyboardInterrupt:  # the way to end it
        raise typer.Exit(130) from None


def reboot(
    machine: Annotated[
        str | None,
        typer.Argument(metavar="MACHINE", autocompletion=common.complete_machine, help="host, vm2 or vm3; or --all."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All machines, at the same time.")] = False,
    hard: Annotated[bool, typer.Option("--hard", help="A power cut: nothing is shut down in order first.")] = False,
    student: StudentOption = None,
) -> None:
    """Boot a machine again and wait until it answers: what was not enabled or not saved is gone.

    Examples:

      labenv reboot vm3

      labenv reboot --all --hard
    """
    from labenv import desktop, lifecycle

    if every == bool(machine):
        raise UsageError("Say which machine to boot again, or --all.")
    with screen.progress() as listen:
        engine = common.open_engine(listen)
        environment = common.chosen(engine, student)
        machines = [environment.machine(machine)] if machine else environment.regular
        lifecycle.reboot(engine, environment, machines, listen, hard=hard)
        desktop.follow(engine, environment, listen)


def _run(machine: str, student: str | None, command: list[str], *, begun: bool = False, written: bool = False) -> int:
    from labenv.cli import terminal

    with screen.progress(quiet=True) as listen:
        engine = common.open_engine(listen)
        environment = common.chosen(engine, student)
        target = environment.machine(machine)
    if target.state != "running":
        raise EngineError(f"{machine} is {target.state}. Bring it back with: labenv up {environment.student.id}")
    if begun or written:
        from labenv import history  # which `logs` need not wait for
    if begun:
        with screen.progress(quiet=True) as listen:
            history.begin(engine, environment, listen)
    status = terminal.run(engine, target.container, command)
    if written and not target.optional:
        with screen.progress(quiet=True) as listen:
            history.collect_now(engine, environment, listen, machine=machine)
    return status
