"""The door of a class's page: who comes in, as whom, for how long, and what is written down of it."""

import asyncio
import json
import os
import re
import stat
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import httpx
import pytest
from joserfc.jwk import RSAKey
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from labenv.classroom.folder import load
from labenv.classroom.folder.model import Class, OidcProvider
from labenv.classroom.serving import audit, passwords, sessions
from labenv.classroom.serving.sessions import IDLE, Sessions
from labenv.cli.class_.serve import _page, _tell
from labenv.engine import Engine
from labenv.errors import UsageError
from labenv.events import silent
from labenv.gate.state import Gate
from labenv.gate.throttle import FREE, FROM_ADDRESS
from labenv.web.class_ import whereabouts
from labenv.web.class_.door import BACK, Door, who
from labenv.web.class_.oidc import Oidc, member
from tests.unit.oidc_provider import CLIENT, SECRET, Provider, running

HERE = "http://127.0.0.1:8336"
OUTSIDE = "https://lab.example"
FORM = {"origin": HERE}
T = TypeVar("T")


async def inner(scope: Scope, receive: Receive, send: Send) -> None:
    """The page: it says who asks, and over a WebSocket echoes."""
    if scope["type"] == "http":
        await PlainTextResponse(f"the page of {who(scope) or 'the teacher'}")(scope, receive, send)
        return
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] != "websocket.disconnect":
        await send({"type": "websocket.send", "text": message.get("text", "")})


@pytest.fixture
def of(tmp_path: Path) -> Class:
    (tmp_path / "class.yaml").write_text('name: "OPS <b>345</b>"\nlabs: [{lab: lab4b}]\n')
    (tmp_path / "roster.csv").write_text("id,email\namy,amy@school.example\nbob,Bob@School.example\n")
    return load.load(tmp_path)


def door(of: Class, *, origin: str = HERE) -> Door:
    return Door(inner, Gate(cast(Engine, None), of, silent), [origin], "the-token")


@asynccontextmanager
async def browser(of_door: Door, origin: str = HERE, address: str = "192.0.2.7") -> Any:
    transport = httpx.ASGITransport(of_door, client=(address, 4711))
    async with httpx.AsyncClient(transport=transport, base_url=origin, headers={"accept": "text/html"}) as made:
        yield made


def visited(visit: Callable[[httpx.AsyncClient], Awaitable[T]], at: Door, origin: str = HERE) -> T:
    """What a visit of a browser that was never here leads to."""

    async def go() -> T:
        async with browser(at, origin) as made:
            return await visit(made)

    return asyncio.run(go())


def signed_in(of: Class, student: str, **more: str) -> dict[str, str]:
    [[word]] = passwords.make(of, [student], 1).values()
    return {"student": student, "password": word} | more


def noted(of: Class) -> list[tuple[str, str, str]]:
    return [(each["student"], each["what"], each.get("by", "")) for each in audit.read(of)]


