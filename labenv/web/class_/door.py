"""The door of a class's page: who signs in, and who it is that asks for anything.

What a stranger gets is plain HTML, which costs the server little. Who it is stands in the scope of each request and WebSocket:
pages take it from there, never from an address or from what a browser says.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from labenv.classroom.serving.sessions import Sessions
from labenv.errors import LabenvError
from labenv.gate import login
from labenv.gate.state import Gate
from labenv.web.access import ENTER, Guard, said, token_tried
from labenv.web.class_ import sign_in
from labenv.web.class_.house import TEACHER

if TYPE_CHECKING:
    from labenv.web.class_.oidc import Oidc

WHO = "labenv.who"  # in a scope: the student's id, or TEACHER
SIGN_IN, SIGN_OUT, OIDC, BACK = "/sign-in", "/sign-out", "/oidc", "/oidc/back"
_LARGEST = 4096  # bytes of a form
_LOOK = 5.0  # seconds after which an open page has noticed that its session is over
_TEACHER = "This is not the teacher's link. It is in the records of the class, and labenv class serve says where."
_TOO_MANY = "Too many tries. Wait ten minutes."
_WRONG = "This is no password of yours, or it was used already. Each is good for one sign-in."


class Door(Guard):
    """Lets in the students of a class, and with the `token` its teacher."""

    printed = "labenv class serve"

    def __init__(self, app: ASGIApp, gate: Gate, origins: Collection[str], token: str) -> None:
        """Guard the page of a class."""
        super().__init__(app, origins)
        self._gate = gate
        self._token = token
        self._oidc: Oidc | None = None
        self.sessions = Sessions(gate.of)
        # What strangers are served, too.
        self._ways: dict[tuple[str, str], Callable[[Request], Awaitable[Response]]] = {
            ("GET", SIGN_IN): self._to_sign_in,
            ("POST", SIGN_IN): self._with_password,
            ("POST", SIGN_OUT): self._out,
            ("GET", ENTER): self._teacher,
        }
        self._ways |= {("GET", path): _file for path in sign_in.FILES}

    def let_in_by(self, oidc: "Oidc") -> None:
        """Let students in whom the school's own sign-in names."""
        self._oidc = oidc
        self._ways |= {("GET", OIDC): self._to_oidc, ("GET", BACK): self._with_oidc}

    def used(self, scope: Mapping[str, Any]) -> None:
        """Somebody does something on their page."""
        if who(scope) != TEACHER:
            self._gate.seen(who(scope))
        with suppress(LabenvError):  # it is asked whose the session is anyway
            self.sessions.use(self.secret(Headers(raw=scope["headers"])))

    async def answer(self, scope: Scope, headers: Mapping[str, str], receive: Receive) -> ASGIApp | None:
        """Sign somebody in or out, or find out who asks."""
        try:
            if scope["type"] == "http" and (way := self._ways.get((scope["method"], scope["path"]))):
                return await way(Request(scope, receive))
            who = self._who(headers)
        except LabenvError as error:  # the records cannot be read or written
            self._gate.say(str(error), "warn")
            return said(503, "The server cannot look up who you are now. Tell your teacher.")
        wants_page = scope["type"] == "http" and "text/html" in headers.get("accept", "")
        if who is not None:
            scope[WHO] = who
            if wants_page:
                self.used(scope)
            return None
        return RedirectResponse(SIGN_IN, 303) if wants_page else said(401, "Sign in first.")

    async def connected(self, scope: Scope, receive: Receive, send: Send, headers: Mapping[str, str]) -> None:
        """Serve a WebSocket until its session is over, which may be while nothing is said."""
        heard: asyncio.Task[Message] | None = None
        is_over = False

        async def hear() -> Message:
            nonlocal heard, is_over
            while True:
                heard = heard or asyncio.ensure_future(receive())
                done, _ = await asyncio.wait({heard}, timeout=_LOOK)
                if is_over or not self._goes_on(headers, scope[WHO]):
                    heard.cancel()
                    if not is_over:
                        is_over = True
                        await send({"type": "websocket.close", "code": 4403})
                    return {"type": "websocket.disconnect", "code": 4403}
                if done:
                    message, heard = heard.result(), None
                    return message

        async def say(message: Message) -> None:
            if not is_over:
                await send(message)

        await self._app(scope, hear, say)

    def _who(self, headers: Mapping[str, str]) -> str | None:
        """Whose session it is; None for nobody's, also of somebody who has left the roster. Raises UsageError."""
        who = self.sessions.whose(self.secret(headers))
        return who if who is None or who == TEACHER or self._gate.member(who) else None

    def _goes_on(self, headers: Mapping[str, str], who: str) -> bool:
        try:
            return self._who(headers) == who
        except LabenvError:
            return True  # the records cannot be read just now

    def _form(self, sentence: str, status: int = 200, student: str = "") -> Response:
        return sign_in.page(self._gate.current(), sentence, status, student, oidc=self._oidc is not None)

    async def _to_sign_in(self, request: Request) -> Response:
        return self._form("") if self._who(request.headers) is None else RedirectResponse("/", 303)

    async def _with_password(self, request: Request) -> Response:
        form = await _form(request)
        # As at the gate: a person types capitals and blanks.
        student, typed = form.get("student", "").strip().lower()[:64], form.get("password", "")
        number = await login.with_password(self._gate, student, typed, _address(request))
        if not number:
            return self._form(_TOO_MANY if number is None else _WRONG, 429 if number is None else 401, student)
        return self._in(request, student, f"password {number}")

    async def _teacher(self, request: Request) -> Response:
        if found := token_tried(request.scope, self._token, self._gate.throttle, _TEACHER):
            if found[0] == 401:
                self._gate.note(TEACHER, "refused", _address(request), by="link")
            return said(*found)
        return self._in(request, TEACHER, "link")

    async def _to_oidc(self, request: Request) -> Response:
        assert self._oidc
        address = _address(request)
        if self._gate.throttle.tried(address, address) is None:
            return self._form(_TOO_MANY, 429)
        try:
            return await self._oidc.begin(request)
        except LabenvError as error:
            return self._form(str(error), 502)

    async def _with_oidc(self, request: Request) -> Response:
        assert self._oidc
        try:
            student = await self._oidc.end(request, self._gate.current())
        except LabenvError as error:
            self._gate.note("", "refused", _address(request), by="oidc", why=str(error))
            return self._form(str(error), 401)
        self._gate.throttle.passed(_address(request), _address(request))
        return self._in(request, student, "oidc")

    def _in(self, request: Request, who: str, by: str) -> Response:
        self.sessions.end(self.secret(request.headers))  # of whoever sat here before
        answer = self.entered(self.sessions.begin(who))
        self._gate.note(who, "login", _address(request), by=by, to="page" if who else "teacher's page")
        return answer

    async def _out(self, request: Request) -> Response:
        who = self._who(request.headers)
        self.sessions.end(self.secret(request.headers))
        if who is not None:
            self._gate.note(who, "logout", _address(request))
        answer = RedirectResponse(SIGN_IN, 303)
        answer.delete_cookie(self.cookie, path="/", secure=self._is_secure, httponly=True, samesite="lax")
        return answer


def who(scope: Mapping[str, Any]) -> str:
    """Who asks: a student's id, or TEACHER. KeyError where no door stands before."""
    return str(scope[WHO])


async def _file(request: Request) -> Response:
    return FileResponse(sign_in.FILES[request.scope["path"]], headers={"cache-control": "no-cache"})


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form; none of one that is too large."""
    sent = b""
    async for part in request.stream():
        sent += part
        if len(sent) > _LARGEST:
            return {}
    try:
        return {name: values[0] for name, values in parse_qs(sent.decode(), max_num_fields=8).items()}
    except ValueError:
        return {}


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
