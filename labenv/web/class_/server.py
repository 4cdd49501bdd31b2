"""The server of a class's page: it runs beside the gate, in the same process, on a port of its own."""

import asyncio
import importlib.util
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI, Request, Response
from nicegui import ui

from labenv.classroom.running.checking import Checkers
from labenv.errors import LabenvError, UsageError
from labenv.gate.state import Gate
from labenv.web import dressed
from labenv.web.access import said
from labenv.web.class_ import bar, sockets
from labenv.web.class_.beheld import BeheldPage
from labenv.web.class_.called import Called
from labenv.web.class_.door import BACK, Door, who
from labenv.web.class_.house import TEACHER, House
from labenv.web.class_.table import TeacherPage
from labenv.web.class_.whereabouts import Where, token
from labenv.web.page import Page
from labenv.web.relay import PATH, Relay

_MOST = 1000  # connections
_LARGEST = 1 << 20  # bytes of a message of a browser


async def keep(gate: Gate, checkers: Checkers, where: Where, ready: Callable[[], None]) -> None:
    """Serve the page for as long as the gate is open; `ready` is called once it can be asked for. Raises UsageError if what it needs is not there."""
    house = House(gate, checkers)
    server = _Server(
        uvicorn.Config(
            _door(gate, house, where),
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=2,
            limit_concurrency=_MOST,
            ws_max_size=_LARGEST,
            # A proxy on this computer says whom it asks for; without one, anybody could say so.
            proxy_headers=where.is_proxied,
            forwarded_allow_ips="127.0.0.1,::1",
        ),
        ready,
    )
    tidying = asyncio.create_task(house.tidy())
    serving = asyncio.create_task(server.serve(sockets=[where.listener]))
    try:
        await asyncio.shield(serving)
    finally:
        server.should_exit = True
        tidying.cancel()
        await house.close()
        await serving


class _Server(uvicorn.Server):
    """uvicorn's server, which leaves the signals to the gate."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and tell that it is ready."""
        await super().startup(sockets)
        if self.started:
            self._ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none."""
        yield


def _door(gate: Gate, house: House, where: Where) -> Door:
    door = Door(_application(house), gate, where.origins, token(gate.of, where.origins[0]))
    sockets.guard(door.used)
    if provider := gate.of.page.oidc:
        if importlib.util.find_spec("authlib") is None:
            raise UsageError("`oidc` in class.yaml needs Authlib, which is not installed: pip install 'labenv[oidc]'")
        from labenv.web.class_.oidc import Oidc  # Authlib is for who needs it

        try:
            secret = provider.secret_file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise UsageError(f"{provider.secret_file} cannot be read: {error}. It stands in class.yaml.") from error
        door.let_in_by(Oidc(provider, secret, f"{where.origins[0]}{BACK}", f"{door.cookie}-oidc"))
    return door


def _application(house: House) -> FastAPI:
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.mount(PATH, Relay(lambda scope: house.desk(who(scope))))

    @ui.page("/", title="labenv")
    def _(request: Request) -> Response | None:
        student = who(request.scope)
        if student != TEACHER:
            return _students(house, student)
        TeacherPage(house)
        return None

    @ui.page("/student/{student}", title="labenv")
    def _(request: Request, student: str) -> Response | None:
        asks = who(request.scope)
        if asks != TEACHER:
            address = request.client.host if request.client else ""
            house.gate.note(asks, "refused", address, line=request.url.path)
            return said(
                403, "This is the page of somebody else. Yours is at the address without what stands behind the last /."
            )
        return _looked_at(house, student)

    dressed.dress(app)
    return app


def _students(house: House, student: str) -> Response | None:
    try:
        desk = house.desk(student)
        desk.visit()
        Page(desk, lambda: house.enter(bar.Bar(desk), ui.context.client.on_delete))
        Called(house.gate, house.teaching.calls, student)
    except LabenvError as error:
        return said(503, str(error))
    return None


def _looked_at(house: House, student: str) -> Response | None:
    try:
        BeheldPage(house, student)
    except LabenvError as error:
        return said(404, str(error))
    house.look(student, ui.context.client.on_delete)
    return None
