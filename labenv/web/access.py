"""Who may see a page: everything that a browser asks for passes here first, also each WebSocket.

A token in the first address becomes a cookie, and the address loses it. What another site's page sends is refused by its Origin,
and what asks under another name by its Host: a page elsewhere can have its own name point to 127.0.0.1.
"""

import html
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs

from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from labenv.gate.throttle import Throttle

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
        "form-action": "'self'",
        "base-uri": "'self'",
        "frame-ancestors": "'none'",
    }.items()
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}
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


class Access:
    """The doorkeeper before an application. `hosts` are the names, with a port, under which the page may be asked for."""

    def __init__(self, app: ASGIApp, known: Keys, hosts: frozenset[str]) -> None:
        """Let in who has the token. An address that tries many wrong ones is turned away."""
        self._app = app
        self._known = known
        self._hosts = hosts
        self._throttle = Throttle()
        # A browser has one jar for all ports of a host.
        self._cookie = f"labenv-{min(hosts).rpartition(':')[2]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve what may be served, and refuse the rest with a sentence."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refused = self._refusal(scope, headers)
        if scope["type"] == "websocket":
            if refused:
                await send({"type": "websocket.close", "code": 4403})
            else:
                await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", []),
                    *((name.encode(), value.encode()) for name, value in _HEADERS.items()),
                ]
            await send(message)

        await (refused or self._app)(scope, receive, guarded)

    def _refusal(self, scope: Scope, headers: Mapping[str, str]) -> Response | None:
        """The answer that is no page: a way in, or why there is none."""
        if headers.get("host", "") not in self._hosts:
            return _said(421, "This address is not the page's own. Open the address that labenv serve printed.")
        origin = headers.get("origin")
        if origin and origin not in {f"http://{host}" for host in self._hosts}:
            return _said(403, "Another site's page asked for this one. Open the address that labenv serve printed.")
        if scope["type"] == "websocket" and not origin:
            return _said(403, "A browser says where it comes from.")
        if scope["type"] == "http" and scope["path"] == ENTER:
            return self._entered(scope)
        return None if self._is_known(headers) else _said(401, _ENTERED)

    def _entered(self, scope: Scope) -> Response:
        address = (scope.get("client") or ("",))[0]
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if self._throttle.tried(address, address) is None:
            return _said(429, "Too many tries with a wrong token. Wait ten minutes.")
        if not secrets.compare_digest(given.encode(), self._known.token.encode()):
            return _said(401, _ENTERED)
        self._throttle.passed(address, address)
        answer = RedirectResponse("/", status_code=303, headers={"cache-control": "no-store"})
        answer.set_cookie(self._cookie, self._known.cookie, httponly=True, samesite="lax", path="/")
        return answer

    def _is_known(self, headers: Mapping[str, str]) -> bool:
        jar = SimpleCookie()
        try:
            jar.load(headers.get("cookie", ""))
        except CookieError:
            return False
        had = jar.get(self._cookie)
        return had is not None and secrets.compare_digest(had.value.encode(), self._known.cookie.encode())


def _said(status: int, sentence: str) -> Response:
    text = f'<!DOCTYPE html><html lang="en"><title>labenv</title><p>{html.escape(sentence)}</p></html>'
    return HTMLResponse(text, status, headers={"cache-control": "no-store"})
