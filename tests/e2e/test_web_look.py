"""How the page looks: all can be read, in the light and in the dark, and what a test saw that failed is kept."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.e2e.contrast import LEAST, weak
from tests.e2e.pages import Served, kept, opened, terminal

pytest_plugins = ["tests.e2e.pages"]

_PATIENCE = 240_000  # milliseconds until the first check has ended; a computer that is short of processor time


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_of_the_page_can_be_read(context: BrowserContext, served: Served, scheme: str) -> None:
    page = opened(context, served)
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    expect(page.locator(".step.fail").first).to_be_visible(timeout=_PATIENCE)
    for step in page.locator(".step").all()[::6]:
        step.locator("summary").click()
    terminal(page, "vm2")
    for tab in page.get_by_role("tablist", name="Tools").get_by_role("tab").all():
        tab.click()
        expect(page.locator(".panels > .q-panel > .q-tab-panel").first).to_be_visible()
        page.wait_for_timeout(1500)  # what is being drawn is still pale
        assert weak(page.evaluate) == {}, tab.inner_text()


def test_a_text_that_nobody_can_read_is_found(page: Page) -> None:
    expect(page.locator(".step.fail").first).to_be_visible(timeout=_PATIENCE)
    for css in ("color: #999", "opacity: .4"):
        page.evaluate(f"document.querySelector('.next').style.cssText = '{css}'")
        found = weak(page.evaluate)
        assert [name for name in found if re.search(r"\bahead\b", name)], found
        assert all(1 <= ratio < LEAST for ratio in found.values())


def test_of_a_test_that_fails_the_picture_and_the_console_are_kept(
    chromium: Browser, page: Page, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LABENV_SCREENSHOTS", str(tmp_path / "new"))
    page.evaluate("console.warn('said here')")
    page.wait_for_timeout(100)
    picture, console = kept(chromium, request.node)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "warning: said here" in console.read_text()
