"""What a browser sends over its WebSocket is for its own pages: each message names one, and it must be one of whoever is signed in."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from nicegui import Client, core

from labenv.web.class_.door import who

_EVENTS = ("connect", "handshake", "event", "javascript_response", "ack", "log")  # all that NiceGUI hears of a browser
Handler = Callable[..., Any]
Used = Callable[[Mapping[str, Any]], None]


def guard(used: Used) -> None:
    """Have every message looked at before NiceGUI hears it. `used` is told the scope of each in which somebody does something."""
    for event in _EVENTS:
        core.sio.on(event, _guarded(event, core.sio.handlers["/"][event], used))


def _guarded(event: str, handler: Handler, used: Used) -> Callable[..., Awaitable[Any]]:
    async def hear(sid: str, told: Mapping[str, Any], *more: Any) -> Any:
        scope = (told if event == "connect" else core.sio.get_environ(sid))["asgi.scope"]
        query = parse_qs(told.get("QUERY_STRING", "")) if event == "connect" else {}
        page = Client.instances.get(str(query.get("client_id", [told.get("client_id")])[0]))
        if page and (page.request is None or who(page.request.scope) != who(scope)):
            return False
        if event == "event":
            used(scope)
        result = handler(sid, told, *more)
        return await result if inspect.isawaitable(result) else result

    return hear