class TestSigningIn:
    def test_with_a_one_time_password_gives_the_students_own_page_and_is_written_down(self, of: Class) -> None:
        form = signed_in(of, "amy")

        async def visit(at: httpx.AsyncClient) -> None:
            first = await at.get("/")
            assert (first.status_code, first.headers["location"]) == (303, "/sign-in")
            came = await at.post("/sign-in", data=form, headers=FORM)
            assert (came.status_code, came.headers["location"]) == (303, "/")
            cookie = came.headers["set-cookie"].lower()
            assert "httponly" in cookie
            assert "samesite=lax" in cookie
            assert "secure" not in cookie
            assert (await at.get("/")).text == "the page of amy"
            assert (await at.get("/sign-in")).headers["location"] == "/"

        visited(visit, door(of))
        assert noted(of) == [("amy", "login", "password 01")]

    def test_forgives_capitals_and_blanks_and_takes_each_password_once(self, of: Class) -> None:
        form = signed_in(of, "amy")
        typed = {"student": " Amy ", "password": f" {form['password'].upper().replace('-', ' ')} "}
        at = door(of)
        assert visited(lambda here: here.post("/sign-in", data=typed, headers=FORM), at).status_code == 303
        again = visited(lambda here: here.post("/sign-in", data=typed, headers=FORM), at)
        assert again.status_code == 401
        assert "or it was used already" in again.text
        assert noted(of)[1] == ("amy", "refused", "")

    def test_shows_what_was_typed_and_the_class_as_text(self, of: Class) -> None:
        form = {"student": '"><script>alert(1)</script>', "password": "x"}
        said = visited(lambda here: here.post("/sign-in", data=form, headers=FORM), door(of)).text
        assert "<script>alert" not in said
        assert "<b>345" not in said
        assert "OPS &lt;b&gt;345" in said
        # What a stranger types as a name may be a password: it is not written down.
        assert noted(of) == [("", "refused", "")]

    def test_is_slowed_for_a_student_and_ends_for_an_address(self, of: Class, monkeypatch: pytest.MonkeyPatch) -> None:
        waits: list[float] = []

        async def sleep(seconds: float) -> None:
            waits.append(seconds)

        at = door(of)

        async def guess(here: httpx.AsyncClient) -> list[int]:
            form = {"student": "amy", "password": "99-aaaa-aaaa-aaaa"}
            return [(await here.post("/sign-in", data=form, headers=FORM)).status_code for _ in range(FREE + 3)]

        with monkeypatch.context() as patched:
            patched.setattr("labenv.gate.login.asyncio.sleep", sleep)
            assert set(visited(guess, at)) == {401}
        assert waits[:FREE] == [0.0] * FREE
        assert waits[FREE:] == sorted(waits[FREE:])
        assert waits[-1] >= 2
        for _ in range(FROM_ADDRESS):
            at._gate.throttle.tried("x", "192.0.2.7")
        form = signed_in(of, "bob")
        said = visited(lambda here: here.post("/sign-in", data=form, headers=FORM), at)
        assert said.status_code == 429
        assert "Too many tries" in said.text

    @pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "https://127.0.0.1:8336"])
    def test_from_another_sites_page_is_refused(self, of: Class, origin: str | None) -> None:
        form = signed_in(of, "amy")
        headers = {"origin": origin} if origin else {}
        said = visited(lambda here: here.post("/sign-in", data=form, headers=headers), door(of))
        assert said.status_code == 403
        assert passwords.left(of) == {"amy": 1}

    @pytest.mark.parametrize("body", [b"", b"\xff=\xfe", b"student=amy", b"a=1&" * 2000, b"password=%ff&student=%00"])
    def test_takes_any_body(self, of: Class, body: bytes) -> None:
        headers = FORM | {"content-type": "application/x-www-form-urlencoded"}
        assert visited(lambda here: here.post("/sign-in", content=body, headers=headers), door(of)).status_code == 401

    def test_costs_a_stranger_nothing_of_the_page(self, of: Class) -> None:
        async def visit(at: httpx.AsyncClient) -> None:
            for path in ("/_nicegui/static/vue.js", "/student/amy", "/docs", "/sign-in/", "/oidc", "/oidc/back"):
                said = await at.get(path, headers={"accept": "*/*"})
                assert (said.status_code, "the page of" in said.text) == (401, False), path
            said = await at.get("/sign-in")
            assert "frame-ancestors 'none'" in said.headers["content-security-policy"]
            assert "unsafe" not in said.headers["content-security-policy"]
            for file in re.findall(r'(?:href|src)="([^"]+)"', said.text):
                assert (await at.get(file)).status_code == 200

        visited(visit, door(of))

    def test_under_another_name_is_refused(self, of: Class) -> None:
        said = visited(lambda here: here.get("/sign-in", headers={"host": "evil.example:8336"}), door(of))
        assert said.status_code == 421
        assert "labenv class serve printed" in said.text


