"""The page's steps follow the machines: rows before the first report, each change as soon as it is certain, ticks, what waits."""

import re

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from labenv.engine import Engine, pause
from labenv.environments.changing import changing
from labenv.events import silent
from labenv.lab import labs
from tests.e2e.conftest import Cli
from tests.e2e.pages import MARKUP, Served, mark, opened

pytest_plugins = ["tests.e2e.pages"]

_WHOLE = 180_000  # milliseconds for a whole check on a busy computer
# Notes what is still being checked when a step's state changes.
_NOTES = """id => {
    window.notes = [];
    const step = document.getElementById('step-' + id);
    let before = step.classList[1];
    new MutationObserver(() => {
        if (step.classList[1] === before) return;
        before = step.classList[1];
        window.notes.push([before, [...document.querySelectorAll('.step.pending')].map(each => each.id)]);
    }).observe(step, {attributes: true, attributeFilter: ['class']});
}"""


@pytest.fixture
def calm(page: Page) -> Page:
    """The page once nothing is being checked."""
    expect(page.locator(".state")).to_contain_text(re.compile(r"checked \d"), timeout=_WHOLE)
    return page


def test_the_sheets_steps_stand_there_before_the_first_report_and_then_fill(
    served: Served, context: BrowserContext, engine: Engine
) -> None:
    vm2 = f"labenv-{served.student}-vm2"
    with changing(engine, served.student, silent):
        assert pause.hold(engine, vm2)  # a check waits for the end of a command that stops machines
        try:
            served.stop()
            served.start()
            page = opened(context, served)
            expect(page.locator(".step.unknown")).to_have_count(len(labs.load("lab4b").steps))
            expect(mark(page, "17").locator("summary")).to_contain_text("vm2 has vm3 as its relay host")
            expect(mark(page, "17").get_by_role("img", name="not checked yet")).to_have_text("?")
            expect(page.get_by_label("Next", exact=True)).to_contain_text("Looking at your machines")
        finally:
            pause.go_on(engine, vm2)
    expect(page.locator(".step.unknown")).to_have_count(0, timeout=_WHOLE)
    expect(page.get_by_label("Next", exact=True)).to_contain_text(re.compile(r"^Step \d+ on"))


def test_a_change_is_shown_before_the_check_ends_and_what_is_not_checked_yet_is_told_apart(
    calm: Page, served: Served, cli: Cli
) -> None:
    calm.evaluate(_NOTES, "17")
    for value in (f"vm3.{served.student}.ops", ""):
        cli.inside(served.student, "vm2", f"postconf -e relayhost={value}")
        expect(mark(calm, "17")).to_have_class(re.compile(r"\bpass\b" if value else r"\bfail\b"), timeout=_WHOLE)
    expect(calm.locator(".step.pending")).to_have_count(0)
    notes: list[tuple[str, list[str]]] = calm.evaluate("window.notes")
    assert [became for became, _ in notes] == ["pass", "fail"]
    for _, pending in notes:
        assert "step-24" in pending  # whether mail arrives takes longer
        assert "step-17" not in pending


def test_what_waits_says_for_which_step_and_leads_there(calm: Page) -> None:
    mark(calm, "18").locator("summary").click()
    expect(mark(calm, "18")).to_contain_text("waits for step 17")
    mark(calm, "18").get_by_role("button", name="Show step 17").click()
    expect(mark(calm, "17")).to_have_attribute("open", "")
    assert calm.evaluate("document.activeElement.parentElement.id") == "step-17"
    mark(calm, "17").locator("summary").click()
    calm.get_by_label("Next", exact=True).get_by_role("button", name="Show step 17").click()
    expect(mark(calm, "17").locator(".beside")).to_be_visible()


def test_a_step_for_a_person_is_ticked_in_that_persons_words(calm: Page, served: Served, cli: Cli) -> None:
    step = mark(calm, "32")
    step.locator("summary").click()
    step.get_by_label("What you saw or did at step 32").fill(f"Anybody could read it. {MARKUP}")
    step.get_by_role("button", name="Tick step 32").click()
    expect(step).to_have_class(re.compile(r"\bticked\b"))
    expect(step).to_contain_text(MARKUP)
    assert calm.evaluate("window.pwned") is None
    there = {entry["step"]: entry["ticked"] for entry in cli.json("tick", "-s", served.student)["steps"]}
    assert there["32"]["words"] == f"Anybody could read it. {MARKUP}"
    calm.reload()
    expect(step).to_have_class(re.compile(r"\bticked\b"))
    step.locator("summary").click()
    step.get_by_role("button", name="Remove the tick of step 32").click()
    expect(step).to_have_class(re.compile(r"\bperson\b"))
    assert not any(entry["ticked"] for entry in cli.json("tick", "-s", served.student)["steps"])
