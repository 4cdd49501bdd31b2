"""The class serve command."""

import sys
from typing import Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.class_.common import ClassOption, opened
from labenv.cli.class_.gate import AddressOption, PortOption, check_there


def serve(
    folder: ClassOption = None,
    port: PortOption = 2222,
    address: AddressOption = "",
    unit: Annotated[
        bool, typer.Option("--unit", help="Only print a unit for systemd, which does this from boot on.")
    ] = False,
) -> None:
    """Serve a class until Ctrl-C: the gate for its students, and the timers of labenv class up --for and --idle.

    Environments whose time is over are stopped, never removed. Students are told ten and two minutes before.

    Examples:

      labenv class serve

      labenv class serve --unit | sudo tee /etc/systemd/system/labenv-ops345.service
    """
    check_there("class serve")
    from labenv.classroom.serving import alive
    from labenv.classroom.serving import unit as units
    from labenv.gate import server, timing

    of = opened(folder)
    if unit:
        print(units.text(of, address, port), end="")
        print(f"To install it: {units.install(of)}", file=sys.stderr)
        return
    with alive.alone(of, alive.SERVE), screen.progress(quiet=True) as listen:
        server.serve(common.open_engine(listen), of, address, port, listen, beside=[timing.keep])
