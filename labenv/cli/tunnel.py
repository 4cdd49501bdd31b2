"""The tunnel command."""

import sys
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption, StudentOption
from labenv.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable


def tunnel(
    machine: Annotated[
        str | None,
        typer.Argument(metavar="MACHINE", autocompletion=common.complete_machine, help="A machine of the environment."),
    ] = None,
    port: Annotated[int | None, typer.Argument(metavar="PORT", min=1, max=65535, help="A TCP port of it.")] = None,
    here: Annotated[
        int | None,
        typer.Option(
            "--port", metavar="PORT", min=1, max=65535, help="The port of 127.0.0.1. Default: one that is free."
        ),
    ] = None,
    student: StudentOption = None,
    json: JsonOption = False,
) -> None:
    """Lead ports of 127.0.0.1 through the engine to machines, until Ctrl-C.

    For environments that publish no ports because another one has the same X, for ports that are not published, and for engines on
    another computer. A connection comes from another machine of the environment. Without MACHINE: all ports that the lab publishes.

    Examples:

      labenv tunnel

      labenv tunnel vm3 143 -s asmith15 --port 1143
    """
    from labenv.environments import tunnel as core

    if (machine is None) != (port is None):
        raise UsageError("A tunnel to one port needs the machine and the port: labenv tunnel MACHINE PORT")
    if here and machine is None:
        raise UsageError("--port is for the tunnel to one port: labenv tunnel MACHINE PORT --port PORT")
    with screen.progress(quiet=True) as listen:
        engine = common.open_engine(listen)
        environment = common.chosen(engine, student)
        wanted = [(environment.machine(machine), port)] if machine and port else core.published(environment)
        with closing(core.Tunnels(engine, environment, listen)) as tunnels:
            there = [(each.name, number, tunnels.open(each, number, here)) for each, number in wanted]
            stay(lambda: _tell(environment.student.id, there, json=json))


def _tell(student: str, there: list[tuple[str, int, int]], *, json: bool) -> None:
    if json:
        entries = [{"machine": name, "port": number, "here": near} for name, number, near in there]
        common.print_json({"student": student, "tunnels": entries})
        return
    for name, number, near in there:
        print(f"127.0.0.1:{near} → {name} port {number}")


def stay(tell: "Callable[[], None]") -> None:
    """Tell of tunnels that are open, and keep them until Ctrl-C."""
    with suppress(KeyboardInterrupt):
        tell()
        sys.stdout.flush()
        print("Press Ctrl-C to close.", file=sys.stderr)
        while True:
            time.sleep(3600)
