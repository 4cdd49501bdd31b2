"""The server of a student's page, on one port of 127.0.0.1."""

import asyncio
import gc
import signal
import socket
from collections.abc import Awaitable, Callable

import uvicorn
from fastapi import FastAPI
from nicegui import ui

from labenv import places
from labenv.classroom.running.checking import Checkers
from labenv.engine import Engine
from labenv.errors import UsageError
from labenv.web import dressed
from labenv.web.access import ENTER, Access, Keys, keys
from labenv.web.desk import Desk
from labenv.web.page import Page
from labenv.web.relay import PATH, Relay

_LOCAL = "127.0.0.1"


def serve(engine: Engine, student: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve the page of a student until a signal ends it. `ready` is told the address, with its token, once it can be asked for.

    Raises UsageError if the port cannot be had.
    """
    gc.enable()  # unlike other commands this one may run for days
    with _listener(port) as listener, Checkers(engine) as checkers:
        known = keys(places.runtime() / f"page-{port}.json") if port else Keys.new()
        port = listener.getsockname()[1]
        asyncio.run(_serve(Desk(engine, student, checkers), listener, port, known, ready))


def _listener(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_LOCAL, port))
    except OSError as error:
        listener.close()
        raise UsageError(
            f"The page cannot listen on port {port} of {_LOCAL}: {error.strerror}. Choose another one: --port"
        ) from error
    return listener


async def _serve(desk: Desk, listener: socket.socket, port: int, known: Keys, ready: Callable[[str], None]) -> None:
    application = _application(desk)

    async def begin() -> None:
        await dressed.warm_up(application)
        desk.open()
        ready(f"http://{_LOCAL}:{port}{ENTER}?token={known.token}")

    server = _Server(
        uvicorn.Config(
            Access(application, known, frozenset({f"{_LOCAL}:{port}", f"localhost:{port}"})),
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=2,
        ),
        begin,
    )
    over = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        over.add_signal_handler(sign, server.end)
    try:
        await server.serve(sockets=[listener])
    finally:
        await desk.close()


class _Server(uvicorn.Server):
    """uvicorn's server, whose signals are ours."""

    def __init__(self, config: uvicorn.Config, begin: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self._begin = begin

    def install_signal_handlers(self) -> None:
        """Leave the signals alone."""

    def end(self) -> None:
        """End it."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and only then begin: NiceGUI looks at all objects there are as it starts, and no other thread survives that."""
        await super().startup(sockets)
        if self.started:
            await self._begin()


def _application(desk: Desk) -> FastAPI:
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.mount(PATH, Relay(lambda _: desk))

    @ui.page("/", title="labenv")
    def _() -> None:
        Page(desk)

    dressed.dress(app)
    return app
