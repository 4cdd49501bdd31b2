"""The page of a class in a real browser: students sign in, each to their own machines, beside the gate in one process."""

import csv
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.e2e.conftest import Cli
from tests.e2e.pages import chromium, context, free_port, mark, terminal, typed

__all__ = ["chromium", "context"]
_SLOW = 120_000  # milliseconds; a whole check, on a computer that does much else
_FRESH = "() => fetch('/').then(page => page.text())"  # a page that no window shows
_OTHER = """async ([page, mine]) => {
    const answers = [];
    for (const id of [page, mine]) {
        const socket = new WebSocket(`ws://${location.host}/_nicegui_ws/socket.io/?EIO=4&transport=websocket`);
        const handshake = {client_id: id, tab_id: 'tab', document_id: 'other', next_message_id: 0};
        answers.push(await new Promise(resolve => {
            socket.onmessage = ({data}) => {
                if (data.startsWith('0')) socket.send('40');
                else if (data.startsWith('40')) socket.send(`420${JSON.stringify(['handshake', handshake])}`);
                else if (data.startsWith('430')) resolve(data);
            };
            socket.onclose = () => resolve('closed');
        }));
        socket.close();
    }
    return answers;
}"""


@dataclass
class Served:
    """A class that is served, and the server's process, which can be started again."""

    folder: Path
    amy: str
    bob: str
    links: dict[str, str] = field(default_factory=dict)
    passwords: dict[str, list[str]] = field(default_factory=dict)
    ports: tuple[int, int] = (0, 0)
    _process: "subprocess.Popen[str] | None" = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.ports[1]}"

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        port, page = map(str, self.ports)
        options = ["-c", str(self.folder), "--port", port, "--address", "127.0.0.1", "--page-port", page]
        command = [sys.executable, "-m", "labenv", "class", "serve", *options]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr
        while f"The page is open on {self.address}." not in (line := self._process.stderr.readline()):
            assert line

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> None:
        assert self._process
        self._process.send_signal(sign)
        _, said = self._process.communicate(timeout=60)
        assert "Traceback" not in said, said
        if sign == signal.SIGTERM:
            assert self._process.returncode == 0, said

    def audit(self, student: str, what: str) -> list[dict[str, Any]]:
        lines = (self.folder / "records" / "audit.log").read_text().splitlines()
        return [each for each in map(json.loads, lines) if (each["student"], each["what"]) == (student, what)]


