"""The serve command."""

import importlib.util
import sys
import threading
from typing import Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import StudentOption
from labenv.errors import UsageError


def serve(
    student: StudentOption = None,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port of the page on 127.0.0.1; 0: any that is free.")
    ] = 8335,
    look: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in your browser.")] = True,
) -> None:
    """Serve your lab as a page for your browser until Ctrl-C: the steps, which tick themselves, and terminals of the machines.

    It listens on this computer only. Whoever has the address that it prints, with its token, can use the page.

    Examples:

      labenv serve

      labenv serve -s asmith15 --no-open --port 0
    """
    if importlib.util.find_spec("nicegui") is None:
        raise UsageError("The page needs more than labenv itself. Install it: pip install 'labenv[web]'")
    with screen.progress(quiet=True) as listen:
        engine = common.open_shared(listen)
        environment = common.chosen(engine, student)
    from labenv.cli import browser
    from labenv.web import server

    def show(address: str) -> None:
        if not browser.opened(address):
            print("No browser was opened. Open that address in one on this computer.", file=sys.stderr)

    def ready(address: str) -> None:
        print(address, flush=True)
        print("Serving until Ctrl-C.", file=sys.stderr)
        if look:
            threading.Thread(target=show, args=(address,), daemon=True).start()  # the page is served meanwhile

    common.if_interrupted("Your machines go on, and your work is kept.")
    server.serve(engine, environment.student.id, port, ready)
