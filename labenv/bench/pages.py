"""How fast a class's page is: one server, and many pages that are open in a real browser.

They are real pages: a client of our own would have to copy what NiceGUI says on the wire, and could not tell when something is drawn.
The browser takes its share of this computer's processors; in a class each student's own computer brings them.
"""

import importlib.util
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from labenv.bench import class_
from labenv.bench.timing import Measurement, labenv, run_labenv, said, timed
from labenv.engine import Engine
from labenv.errors import EngineError, UsageError
from labenv.events import Listener
from labenv.lab import labs, mutations
from labenv.lab.mutations import Mutation
from labenv.text import decoded

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

_EACH = 6  # pages of a student
_MOST = 30  # pages up to which the targets are meant
_KEYS = 40
_PATIENCE = 180.0  # seconds; a computer that is short of processor time
_BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
_PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0].startTime / 1000"
# From the key to the change of what the terminal shows, in milliseconds.
_ECHOES = """() => {
    window.echoes = [];
    let pressed = 0;
    document.addEventListener('keydown', () => { pressed = performance.now(); }, true);
    const screen = [...document.querySelectorAll('.xterm-rows')].find(each => each.offsetParent);
    new MutationObserver(() => {
        if (pressed) window.echoes.push(performance.now() - pressed);
        pressed = 0;
    }).observe(screen, {subtree: true, childList: true, characterData: true});
}"""


def check_there() -> None:
    """Raise UsageError if what opens the pages, or serves them, is not installed."""
    for module, what in (("playwright", "playwright"), ("nicegui", "'labenv[web]'"), ("asyncssh", "'labenv[class]'")):
        if importlib.util.find_spec(module) is None:
            raise UsageError(f"To measure pages, bench needs {module}. Install it: pip install {what}")
    _browser()


