"""The desktop's own page, passed on below a path of this one: one port, and one check of who may see it.

What is passed on is little: the files of a page that is made to be shown here, by their names' endings, and the bytes of its
WebSocket. The desktop's container says neither what kind a file is nor any other header.
"""

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import PurePosixPath

from aiohttp import ClientError, ClientSession, ClientTimeout, ClientWebSocketResponse, WSMsgType
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from labenv.environments import desktop
from labenv.errors import LabenvError
from labenv.web.desk import Desk

PATH = "/desktop"
# Of the page in the frame: it shows nothing but pictures of the desktop, and only a page of ours may frame it.
_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
_KINDS = {"": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
FILE = re.compile(r"/|(?:/[A-Za-z0-9_-]+)*/[A-Za-z0-9_.-]+\.(?:js|css)", re.ASCII)
_LARGEST = 2 << 20  # bytes of a file
_MESSAGE = 16 << 20  # bytes of a WebSocket's message
_PATIENCE = ClientTimeout(total=20)
_SOCKET = "/websockify"


class Relay:
    """An application for PATH. `find` gives the desk whose desktop a request may see, and raises LabenvError if there is none."""

    def __init__(self, find: Callable[[Scope], Desk]) -> None:
        self._find = find
        self._ports: dict[str, int] = {}  # as they were when the page was last asked for

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on one request, or one connection to its end."""
        path = scope["path"].removeprefix(scope.get("root_path", "")) or "/"
        try:
            desk = self._find(scope)
            if scope["type"] == "websocket":
                if path != _SOCKET:
                    raise LabenvError("There is nothing of that name.")
                await _connect(WebSocket(scope, receive, send), await self._port(desk))
                return
            if path == "/":
                await self._port(desk)
            answer = await self._file(scope, path, desk)
        except (LabenvError, ClientError, TimeoutError) as error:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1011})
                return
            said = str(error) if isinstance(error, LabenvError) else "The desktop does not answer. Open it again."
            answer = PlainTextResponse(said, 502)
        await answer(scope, receive, send)

    async def _port(self, desk: Desk) -> int:
        port = await desk.ask(desktop.page)
        if port is None:
            raise LabenvError("No desktop runs. Open it on the page of the lab.")
        self._ports[desk.student] = port
        return port

    async def _file(self, scope: Scope, path: str, desk: Desk) -> Response:
        port = self._ports.get(desk.student)
        content = await _fetched(f"http://127.0.0.1:{port}{path}") if port and FILE.fullmatch(path) else None
        if content is None or scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("There is nothing of that name.", 404)
        headers = {
            "content-type": _KINDS[PurePosixPath(path).suffix],
            "cache-control": "private, max-age=600" if path != "/" else "no-store",
            "content-security-policy": _POLICY,
        }
        return Response(content, headers=headers)


async def _fetched(address: str) -> bytes | None:
    """A file of the desktop's page; None if there is none. Raises ClientError, LabenvError."""
    async with (
        ClientSession(timeout=_PATIENCE) as client,
        client.get(address, allow_redirects=False) as there,
    ):
        if there.status != 200:
            return None
        try:
            await there.content.readexactly(_LARGEST)
        except asyncio.IncompleteReadError as short:
            return short.partial
    raise LabenvError("The desktop sends more than a page is.")


async def _connect(ours: WebSocket, port: int) -> None:
    """Pass on what either side says, until one of them has ended. The desktop's server wants its own page's Origin."""
    there = f"http://127.0.0.1:{port}"
    async with (
        ClientSession() as client,
        client.ws_connect(f"{there}{_SOCKET}", origin=there, max_msg_size=_MESSAGE, compress=0) as theirs,
    ):
        await ours.accept()
        ways = [asyncio.create_task(_there(ours, theirs)), asyncio.create_task(_back(theirs, ours))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        with suppress(WebSocketDisconnect, RuntimeError):  # it has closed it itself
            await ours.close()


async def _there(ours: WebSocket, theirs: ClientWebSocketResponse) -> None:
    with suppress(WebSocketDisconnect, ClientError, ConnectionError):
        while True:
            await theirs.send_bytes(await ours.receive_bytes())


async def _back(theirs: ClientWebSocketResponse, ours: WebSocket) -> None:
    with suppress(WebSocketDisconnect, RuntimeError):
        async for message in theirs:
            if message.type is not WSMsgType.BINARY:
                break
            await ours.send_bytes(message.data)