@pytest.fixture(scope="module")
def served(cli: Cli, new_student: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("ops")
    there = Served(folder, new_student(), new_student(), ports=(free_port(), free_port()))
    (folder / "class.yaml").write_text(
        f"name: OPS\nid: {there.amy}-class\nlimits: {{at once: 1, saves: 0}}\n"
        "labs: [{lab: lab4b, at: domain, due: 2037-01-26, attempts: 1}]\n"
    )
    (folder / "roster.csv").write_text(f"id,name\n{there.amy},Amy\n{there.bob},Bob\n")
    made = ("class", "passwords", "-c", str(folder), "--page", there.address, "--links", str(folder / "links.csv"))
    there.passwords = cli.json(*made)["passwords"]
    with (folder / "links.csv").open() as table:
        there.links = {row["student"]: row["link"] for row in csv.DictReader(table)}
    there.start()
    yield there
    there.stop()


@pytest.fixture(autouse=True)
def running(served: Served) -> None:
    """The server of a test that failed between its end and its start is there again for the next try."""
    if not served.runs:
        served.start()


@pytest.fixture(scope="module")
def tabs(chromium: Browser) -> Iterator[dict[str, BrowserContext]]:
    """A browser for each person, who stays signed in from test to test."""
    made = {who: chromium.new_context(viewport={"width": 1280, "height": 800}) for who in ("amy", "bob", "teacher")}
    yield made
    for each in made.values():
        each.close()


def sign_in(page: Page, link: str) -> None:
    page.goto(link)
    expect(page.get_by_label("One-time password")).not_to_have_value("")
    expect(page).to_have_url(re.compile("/sign-in$"))  # the password has left the address
    page.get_by_role("button", name="Sign in").click()


def signed_in(tabs: dict[str, BrowserContext], served: Served, who: str) -> Page:
    """The page of somebody, who signs in where that was not done yet."""
    page = tabs[who].new_page()
    page.goto(f"{served.address}/")
    if page.url.endswith("/sign-in"):
        sign_in(page, served.links[getattr(served, who)])
    expect(page.get_by_role("button", name=f"Menu of {getattr(served, who)}")).to_be_visible()
    return page


def test_a_student_signs_in_by_a_link_gets_machines_and_sees_a_tick_come(
    tabs: dict[str, BrowserContext], served: Served, cli: Cli
) -> None:
    page = tabs["amy"].new_page()
    page.goto(f"{served.address}/")
    page.get_by_label("Student").fill(served.amy)
    page.get_by_label("One-time password").fill("99-aaaa-aaaa-aaaa")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("no password of yours")
    sign_in(page, served.links[served.amy])
    expect(page.get_by_label("Next", exact=True)).to_contain_text("Your machines are being started")
    expect(mark(page, "17")).to_have_class(re.compile(r"\bfail\b"), timeout=_SLOW)
    terminal(page, "vm2")
    typed(page, f"postconf -e relayhost=vm3.{served.amy}.ops")
    expect(mark(page, "17")).to_have_class(re.compile(r"\bpass\b"), timeout=_SLOW)
    assert cli.json("status", "-s", served.amy)["environments"][0]["stage"] == "domain"
    assert [each["by"] for each in served.audit(served.amy, "login")] == ["password 01"]
    assert [each["machine"] for each in served.audit(served.amy, "shell")] == ["vm2"]
    assert [each["from"] for each in served.audit(served.amy, "start")] == ["127.0.0.1"]


def test_the_class_sets_the_limits(tabs: dict[str, BrowserContext], served: Served) -> None:
    page = signed_in(tabs, served, "bob")
    expect(page.get_by_label("Next", exact=True)).to_contain_text(
        "1 environments run, as many as this server has room for"
    )
    page.close()
    page = signed_in(tabs, served, "amy")
    page.get_by_role("tab", name="Saves", exact=True).click()
    page.get_by_label("Save the state of the machines").click()
    expect(page.get_by_role("alert")).to_contain_text("as many as your class allows")
    page.close()


def test_a_student_who_types_anothers_address_or_names_anothers_page_gets_nothing(
    tabs: dict[str, BrowserContext], served: Served
) -> None:
    amys, bobs = signed_in(tabs, served, "amy"), signed_in(tabs, served, "bob")
    answer = bobs.goto(f"{served.address}/student/{served.amy}")
    assert answer
    assert answer.status == 403
    expect(bobs.locator("body")).to_contain_text("the page of somebody else")
    assert served.audit(served.bob, "refused")[-1]["line"] == f"/student/{served.amy}"
    bobs.goto(f"{served.address}/")
    fresh = [re.findall(r"'client_id': '([^']+)'", each.evaluate(_FRESH))[0] for each in (amys, bobs)]
    assert bobs.evaluate(_OTHER, fresh) == ["430[false]", "430[true]"]
    amys.close()
    bobs.close()


@pytest.mark.soak
def test_what_is_handed_in_on_the_page_is_the_servers(tabs: dict[str, BrowserContext], served: Served) -> None:
    page = signed_in(tabs, served, "amy")
    expect(mark(page, "17")).to_be_visible()
    page.get_by_role("tab", name="Hand in", exact=True).click()
    with page.expect_download(timeout=_SLOW) as came:
        page.get_by_role("button", name="Pack and download").click()
    expect(page.get_by_text("Attempt 1 of 1")).to_be_visible()
    assert came.value.suggested_filename == f"{served.amy}.tar.gz"
    [kept] = (served.folder / "records" / "handins" / "lab4b" / served.amy).iterdir()
    assert Path(came.value.path()).read_bytes() == kept.read_bytes()
    page.get_by_role("button", name="Pack and download").click()
    expect(page.get_by_role("alert")).to_contain_text("1 are allowed")
    page.close()


def test_the_teacher_comes_in_by_the_link_and_only_looks_at_a_student(
    tabs: dict[str, BrowserContext], served: Served
) -> None:
    link = served.folder / "records" / "teacher_link"
    page = tabs["teacher"].new_page()
    page.goto(link.read_text().strip())
    assert page.url == f"{served.address}/"
    expect(page.locator("body")).to_contain_text(served.bob)
    page.goto(f"{served.address}/student/{served.amy}")
    expect(mark(page, "17")).to_have_class(re.compile(r"\bpass\b"), timeout=_SLOW)
    for name in ("New terminal on vm2", "Save the state of the machines", "Pack and download"):
        expect(page.get_by_label(name)).to_have_count(0)
    expect(page.get_by_role("button", name=re.compile("^(Hint|Tick)"))).to_have_count(0)
    page.close()


def test_a_page_goes_on_after_a_restart_of_the_server_and_ends_with_its_session(
    tabs: dict[str, BrowserContext], served: Served
) -> None:
    page, other = signed_in(tabs, served, "amy"), signed_in(tabs, served, "amy")
    page.evaluate("window.before = true")
    served.stop()
    served.start()
    page.wait_for_function("window.before === undefined")  # it has been read again, by itself
    expect(mark(page, "17")).to_have_class(re.compile(r"\bpass\b"), timeout=_SLOW)
    page.get_by_role("button", name=f"Menu of {served.amy}").click()
    page.get_by_role("button", name="Sign out", exact=True).click()
    page.wait_for_url(f"{served.address}/sign-in")
    other.wait_for_url(f"{served.address}/sign-in")
    page.goto(f"{served.address}/")
    assert page.url == f"{served.address}/sign-in"
    assert len(served.audit(served.amy, "logout")) == 1


def test_a_student_stops_the_machines_and_the_next_one_has_room(
    tabs: dict[str, BrowserContext], served: Served, cli: Cli
) -> None:
    page = tabs["amy"].new_page()
    sign_in(page, f"{served.address}/sign-in#student={served.amy}&password={served.passwords[served.amy][1]}")
    expect(mark(page, "17")).to_be_visible()
    page.get_by_role("button", name=f"Menu of {served.amy}").click()
    page.get_by_text("Stop my machines").click()
    expect(page.get_by_label("Next", exact=True)).to_contain_text("Your machines are stopped, and your work is kept.")
    [there] = cli.json("status", "-s", served.amy)["environments"]
    assert {machine["state"] for machine in there["machines"]} == {"exited"}
    page.get_by_role("button", name=f"Menu of {served.amy}").click()
    page.get_by_text("Start my machines").click()
    expect(mark(page, "17")).to_have_class(re.compile(r"\bpass\b"), timeout=_SLOW)
    page.close()


def test_wrong_options_are_sentences(served: Served, cli: Cli) -> None:
    serve = ("class", "serve", "-c", str(served.folder))
    assert "--origin lab.example is not the address of a page" in cli(*serve, "--origin", "lab.example", rc=2).stderr
    assert "is served already" in cli(*serve, rc=2).stderr
    unit = cli(*serve, "--unit", "--page-port", "8443", "--origin", "https://lab.example").stdout
    assert "--page-port=8443 --listen=127.0.0.1 --origin=https://lab.example" in unit
