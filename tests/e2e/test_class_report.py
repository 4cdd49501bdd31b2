"""The report of a class, looked at in a real browser: read, by keyboard, on a telephone, printed, without a network."""

import base64
import http.server
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from labenv.classroom import report
from labenv.classroom.report.view import MARKS
from labenv.computer import slowness
from tests.e2e.contrast import weak
from tests.unit.made_grades import book

if TYPE_CHECKING:
    from tests.e2e.desk import Page

pytest_plugins = ["tests.e2e.desk"]

_RESULTS = """
    return [...document.querySelectorAll('.matrix tbody td')].filter(cell => cell.textContent.trim())
        .map(cell => [cell.className.split(' ')[0], cell.textContent, getComputedStyle(cell, '::before').content,
                      getComputedStyle(cell).fontSize])
"""
_LOWEST = """
    return Math.min(...[...document.querySelectorAll('figure svg text')].map(text => text.getBoundingClientRect().height))
"""
_SIGNS = [f".matrix td.{kind}" for kind in ("pass", "fail", "skip", "person")]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the reports of classes of 30 and of 300 are served, and a student's own page."""
    folder = tmp_path_factory.mktemp("reports")
    for count in (30, 300):
        (folder / f"{count}.html").write_bytes(report.of_class(book(count)))
    there = book(30)
    (folder / "own.html").write_bytes(report.of_student(there, there.grades[2]))

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given, directory=str(folder))

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def shown(browser: "Page", address: str, width: int = 1024, scheme: str = "light", media: str = "screen") -> None:
    """Open a page in a window of that width."""
    browser.devtools(
        "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
    )
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.devtools("Emulation.setEmulatedMedia", media=media, features=features)
    browser.open(address)


def called(browser: "Page", function: str, argument: Any) -> Any:
    """What a JavaScript function returns for an argument."""
    return browser.run(f"return ({function})(arguments[0])", argument)


@pytest.fixture(autouse=True)
def as_before(browser: "Page") -> Iterator[None]:
    """The browser is used by other tests, too."""
    yield
    browser.devtools("Emulation.clearDeviceMetricsOverride")
    browser.devtools("Emulation.setEmulatedMedia", media="", features=[])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1024, 400])
def test_it_fits_the_window_and_can_be_read(
    browser: "Page", address: str, pictures: Path, width: int, scheme: str
) -> None:
    for name in ("30", "own"):
        shown(browser, f"{address}/{name}.html", width, scheme)
        browser.screenshot(pictures / f"class-report-{name}-{width}-{scheme}.png")
        assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
        assert not weak(partial(called, browser), _SIGNS)
    shown(browser, f"{address}/30.html", width, scheme)
    assert browser.run(_LOWEST) > 9, "a text in a picture is as high as its letters"


def test_each_result_is_a_sign_to_the_eye_and_words_to_a_screen_reader(browser: "Page", address: str) -> None:
    shown(browser, f"{address}/30.html")
    signs = {kind: content for kind, text, content, size in browser.run(_RESULTS) if size == "0px"}
    seen = {kind: content.split()[0].strip('"') for kind, content in signs.items()}
    assert seen == {kind: sign or "none" for kind, (sign, _) in MARKS.items() if kind in seen}
    assert {"pass", "fail", "skip", "person"} <= seen.keys()
    tree = browser.devtools("Accessibility.getFullAXTree")["nodes"]
    names = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree if not node["ignored"]]
    assert {"banner", "main", "navigation", "contentinfo"} <= {role for role, _ in names}
    cells = [name for role, name in names if role in ("cell", "gridcell")]
    assert any(name.startswith("fails") for name in cells)
    assert not [name for name in cells if name in ("✓", "✗")]
    images = [name for role, name in names if role in ("image", "img")]
    assert any(name.startswith("How many students reach how many percent") for name in images)
    assert any("students handed in, between" in name for name in images)


def test_the_keyboard_reaches_the_table_and_each_student(browser: "Page", address: str) -> None:
    shown(browser, f"{address}/30.html", 400)
    reached = []
    for _ in range(12):
        for kind in ("keyDown", "keyUp"):
            browser.devtools("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        reached.append(
            browser.run("return document.activeElement.getAttribute('href') || document.activeElement.className")
        )
    assert reached[:4] == ["#overview", "#steps", "#trouble", "#students"]
    assert "wide" in reached  # scrolled with the arrow keys
    assert "#s-asmith0" in reached
    browser.run("document.querySelector('.matrix a[href=\"#s-csmith2\"]').click()")
    assert browser.run("return Math.abs(document.getElementById('s-csmith2').getBoundingClientRect().top)") < 50


def test_it_asks_for_nothing_and_runs_nothing(browser: "Page", address: str) -> None:
    shown(browser, f"{address}/30.html")
    assert browser.run("return performance.getEntriesByType('resource').map(each => each.name)") == []
    assert browser.run("return document.scripts.length") == 0


def test_it_is_printed_whole(browser: "Page", address: str) -> None:
    shown(browser, f"{address}/30.html")
    printed = browser.devtools("Page.printToPDF", printBackground=True, preferCSSPageSize=True)
    data = base64.b64decode(printed["data"])
    pages = data.count(b"/Type /Page\n") or data.count(b"/Type /Page ") or data.count(b"/Type/Page/")
    assert pages >= 31  # each student begins on a page of their own
    shown(browser, f"{address}/30.html", media="print", scheme="dark")
    assert browser.run("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_three_hundred_students_stay_usable(browser: "Page", address: str) -> None:
    began = time.monotonic()
    shown(browser, f"{address}/300.html")
    assert time.monotonic() - began < 20 * slowness()  # three seconds on two idle processors
    began = time.monotonic()
    browser.run("document.querySelector('.student:last-of-type').scrollIntoView(); return document.body.offsetHeight")
    assert time.monotonic() - began < 5 * slowness()