def measured(engine: Engine, listen: Listener, prefix: str, count: int, runs: int) -> list[Measurement]:
    """The rows of so many pages of students whose ids begin with `prefix`, six each. Raises EngineError."""
    from playwright.sync_api import Error  # an extra, which `check_there` has looked for

    students, lab = -(-count // _EACH), labs.load(labs.default())
    known = [fault for fault in mutations.faults(lab) if fault.trips]
    faults = known[:: max(1, len(known) // runs)][:runs]  # of steps all over the sheet
    with tempfile.TemporaryDirectory(prefix="labenv-bench-") as name:
        folder = Path(name)
        class_.write(folder, prefix, students, lab)
        with said(listen, f"class up, {students} students"):
            run_labenv("class", "up", "--no-check", "-c", str(folder), most=_PATIENCE * (1 + students))
        given = json.loads(run_labenv("class", "passwords", "-c", str(folder), "--json"))["passwords"]
        try:
            with _served(folder) as (server, address), _chromium() as browser:
                return _rows(engine, listen, browser, address, server, given, count, faults)
        except Error as error:
            raise EngineError(f"The browser says: {error.message.splitlines()[0]}") from error


def _rows(
    engine: Engine,
    listen: Listener,
    browser: "Browser",
    address: str,
    server: int,
    given: dict[str, list[str]],
    count: int,
    faults: Sequence[Mutation],
) -> list[Measurement]:
    with said(listen, f"opening {count} pages"):
        contexts = [_signed_in(browser, address, student, passwords[0]) for student, passwords in given.items()]
        pages = [contexts[place % len(contexts)].new_page() for place in range(count)]
        paints = [_opened(page, address) for page in pages]
    chosen = [(student, pages[place]) for place, student in enumerate(given)][: len(faults)]
    with said(listen, "typing"):
        echoes = [_echo(page) for _, page in chosen]
    with said(listen, "labenv check"):
        checks = [timed(partial(run_labenv, "check", "-s", student)) for student, _ in chosen]
    with said(listen, "making faults"):
        shown = [_shown(engine, student, page, fault) for (student, page), fault in zip(chosen, faults, strict=False)]
    there = [
        Measurement(f"first paint of a page, one after the other, until {count} are open", "s", tuple(paints), 1),
        Measurement("a key in a terminal, until it is shown", "ms", tuple(echoes), 50),
        Measurement("a change in a machine, until its step shows it", "s", tuple(shown), 2),
        Measurement("check of an environment meanwhile", "s", tuple(checks), 3),
    ]
    if memory := _memory(server):
        there.append(Measurement("memory of the server, with what checks for it (PSS)", "MB", (memory,), 400))
    return [Measurement(row.name, row.unit, row.values, row.target if count <= _MOST else None) for row in there]


@contextmanager
def _served(folder: Path) -> Iterator[tuple[int, str]]:
    """The class served during the block: the server's process, and the address of its page. Raises EngineError."""
    gate, page = _free_port(), _free_port()
    ports = ["--address", "127.0.0.1", "--port", str(gate), "--page-port", str(page)]
    said_ = folder / "server.log"
    with said_.open("wb") as log:
        server = subprocess.Popen(
            labenv("class", "serve", "-c", str(folder), *ports), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        until = time.monotonic() + _PATIENCE
        while not _listens(page):
            if server.poll() is not None or time.monotonic() > until:
                raise EngineError(
                    f"labenv class serve does not serve: {decoded(said_.read_bytes()[-2000:], keep=chr(10))}"
                )
            time.sleep(0.1)
        yield server.pid, f"http://127.0.0.1:{page}"
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            server.kill()


@contextmanager
def _chromium() -> Iterator["Browser"]:
    from playwright.sync_api import sync_playwright  # an extra, see above

    alone = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses to start for root otherwise
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_browser(), args=alone)
        try:
            yield browser
        finally:
            browser.close()


def _browser() -> str:
    there = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if there is None:
        raise UsageError("To measure pages, bench needs Chromium: apt-get install chromium-headless-shell")
    return there


def _signed_in(browser: "Browser", address: str, student: str, password: str) -> "BrowserContext":
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(1000 * _PATIENCE)
    page = context.new_page()
    page.goto(address)
    page.get_by_label("Student").fill(student)
    page.get_by_label("One-time password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_selector(".step")
    page.close()
    return context


def _opened(page: "Page", address: str) -> float:
    """The seconds until the page shows something."""
    page.goto(address)
    page.wait_for_selector(".step")
    seconds: float = page.evaluate(_PAINT)
    return seconds


def _echo(page: "Page") -> float:
    """The milliseconds until a key is shown in a terminal, the median of many."""
    page.get_by_label("New terminal on").first.click()
    page.wait_for_function("() => document.querySelector('.xterm-rows')?.textContent.includes('#')")
    page.evaluate(_ECHOES)
    for _ in range(_KEYS):
        page.keyboard.press("x")
        page.wait_for_timeout(100)
    echoes: list[float] = page.evaluate("() => window.echoes")
    return statistics.median(echoes)


def _shown(engine: Engine, student: str, page: "Page", fault: Mutation) -> float:
    """The seconds from the end of what makes a fault until its step says so on the page."""
    row = f"[id='step-{fault.trips[0].partition('/')[0]}']"
    page.wait_for_selector(f"{row}:is(.pass, .warn)", state="attached")
    [environment] = engine.environments(student)
    for name in fault.machines:
        with engine.shell(environment.machine(name)) as shell:
            shell.run(fault.script(environment.student), timeout=_PATIENCE)
    began = time.monotonic()
    page.wait_for_selector(f"{row}:is(.fail, .skip)", state="attached")
    return time.monotonic() - began


def _memory(process: int) -> float:
    """The proportional set size in MB (proc(5), smaps_rollup) of a process and what it started; 0 where that cannot be seen."""
    folder = Path(f"/proc/{process}")
    try:
        kilobytes = next(int(line.split()[1]) for line in (folder / "smaps_rollup").open() if line.startswith("Pss:"))
        started = [
            each
            for thread in (folder / "task").iterdir()
            for each in (thread / "children").read_text(encoding="ascii").split()
        ]
    except (OSError, StopIteration):
        return 0.0
    return kilobytes * 1.024e-3 + sum(map(_memory, map(int, started)))


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0
