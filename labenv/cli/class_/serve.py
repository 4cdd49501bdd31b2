"""The class serve command."""

import asyncio
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import screen
from labenv.cli.class_.common import ClassOption, open_engine, opened
from labenv.cli.class_.gate import AddressOption, PortOption, check_there

if TYPE_CHECKING:
    from labenv.classroom.folder.model import Class
    from labenv.engine import Engine
    from labenv.gate.server import Beside
    from labenv.gate.state import Gate
    from labenv.web.class_.whereabouts import Where

_LOCAL = "127.0.0.1"


def serve(
    folder: ClassOption = None,
    port: PortOption = 2222,
    address: AddressOption = "",
    page: Annotated[bool, typer.Option("--page/--no-page", help="Serve the page for browsers, too.")] = True,
    page_port: Annotated[int, typer.Option("--page-port", min=1, max=65535, help="The TCP port of the page.")] = 8336,
    listen: Annotated[
        str, typer.Option("--listen", metavar="ADDRESS", help="The server's address for the page, such as 0.0.0.0.")
    ] = _LOCAL,
    origin: Annotated[
        str,
        typer.Option(
            "--origin",
            metavar="URL",
            help="The page's address for browsers, such as https://lab.example.org. Default: `origin` of `page` in class.yaml.",
        ),
    ] = "",
    unit: Annotated[
        bool, typer.Option("--unit", help="Only print a unit for systemd, which does this from boot on.")
    ] = False,
) -> None:
    """Serve a class until Ctrl-C: the gate and the page for its students, and the timers of labenv class up --for and --idle.

    Students sign in to the page with a one-time password (labenv class passwords), the teacher with the link that is printed.
    The page listens on this computer only, without --listen. Environments whose time is over are stopped, never removed.
    Students are told ten and two minutes before.

    Examples:

      labenv class serve

      labenv class serve --origin https://lab.example.org

      labenv class serve --unit | sudo tee /etc/systemd/system/labenv-ops345.service
    """
    check_there("class serve")
    from labenv.classroom.folder import load
    from labenv.classroom.serving import alive
    from labenv.classroom.serving import unit as units
    from labenv.gate import server, timing

    of = opened(folder)
    load.check_origin("--origin", origin)
    if unit:
        options = [] if page else ["--no-page"]
        options += [f"--page-port={page_port}", f"--listen={listen}"] if page else []
        options += [f"--origin={origin}"] if page and origin else []
        print(units.text(of, address, port, options), end="")
        print(f"To install it: {units.install(of)}", file=sys.stderr)
        return
    with alive.alone(of, alive.SERVE), screen.progress(quiet=True) as told:
        engine = open_engine(of, told)
        with _page(of, engine, listen, page_port, origin, wanted=page) as (pages, is_open):
            server.serve(engine, of, address, port, told, beside=[*pages, partial(_after, is_open, timing.keep)])


@contextmanager
def _page(
    of: "Class", engine: "Engine", address: str, port: int, origin: str, *, wanted: bool
) -> "Iterator[tuple[list[Beside], asyncio.Event]]":
    """The page, ready to be served during the block, if it is wanted and what it needs is installed; and what is set once it is open.

    Raises UsageError.
    """
    is_open = asyncio.Event()
    if not wanted:
        is_open.set()
        yield [], is_open
        return
    if importlib.util.find_spec("nicegui") is None:
        print(
            "There is no page for browsers. It needs more than labenv itself: pip install 'labenv[web]'",
            file=sys.stderr,
        )
        is_open.set()
        yield [], is_open
        return
    from labenv.web.class_ import house, server, whereabouts

    with whereabouts.opened(address, port, origin or of.page.origin) as where, house.Few(engine) as checkers:

        def ready() -> None:
            _tell(of, where, address)
            is_open.set()

        yield [partial(server.keep, checkers=checkers, where=where, ready=ready)], is_open


async def _after(is_open: asyncio.Event, work: "Beside", gate: "Gate") -> None:
    """Begin with something once the page is open: as NiceGUI starts it looks at all objects that there are, also those of other threads."""
    await is_open.wait()
    await work(gate)


def _tell(of: "Class", where: "Where", address: str) -> None:
    """Say that the page is open, and the teacher's link to it: the link itself on a terminal; in a log, which others read, where it is kept."""
    from labenv.web.class_ import whereabouts

    file = whereabouts.link_file(of)
    link = file.read_text(encoding="utf-8").strip() if sys.stderr.isatty() else f"see {file}"
    print(f"The page is open on {where.origins[0]}. The teacher's link: {link}", file=sys.stderr)
    if not whereabouts.is_local(address) and not where.is_secure:
        print(
            f"It listens on {address}. Passwords and limits on tries protect it, but without TLS whoever is on the line "
            "reads what is sent. Put a reverse proxy with TLS before it, and name it: --origin https://lab.example.org",
            file=sys.stderr,
        )
