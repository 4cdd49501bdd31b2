"""Who may see the page: each way in that is none is refused, and what the browser is told to allow."""

import asyncio
import stat
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from labenv.web.access import POLICY, Access, Keys, keys

HOST = "127.0.0.1:8335"
KNOWN = Keys("the-token", "the-cookie")


async def inner(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
    else:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"the page"})


def access() -> Access:
    return Access(inner, KNOWN, frozenset({HOST, "localhost:8335"}))


def ask(door: Access, path: str = "/", kind: str = "http", **headers: str) -> list[Message]:
    said: list[Message] = []
    given = {"host": HOST} | headers
    path, _, query = path.partition("?")
    scope: dict[str, Any] = {
        "type": kind,
        "path": path,
        "query_string": query.encode(),
        "method": "GET",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in given.items()],
        "client": ("127.0.0.1", 4711),
    }

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        said.append(message)

    asyncio.run(door(scope, receive, send))
    return said


def headers_of(said: list[Message]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in said[0]["headers"]}


COOKIE = f"labenv-8335={KNOWN.cookie}"


def test_the_token_becomes_a_cookie_that_no_script_reads_and_leaves_the_address() -> None:
    said = ask(access(), "/enter?token=the-token")
    told = headers_of(said)
    assert (said[0]["status"], told["location"]) == (303, "/")
    cookie = told["set-cookie"].lower()
    assert COOKIE.lower() in cookie
    assert "httponly" in cookie
    assert "samesite=lax" in cookie


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/", {}, 401),
        ("/", {"cookie": "labenv-8335=another"}, 401),
        ("/", {"cookie": "labenv-8335=ä"}, 401),
        ("/", {"cookie": "=;;\x01"}, 401),
        ("/_nicegui/1/static/vue.js", {}, 401),
        ("/enter", {}, 401),
        ("/enter?token=", {}, 401),
        ("/enter?token=the-tokem", {}, 401),
        ("/", {"cookie": COOKIE, "host": "evil.example:8335"}, 421),
        ("/enter?token=the-token", {"host": "evil.example"}, 421),
        ("/", {"cookie": COOKIE, "origin": "http://evil.example"}, 403),
        ("/", {"cookie": COOKIE, "origin": "null"}, 403),
        ("/", {"cookie": COOKIE}, 200),
        ("/", {"cookie": f"other=1; {COOKIE}", "origin": "http://localhost:8335", "host": "localhost:8335"}, 200),
    ],
)
def test_nobody_comes_in_without_the_cookie_or_from_another_sites_page(
    path: str, headers: dict[str, str], status: int
) -> None:
    said = ask(access(), path, **headers)
    assert said[0]["status"] == status
    assert headers_of(said)["content-security-policy"] == POLICY
    assert (said[1]["body"] == b"the page") == (status == 200)


@pytest.mark.parametrize(
    ("headers", "opens"),
    [
        ({"cookie": COOKIE, "origin": f"http://{HOST}"}, True),
        ({"cookie": COOKIE, "origin": "http://evil.example"}, False),
        ({"cookie": COOKIE}, False),
        ({"origin": f"http://{HOST}"}, False),
    ],
)
def test_a_websocket_opens_for_the_page_alone(headers: dict[str, str], opens: bool) -> None:
    (said,) = ask(access(), "/_nicegui_ws/socket.io/", "websocket", **headers)
    assert said["type"] == ("websocket.accept" if opens else "websocket.close")


def test_who_tries_many_tokens_is_turned_away_also_with_the_right_one() -> None:
    door = access()
    for number in range(100):
        assert ask(door, f"/enter?token={number}")[0]["status"] == 401
    assert ask(door, "/enter?token=the-token")[0]["status"] == 429
    assert ask(door, "/", cookie=COOKIE)[0]["status"] == 200


def test_the_policy_names_no_other_origin() -> None:
    assert "http" not in POLICY
    assert "*" not in POLICY
    assert "frame-ancestors 'none'" in POLICY


def test_keys_are_kept_for_the_next_server_and_for_the_user_alone(tmp_path: Path) -> None:
    file = tmp_path / "page.json"
    made = keys(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert keys(file) == made
    for broken in ("", "[]", "{}", '{"token": "x"}', "\x00"):
        file.write_text(broken)
        assert keys(file) != made
        assert keys(file) == keys(file)
