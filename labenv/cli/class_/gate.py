"""The class gate command."""

from typing import Annotated

import typer

from labenv.cli import screen
from labenv.cli.class_.common import ClassOption, open_engine, opened
from labenv.errors import UsageError

PortOption = Annotated[int, typer.Option("--port", min=1, max=65535, help="The TCP port of the gate.")]
AddressOption = Annotated[
    str, typer.Option("--address", metavar="ADDRESS", help="Only on this address of the server. Default: on all.")
]


def check_there(command: str) -> None:
    """Raise UsageError, saying what to install, if the SSH library is missing."""
    try:
        import asyncssh  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"labenv {command} needs AsyncSSH, which is not installed: pip install 'labenv[class]'"
        ) from error


def gate(folder: ClassOption = None, port: PortOption = 2222, address: AddressOption = "") -> None:
    """Let the students of a class in over SSH, to their own machines and nothing else, until Ctrl-C.

    They log in with a key of the roster or a one-time password (labenv class passwords). ssh STUDENT@SERVER opens a menu;
    ssh STUDENT+MACHINE@SERVER goes straight into a machine. labenv class serve does this too, and stops environments in time.

    Examples:

      labenv class gate

      labenv class gate -c ops345 --port 22345
    """
    check_there("class gate")
    from labenv.classroom.serving import alive
    from labenv.gate import server

    of = opened(folder)
    with alive.alone(of, alive.GATE), screen.progress(quiet=True) as listen:
        server.serve(open_engine(of, listen), of, address, port, listen)
