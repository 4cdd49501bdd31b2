"""The page in a real browser: the fixtures of the tests of the page, and what a person does there again and again.

Of a test that fails there is what the browser showed and said: in the folder that LABENV_SCREENSHOTS names, else in that of pytest's cache.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, expect, sync_playwright

from labenv.computer import Computer
from labenv.engine import apt
from labenv.events import silent
from tests.e2e.conftest import Cli, alone

_PATIENCE = 60_000  # milliseconds; a computer that is short of processor time
# It takes no notice of networks that come and go, as the other tests' do; the whole browser then breaks off what it loads.
BROWSER = "chromium-headless-shell"
expect.set_options(timeout=_PATIENCE)
MARKUP = "<img src=x onerror=window.pwned=1>"


@dataclass
class Served:
    """A page that is served: the student, and the server's process, which can be started again on the same port.

    `environ` is added to the test's own environment.
    """

    student: str
    port: int = 0
    environ: dict[str, str] = field(default_factory=dict)
    address: str = ""
    _process: "subprocess.Popen[str] | None" = field(default=None)

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        self.port = self.port or free_port()
        command = [sys.executable, "-m", "labenv", "serve", "-s", self.student, "--no-open", "--port", str(self.port)]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | self.environ
        )
        assert self._process.stdout
        self.address = self._process.stdout.readline().strip()
        assert self.address, self._process.stderr and self._process.stderr.read()

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> str:
        assert self._process
        self._process.send_signal(sign)
        _, said = self._process.communicate(timeout=120)  # of a killed one, until those who check for it have ended
        assert "Traceback" not in said, said
        return said

    @property
    def memory(self) -> int:
        """What the server's process has in memory (bytes)."""
        assert self._process
        [line] = re.findall(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{self._process.pid}/status").read_text(), re.MULTILINE)
        return int(line) * 1024


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Debian's Chromium; a computer that has none gets it where labenv may install packages."""
    with alone(tmp_path_factory, "chromium"):
        if not shutil.which(BROWSER):
            apt.install([BROWSER], BROWSER, silent, Computer())
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=shutil.which(BROWSER), args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def served(cli: Cli, new_student: Callable[[], str]) -> Iterator[Served]:
    student = new_student()
    cli("up", student, "--at", "domain", "--no-check")
    there = Served(student)
    there.start()
    yield there
    there.stop()


_said: "WeakKeyDictionary[BrowserContext, list[str]]" = WeakKeyDictionary()


def listened(context: BrowserContext) -> BrowserContext:
    """A browser whose console is kept, in case that its test fails."""
    said = _said[context] = []
    context.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    context.on("weberror", lambda error: said.append(f"uncaught: {error.error}"))
    return context


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep what the browsers of a test that failed show."""
    report = yield
    if report.when == "call" and report.failed:
        there = [each for each in getattr(item, "funcargs", {}).values() if isinstance(each, Browser)]
        for file in [file for browser in there for file in kept(browser, item)]:
            report.sections.append(("kept of the browser", str(file)))
    return report


def kept(browser: Browser, item: pytest.Item) -> Iterator[Path]:
    """Keep the pictures of all pages of a browser, and what those said that are listened to; yields the files."""
    folder = Path(os.environ.get("LABENV_SCREENSHOTS") or item.config.cache.mkdir("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"\W+", "-", item.nodeid.removeprefix("tests/"))[:150]
    for number, page in enumerate([page for context in browser.contexts for page in context.pages], 1):
        with suppress(Error):  # a page that has crashed shows nothing
            page.screenshot(path=folder / f"{name}-{number}.png")
            yield folder / f"{name}-{number}.png"
    said = [f"{line}\n" for context in browser.contexts for line in _said.get(context, ())]
    (folder / f"{name}.txt").write_text("".join(said), encoding="utf-8")
    yield folder / f"{name}.txt"


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """A browser of somebody who has never been here; nothing that it asks for is elsewhere."""
    made = listened(chromium.new_context(viewport={"width": 1280, "height": 800}))
    made.set_default_timeout(_PATIENCE)
    asked: list[str] = []
    made.on("request", lambda request: asked.append(request.url))
    yield made
    made.close()
    elsewhere = [url for url in asked if not url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:"))]
    assert not elsewhere


@pytest.fixture
def page(context: BrowserContext, served: Served) -> Page:
    return opened(context, served)


def opened(context: BrowserContext, served: Served) -> Page:
    window = context.new_page()
    window.goto(served.address)
    come(window, ".step")
    return window


def come(page: Page, selector: str) -> None:
    """Wait until a page has come. A network that another test makes meanwhile breaks off what the browser loads: then load it again."""
    for _ in range(4):
        with suppress(Error):
            page.wait_for_selector(selector, timeout=_PATIENCE / 2)
            return
        page.reload()
    page.wait_for_selector(selector)


def terminal(page: Page, machine: str) -> Any:
    """A new terminal on a machine, once its prompt is there."""
    page.get_by_role("tab", name="Terminals", exact=True).click()
    tabs = page.locator(".bar-of-terminals").get_by_role("tab")
    before = tabs.count()
    page.get_by_label(f"New terminal on {machine}", exact=True).click()
    expect(tabs).to_have_count(before + 1)
    expect(tabs.last).to_have_attribute("aria-selected", "true")
    screen = page.locator(".xterm-of-machine:visible .xterm-rows")
    expect(screen).to_contain_text(f"[root@{machine} ~]#")
    return screen


def typed(page: Page, line: str) -> None:
    page.keyboard.type(line)
    page.keyboard.press("Enter")


def mark(page: Page, step: str) -> Any:
    return page.locator(f"#step-{step}")