class TestTheTeacher:
    def test_comes_in_by_the_link_and_a_wrong_one_is_written_down(self, of: Class) -> None:
        async def visit(at: httpx.AsyncClient) -> None:
            assert (await at.get("/enter?token=the-tokem")).status_code == 401
            assert (await at.get("/enter?token=the-token")).headers["location"] == "/"
            assert (await at.get("/")).text == "the page of the teacher"

        visited(visit, door(of))
        assert noted(of) == [("", "refused", "link"), ("", "login", "link")]

    def test_has_a_link_that_the_records_keep_for_the_teacher_alone(self, of: Class) -> None:
        made = whereabouts.token(of, HERE)
        file = whereabouts.link_file(of)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert file.read_text() == f"{HERE}/enter?token={made}\n"
        assert whereabouts.token(of, OUTSIDE) == made
        assert file.read_text().startswith(OUTSIDE)
        file.write_text("")
        assert whereabouts.token(of, HERE) not in ("", made)


class TestASession:
    def test_ends_for_all_when_it_is_signed_out(self, of: Class) -> None:
        form = signed_in(of, "amy")

        async def visit(at: httpx.AsyncClient) -> None:
            await at.post("/sign-in", data=form, headers=FORM)
            kept = dict(at.cookies)
            assert (await at.post("/sign-out")).status_code == 403  # another site's page could do that
            assert (await at.get("/")).text == "the page of amy"
            assert (await at.post("/sign-out", headers=FORM)).headers["location"] == "/sign-in"
            at.cookies = httpx.Cookies(kept)
            assert (await at.get("/")).headers["location"] == "/sign-in"

        visited(visit, door(of))
        assert [what for _, what, _ in noted(of)] == ["login", "logout"]

    def test_of_whoever_sat_there_before_ends_when_somebody_else_signs_in(self, of: Class) -> None:
        amys, bobs = signed_in(of, "amy"), signed_in(of, "bob")

        async def visit(at: httpx.AsyncClient) -> None:
            await at.post("/sign-in", data=amys, headers=FORM)
            kept = dict(at.cookies)
            await at.post("/sign-in", data=bobs, headers=FORM)
            assert (await at.get("/")).text == "the page of bob"
            at.cookies = httpx.Cookies(kept)
            assert (await at.get("/")).headers["location"] == "/sign-in"

        visited(visit, door(of))

    def test_outlives_the_server_and_only_its_hash_is_on_the_disk(self, of: Class) -> None:
        secret = Sessions(of).begin("amy")
        for file in of.records.rglob("*"):
            assert secret not in file.read_text()
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert Sessions(of).whose(secret) == "amy"
        assert Sessions(of).whose(f"{secret}x") is None
        assert Sessions(of).whose("") is None

    def test_ends_half_a_day_after_its_last_use_also_for_the_next_server(self, of: Class) -> None:
        now = 1_000_000.0
        there = Sessions(of, lambda: now)
        secret = there.begin("amy")
        now += IDLE - 1
        assert there.whose(secret) == "amy"  # to be asked for is no use
        there.use(secret)
        now += IDLE - 1
        assert there.whose(secret) == "amy"
        assert Sessions(of, lambda: now).whose(secret) == "amy"
        now += 2
        assert there.whose(secret) is None
        there.use(secret)
        assert there.whose(secret) is None
        there.begin("bob")
        assert "amy" not in json.loads((of.records / "sessions.json").read_text())

    def test_is_forgotten_by_another_command_while_the_server_runs(self, of: Class) -> None:
        there = Sessions(of)
        amy, bob = there.begin("amy"), there.begin("bob")
        assert there.whose(amy) == "amy"
        assert sessions.forget(of, "amy") == 1
        assert (there.whose(amy), there.whose(bob)) == (None, "bob")

    def test_makes_room_for_one_more(self, of: Class) -> None:
        now = 0.0
        there = Sessions(of, lambda: now)
        made = []
        for _ in range(sessions.EACH + 1):
            now += 1
            made.append(there.begin("amy"))
        assert [there.whose(each) for each in made] == [None] + ["amy"] * sessions.EACH

    def test_of_somebody_who_has_left_the_roster_is_over(self, of: Class) -> None:
        at = door(of)
        secret = at.sessions.begin("amy")
        roster = of.folder / load.ROSTER
        roster.write_text("id\nbob\n")
        os.utime(roster, (1, 1))
        headers = {"cookie": f"{at.cookie}={secret}"}
        assert visited(lambda here: here.get("/", headers=headers), at).headers["location"] == "/sign-in"

    def test_that_cannot_be_looked_up_is_a_sentence(self, of: Class) -> None:
        at = door(of)
        at.sessions.begin("amy")
        (of.records / "sessions.json").write_text("{")
        said = visited(lambda here: here.get("/"), at)
        assert (said.status_code, "Tell your teacher" in said.text) == (503, True)

    def test_behind_tls_has_a_cookie_that_goes_over_tls_alone(self, of: Class) -> None:
        form = signed_in(of, "amy")
        at = door(of, origin=OUTSIDE)
        headers = {"origin": OUTSIDE}
        came = visited(lambda here: here.post("/sign-in", data=form, headers=headers), at, OUTSIDE)
        assert came.headers["set-cookie"].startswith("__Host-labenv=")
        assert "Secure" in came.headers["set-cookie"]
        assert "Path=/" in came.headers["set-cookie"]
        assert visited(lambda here: here.get("/"), at, HERE).status_code == 421


