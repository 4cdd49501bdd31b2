"""Who may see a page: everything that a browser asks for passes here first, also each WebSocket.

A token in the first address becomes a cookie, and the address loses it. What another site's page sends is refused by its Origin,
and what asks under another name by its Host: a page elsewhere can have its own name point to 127.0.0.1.
"""

import json
import os
import secrets
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs

from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from labenv.gate.throttle import Throttle
from labenv.reports import pages

# Vue compiles its templates and sets styles in the page, so both are allowed inline; nothing comes from another origin.
POLICY = "; ".join(
    f"{what} {whence}"
    for what, whence in {
        "default-src": "'none'",
        "script-src": "'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data:",
        "font-src": "'self' data:",
        "connect-src": "'self'",
        "frame-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'self'",
        "frame-ancestors": "'none'",
    }.items()
)
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # a form of the page says where it comes from, and nobody else learns of it
    "cross-origin-opener-policy": "same-origin",
}
_CSP = "content-security-policy"
_UNKEPT = {"cache-control": "no-store"}
ENTER = "/enter"
_ENTERED = "The page belongs to whoever started it. Open the address that labenv serve printed, with its token."


@dataclass(frozen=True)
class Keys:
    """What lets a browser in: the `token` in the first address, and the value of the `cookie` that it becomes."""

    token: str
    cookie: str

    @classmethod
    def new(cls) -> Self:
        """Keys that nobody has."""
        return cls(secrets.token_urlsafe(24), secrets.token_urlsafe(32))


def keys(file: Path) -> Keys:
    """The keys that a file keeps, so that a page that is open goes on after a restart of its server; made at the first call.

    What is no such file is replaced. Raises OSError if it cannot be written.
    """
    try:
        return Keys(**{name: str(value) for name, value in json.loads(file.read_text(encoding="utf-8")).items()})
    except (OSError, ValueError, TypeError, AttributeError):
        made = Keys.new()
        file.unlink(missing_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as new:
            json.dump(asdict(made), new)
        return made


class Guard:
    """The doorkeeper before an application: who asks for it, and from where, is looked at before anything else is.

    `origins` are those of the page itself, such as http://127.0.0.1:8335; `printed` is the command whose output names the way in.
    """

    printed = "labenv serve"
    policy = POLICY

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        """Guard an application."""
        self._app = app
        self._origins = frozenset(origins)
        self._hosts = frozenset(origin.partition("://")[2] for origin in origins)
        is_secure = all(origin.startswith("https://") for origin in origins)
        # A browser has one jar for all ports of a host.
        port = min(self._hosts).rpartition(":")[2]
        self.cookie = f"{'__Host-' if is_secure else ''}labenv{f'-{port}' if port.isdecimal() else ''}"
        self._is_secure = is_secure

    async def answer(self, scope: Scope, headers: Mapping[str, str], receive: Receive) -> ASGIApp | None:
        """What is said instead of the page; None for somebody who may see it."""
        raise NotImplementedError

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve what may be served, and refuse the rest with a sentence."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        answer = self._strange(scope, headers) or await self.answer(scope, headers, receive)
        if scope["type"] == "websocket":
            if answer:
                await send({"type": "websocket.close", "code": 4403})
            else:
                await self.connected(scope, receive, send, headers)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = message.get("headers", [])
                names = {name.lower() for name, _ in there}  # what is shown in a frame has a policy of its own
                told = {name.encode(): value.encode() for name, value in (_HEADERS | {_CSP: self.policy}).items()}
                message["headers"] = [*there, *(each for each in told.items() if each[0] not in names)]
            await send(message)

        await (answer or self._app)(scope, receive, guarded)

    async def connected(self, scope: Scope, receive: Receive, send: Send, headers: Mapping[str, str]) -> None:
        """Serve a WebSocket that may be."""
        await self._app(scope, receive, send)

    def secret(self, headers: Mapping[str, str]) -> str:
        """What the browser's cookie has; "" if it sends none."""
        jar = SimpleCookie()
        try:
            jar.load(headers.get("cookie", ""))
        except CookieError:
            return ""
        had = jar.get(self.cookie)
        return had.value if had else ""

    def entered(self, secret: str) -> Response:
        """The way to the page for a browser, which is to send this from now on."""
        answer = RedirectResponse("/", status_code=303, headers=_UNKEPT)
        answer.set_cookie(self.cookie, secret, httponly=True, samesite="lax", path="/", secure=self._is_secure)
        return answer

    def _strange(self, scope: Scope, headers: Mapping[str, str]) -> Response | None:
        """Why nothing is served whoever asks: it is asked under another name, or by another site's page."""
        way = f"Open the address that {self.printed} printed."
        if headers.get("host", "") not in self._hosts:
            return said(421, f"This address is not the page's own. {way}")
        origin = headers.get("origin")
        if origin and origin not in self._origins:
            return said(403, f"Another site's page asked for this one. {way}")
        if not origin and (scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD")):
            return said(403, "A browser says where it comes from.")
        return None


class Access(Guard):
    """Lets in who has the token of a student's own page."""

    def __init__(self, app: ASGIApp, known: Keys, hosts: Collection[str]) -> None:
        """`hosts` are the names, with a port, under which the page may be asked for."""
        super().__init__(app, [f"http://{host}" for host in hosts])
        self._known = known
        self._throttle = Throttle()

    async def answer(self, scope: Scope, headers: Mapping[str, str], receive: Receive) -> ASGIApp | None:
        """Take a token, or know the cookie. An address that tries many wrong tokens is turned away."""
        if scope["type"] == "http" and scope["path"] == ENTER:
            if found := token_tried(scope, self._known.token, self._throttle, _ENTERED):
                return said(*found)
            return self.entered(self._known.cookie)
        is_known = secrets.compare_digest(self.secret(headers).encode(), self._known.cookie.encode())
        return None if is_known else said(401, _ENTERED)


def token_tried(scope: Scope, token: str, throttle: Throttle, wrong: str) -> tuple[int, str] | None:
    """Look at the token in an address: None if it is the right one, otherwise the status and the sentence of the answer, `wrong` for another."""
    address = (scope.get("client") or ("",))[0]
    given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
    if throttle.tried(address, address) is None:
        return 429, "Too many tries with a wrong token. Wait ten minutes."
    if not secrets.compare_digest(given.encode(), token.encode()):
        return 401, wrong
    throttle.passed(address, address)
    return None


def said(status: int, sentence: str) -> Response:
    """A sentence as a page of its own."""
    return HTMLResponse(pages.sentence(sentence), status, headers=_UNKEPT)