def socket(
    at: Door, secret: str, origin: str = HERE
) -> "tuple[asyncio.Task[None], list[Message], asyncio.Queue[Message]]":
    said: list[Message] = []
    heard: asyncio.Queue[Message] = asyncio.Queue()
    heard.put_nowait({"type": "websocket.connect"})
    headers = {"host": HERE.partition("//")[2], "origin": origin, "cookie": f"{at.cookie}={secret}"}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "websocket", "path": "/", "query_string": b"", "headers": raw, "client": ("192.0.2.7", 1)}

    async def send(message: Message) -> None:
        said.append(message)

    return asyncio.create_task(at(scope, heard.get, send)), said, heard


class TestAWebSocket:
    @pytest.mark.parametrize(("secret", "origin"), [("x", HERE), ("", HERE), (None, "http://evil.example")])
    def test_opens_for_the_signed_in_page_alone(self, of: Class, secret: str | None, origin: str) -> None:
        async def go() -> list[Message]:
            at = door(of)
            task, said, _ = socket(at, at.sessions.begin("amy") if secret is None else secret, origin)
            await task
            return said

        assert asyncio.run(go()) == [{"type": "websocket.close", "code": 4403}]

    def test_ends_with_its_session_while_nothing_is_said(self, of: Class, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("labenv.web.class_.door._LOOK", 0.05)

        async def go() -> list[Message]:
            at = door(of)
            secret = at.sessions.begin("amy")
            task, said, heard = socket(at, secret)
            heard.put_nowait({"type": "websocket.receive", "text": "hello"})
            await asyncio.sleep(0.2)
            assert not task.done()
            at.sessions.end(secret)
            await asyncio.wait_for(task, 5)
            return said

        said = asyncio.run(go())
        assert {"type": "websocket.send", "text": "hello"} in said
        assert said[-1] == {"type": "websocket.close", "code": 4403}


@pytest.fixture(scope="module")
def school() -> Iterator[Provider]:
    with running() as provider:
        yield provider


@pytest.fixture
def provider(school: Provider) -> Provider:
    school.claims, school.wrong, school.refuses, school.signs_with = {}, {}, "", None
    return school


def through(
    provider: Provider, of: Class, *, secret: str = SECRET, claim: str = "email", forged: bool = False
) -> httpx.Response:
    """The answer to a browser that goes to the provider and comes back."""
    at = door(of)
    kept = OidcProvider(provider.issuer, CLIENT, Path("/nowhere"), claim)
    at.let_in_by(Oidc(kept, secret, f"{HERE}{BACK}", f"{at.cookie}-oidc"))

    async def visit(here: httpx.AsyncClient) -> httpx.Response:
        away = await here.get("/oidc")
        if away.status_code != 302:
            return away
        async with httpx.AsyncClient() as elsewhere:
            back = (await elsewhere.get(away.headers["location"])).headers["location"]
        if forged:
            here.cookies.clear()
        answer = await here.get(back)
        if answer.status_code == 303:
            assert (await here.get(back)).status_code == 401  # a second time
            return await here.get("/")
        return answer

    return visited(visit, at)


class TestTheSchoolsAccount:
    @pytest.mark.parametrize(
        ("claims", "claim", "student"),
        [
            ({"email": "amy@school.example"}, "email", "amy"),
            ({"email": "BOB@school.example", "email_verified": True}, "email", "bob"),
            ({"preferred_username": "Amy"}, "preferred_username", "amy"),
        ],
    )
    def test_lets_in_whom_the_roster_has(
        self, provider: Provider, of: Class, claims: dict[str, Any], claim: str, student: str
    ) -> None:
        provider.claims = claims
        assert through(provider, of, claim=claim).text == f"the page of {student}"
        assert noted(of)[0] == (student, "login", "oidc")

    @pytest.mark.parametrize(
        ("claims", "sentence"),
        [
            ({"email": "eve@school.example"}, "eve@school.example is not in the roster"),
            ({"email": "amy@school.example", "email_verified": False}, "has not verified"),
            ({}, "has no email"),
            ({"email": ["amy@school.example"]}, "has no email"),
            ({"email": "<img src=x>"}, "&lt;img src=x&gt; is not in the roster"),
        ],
    )
    def test_of_anybody_else_is_refused_with_a_sentence(
        self, provider: Provider, of: Class, claims: dict[str, Any], sentence: str
    ) -> None:
        provider.claims = claims
        said = through(provider, of)
        assert (said.status_code, sentence in said.text) == (401, True), said.text
        assert noted(of) == [("", "refused", "oidc")]

    @pytest.mark.parametrize(
        "wrong",
        [
            {"nonce": "x"},
            {"aud": "another"},
            {"iss": "http://evil.example"},
            {"exp": 1},
            {"aud": ["a", "b"], "azp": "a"},
        ],
    )
    def test_is_not_believed_where_the_token_is_not_for_this_sign_in(
        self, provider: Provider, of: Class, wrong: dict[str, Any]
    ) -> None:
        provider.claims, provider.wrong = {"email": "amy@school.example"}, wrong
        assert "did not let you in" in through(provider, of).text

    def test_is_not_believed_where_somebody_else_signed(self, provider: Provider, of: Class) -> None:
        provider.claims = {"email": "amy@school.example"}
        provider.signs_with = RSAKey.generate_key(2048, {"kid": "k1"})
        assert "did not let you in" in through(provider, of).text

    def test_needs_the_browser_that_began(self, provider: Provider, of: Class) -> None:
        provider.claims = {"email": "amy@school.example"}
        assert "You did not begin to sign in here" in through(provider, of, forged=True).text

    def test_that_the_person_or_the_provider_refuses_is_a_sentence(self, provider: Provider, of: Class) -> None:
        provider.refuses = "access_denied"
        said = through(provider, of).text
        assert "the person &lt;b&gt;said&lt;/b&gt; no" in said
        provider.refuses = ""
        assert "invalid_grant" in through(provider, of, secret="wrong").text

    def test_of_a_provider_that_is_not_there_is_a_sentence(self, of: Class) -> None:
        said = through(Provider(issuer="http://127.0.0.1:9"), of)
        assert (said.status_code, "cannot be reached now" in said.text) == (502, True)

    def test_is_asked_for_a_limited_number_of_times_by_one_address(self, provider: Provider, of: Class) -> None:
        at = door(of)
        at.let_in_by(Oidc(OidcProvider(provider.issuer, CLIENT, Path("/nowhere")), SECRET, f"{HERE}{BACK}", "oidc"))
        for _ in range(FROM_ADDRESS):
            at._gate.throttle.tried("x", "192.0.2.7")
        assert visited(lambda here: here.get("/oidc"), at).status_code == 429

    def test_that_is_two_students_is_nobodys(self, of: Class) -> None:
        (of.folder / load.ROSTER).write_text("id,email\namy,two@school.example\nbob,two@school.example\n")
        with pytest.raises(UsageError, match="2 times"):
            member(load.load(of.folder), "email", {"email": "two@school.example"})


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        ("{origin: lab.example}", "origin"),
        ("{origin: 'https://lab.example/path'}", "origin"),
        ("{oidc: {issuer: 'http://login.example', client id: x, secret file: y}}", "issuer"),
        ("{oidc: {issuer: 'https://login.example'}}", "client id"),
    ],
)
def test_a_wrong_page_in_class_yaml_is_refused_with_its_place(tmp_path: Path, page: str, sentence: str) -> None:
    (tmp_path / "class.yaml").write_text(f"labs: [{{lab: lab4b}}]\npage: {page}\n")
    (tmp_path / "roster.csv").write_text("id\namy\n")
    with pytest.raises(UsageError, match=sentence):
        load.load(tmp_path)


def test_the_page_in_class_yaml_is_read(tmp_path: Path) -> None:
    (tmp_path / "class.yaml").write_text(
        "labs: [{lab: lab4b}]\npage: {origin: 'https://lab.example:8443', oidc: {issuer: 'https://login.example/realms/a', "
        "client id: labenv, secret file: secret}}\n"
    )
    (tmp_path / "roster.csv").write_text("id\namy\n")
    page = load.load(tmp_path).page
    assert page.origin == "https://lab.example:8443"
    assert page.oidc == OidcProvider("https://login.example/realms/a", "labenv", tmp_path / "secret", "email")


def test_a_page_on_all_addresses_needs_to_know_its_own() -> None:
    with pytest.raises(UsageError, match="--origin"), whereabouts.opened("0.0.0.0", 0, ""):
        pass
    with whereabouts.opened("0.0.0.0", 0, OUTSIDE) as where:
        assert (where.origins, where.is_secure, where.is_proxied) == ((OUTSIDE,), True, True)
    with whereabouts.opened("127.0.0.1", 0, "") as where:
        port = where.listener.getsockname()[1]
        assert where.origins == (f"http://127.0.0.1:{port}", f"http://localhost:{port}")
        assert not where.is_proxied
        with (
            pytest.raises(UsageError, match="Choose another one: --page-port"),
            whereabouts.opened("127.0.0.1", port, ""),
        ):
            pass


def test_without_its_library_a_class_is_served_without_the_page(
    of: Class, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with _page(of, cast(Engine, None), "127.0.0.1", 0, "", wanted=True) as (pages, is_open):
        assert pages == []
        assert is_open.is_set()
    assert "pip install 'labenv[web]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("address", "origin", "warns"),
    [("127.0.0.1", "", False), ("0.0.0.0", OUTSIDE, False), ("0.0.0.0", "http://lab", True)],
)
def test_what_protects_a_page_that_others_reach_is_said_and_the_link_stays_out_of_logs(
    of: Class, address: str, origin: str, warns: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with whereabouts.opened(address, 0, origin) as where:
        token = whereabouts.token(of, where.origins[0])
        _tell(of, where, address)
    said = capsys.readouterr().err
    assert token not in said
    assert str(whereabouts.link_file(of)) in said
    assert ("without TLS whoever is on the line reads what is sent" in said) == warns
