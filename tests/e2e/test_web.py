"""The page, with real machines, in a real browser: as a person would use it."""

import re
import signal
import subprocess
import urllib.error
import urllib.request
from itertools import groupby
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Cli
from tests.e2e.pages import MARKUP, Served, mark, opened, terminal, typed

pytest_plugins = ["tests.e2e.pages"]
_PACKED = 240_000  # milliseconds, for all checks on a computer that has other things to do


@pytest.fixture(autouse=True)
def running(served: Served) -> None:
    """The server of a test that failed between its end and its start is there again for the next try."""
    if not served.runs:
        served.start()


def test_a_student_does_the_relay_section_in_the_pages_terminals_and_sees_the_ticks_come(
    page: Page, served: Served, cli: Cli
) -> None:
    steps = ["17", "18", "19", "20"]
    expect(mark(page, "17")).to_have_class(re.compile(r"\bfail\b"))
    expect(page.get_by_label("Next", exact=True)).to_contain_text("Step 17")
    for step in steps:
        lines = cli.json("solve", step, "--dry-run", "-s", served.student)["typed"]
        for machine, together in groupby(lines, key=lambda line: line["machine"]):
            screen = terminal(page, machine)
            for line in together:
                typed(page, line["command"])
            typed(page, "echo all is do''ne")
            expect(screen).to_contain_text("all is done")
            typed(page, "exit")
            expect(page.locator(".xterm-of-machine")).to_have_count(0)
    for step in steps:
        expect(mark(page, step)).to_have_class(re.compile(r"\b(pass|warn)\b"))


def test_what_was_seen_stands_beside_what_was_expected_and_a_hint_says_its_cost(
    page: Page, served: Served, cli: Cli
) -> None:
    failing = page.locator(".step.fail").first
    failing.locator("summary").click()
    failing.get_by_role("button", name=re.compile("^Hint for step")).click()
    hint = page.get_by_role("dialog")
    expect(hint).to_contain_text("Hint 1 of 3")
    expect(hint).to_contain_text("Each hint is recorded")
    page.keyboard.press("Escape")
    expect(hint).to_have_count(0)
    cli.inside(served.student, "vm2", "postconf -e relayhost=elsewhere.example")
    mark(page, "17").evaluate("step => { step.open = true; }")
    seen, expected = mark(page, "17").locator(".beside dd").first, mark(page, "17").locator(".beside dd").nth(1)
    expect(seen).to_contain_text("elsewhere.example")
    expect(expected).to_contain_text(f"vm3.{served.student}.ops")
    cli.inside(served.student, "vm2", f"postconf -e relayhost=vm3.{served.student}.ops")


def test_a_terminal_survives_a_reload_and_is_shown_in_one_window_at_a_time(page: Page, served: Served) -> None:
    terminal(page, "vm3")
    typed(page, "mine=kept; echo before the re''load; sleep 1")
    expect(page.locator(".xterm-of-machine:visible .xterm-rows")).to_contain_text("before the reload")
    page.reload()
    screen = page.locator(".xterm-of-machine:visible .xterm-rows")
    expect(screen).to_contain_text("before the reload")
    typed(page, "echo it is $mine")
    expect(screen).to_contain_text("it is kept")

    other = opened(page.context, served)
    expect(other.locator(".xterm-of-machine:visible .xterm-rows")).to_contain_text("it is kept")
    expect(page.locator(".taken:visible")).to_contain_text("shown in another window")
    page.get_by_role("button", name="Show it here").last.click()
    expect(other.locator(".taken:visible")).to_contain_text("shown in another window")
    page.locator(".xterm-of-machine:visible").click()
    typed(page, "exit")
    expect(page.get_by_text("vm3 · ")).to_have_count(0)


def test_the_page_is_there_again_after_a_restart_of_its_server(page: Page, served: Served) -> None:
    page.evaluate("window.before = true")
    served.stop(signal.SIGKILL)
    served.start()
    page.wait_for_function("window.before === undefined")  # it has been read again, by itself
    expect(page.locator(".step.pass").first).to_be_visible()
    terminal(page, "vm2")
    typed(page, "echo here a''gain")
    expect(page.locator(".xterm-of-machine:visible .xterm-rows")).to_contain_text("here again")


def test_markup_in_a_setting_a_subject_and_a_log_never_runs(page: Page, served: Served, cli: Cli) -> None:
    quoted = f"'{MARKUP}'"
    cli.inside(
        served.student,
        "vm2",
        f"postconf -e relayhost={quoted}; postfix reload; logger {quoted}; "
        f"echo x | mail -s {quoted} root@localhost; hostnamectl set-hostname --static {quoted} 2>/dev/null; true",
    )
    expect(mark(page, "17")).to_have_class(re.compile(r"\bfail\b"))
    mark(page, "17").locator("summary").click()
    expect(mark(page, "17")).to_contain_text(MARKUP)
    page.get_by_label("Log of vm2", exact=True).click()
    page.get_by_role("tab", name="Network", exact=True).click()
    page.get_by_role("button", name="Trace the latest message").click()
    expect(page.locator(".moments li").first).to_be_visible()
    assert page.evaluate("window.pwned") is None
    assert page.locator("img[src=x]").count() == 0
    cli.inside(served.student, "vm2", f"postconf -e relayhost=vm3.{served.student}.ops; postfix reload")


@pytest.mark.soak
def test_the_network_the_sheet_the_log_book_saves_and_the_hand_in_are_on_the_page(
    page: Page, served: Served, cli: Cli, tmp_path: Path
) -> None:
    page.get_by_role("tab", name="Network", exact=True).click()
    expect(page.locator(".drawing svg .name")).to_have_text(["host", "vm2", "vm3"])
    expect(page.locator(".drawing")).to_contain_text("53 named")

    page.get_by_role("tab", name="Sheet", exact=True).click()
    expect(page.locator(".tools")).to_contain_text("© 2022 Seneca College")
    expect(page.locator(".sheet-text h1")).to_contain_text("Lab 4b")

    page.get_by_role("tab", name="Log book", exact=True).click()
    page.locator(".editor .cm-content").click()
    page.keyboard.press("Control+End")
    page.keyboard.type("Written on the page.")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved on host.")).to_be_visible()
    assert cli("logbook", "-s", served.student).stdout.rstrip().endswith("Written on the page.")

    page.get_by_role("tab", name="Saves", exact=True).click()
    page.get_by_label("Name", exact=True).fill("on-the-page")
    page.get_by_label("Save the state of the machines").click()
    expect(page.get_by_label("Restore on-the-page")).to_be_visible()
    cli("saves", "--remove", "on-the-page", "-s", served.student, "--yes")

    page.get_by_role("tab", name="Hand in", exact=True).click()
    with page.expect_download(timeout=_PACKED) as came:
        page.get_by_role("button", name="Pack and download").click()
        expect(page.get_by_text("Checking and packing")).to_be_visible()
        expect(page.get_by_text("Checking and packing")).to_have_count(0, timeout=_PACKED)
        expect(page.get_by_role("alert")).to_have_count(0)
    file = tmp_path / came.value.suggested_filename
    came.value.save_as(file)
    assert cli.json("review", str(file), rc=None)


def test_the_keyboard_alone_leads_into_a_terminal_and_out_of_it(page: Page) -> None:
    terminal(page, "vm2")
    page.keyboard.press("F6")
    assert page.evaluate("document.activeElement.id") == "steps"
    for _ in range(2):  # the button that shows the next step may come first
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "SUMMARY":
            break
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.parentElement.open")


@pytest.mark.parametrize("size", [(1024, 768), (1280, 800)])
def test_nothing_is_wider_than_the_window(page: Page, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    for name in ("Terminals", "Sheet", "Network", "Log book", "Saves", "Hand in"):
        page.get_by_role("tab", name=name, exact=True).click()
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0], name


@pytest.mark.soak
def test_a_key_is_echoed_and_a_change_shown_in_time(page: Page, served: Served, cli: Cli) -> None:
    """The figures are those of a computer that does nothing else; here the order of magnitude counts."""
    terminal(page, "vm2")
    page.evaluate(
        """() => {
            window.times = [];
            let began = 0;
            document.addEventListener('keydown', () => { began = performance.now(); }, true);
            const screen = [...document.querySelectorAll('.xterm-rows')].find(each => each.offsetParent);
            new MutationObserver(() => {
                if (began) window.times.push(performance.now() - began);
                began = 0;
            }).observe(screen, {subtree: true, childList: true, characterData: true});
        }"""
    )
    for _ in range(40):
        page.keyboard.press("x")
        page.wait_for_timeout(100)
    times = sorted(page.evaluate("window.times"))
    assert len(times) > 30
    print("MEDIAN", times[len(times) // 2], times[-3:])
    assert times[len(times) // 2] < 300, times


def test_nobody_else_gets_anything(served: Served) -> None:
    base = f"http://127.0.0.1:{served.port}"
    for path in ("/", "/_nicegui/static/vue.js", "/enter?token=x", "/docs", "/openapi.json"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(base + path)
        assert refused.value.code == 401
        assert b"labenv serve printed" in refused.value.read()
    processes = subprocess.run(["ps", "-axww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    assert served.address.partition("token=")[2] not in processes


def test_a_port_that_is_taken_and_a_student_who_is_not_there_are_sentences(served: Served, cli: Cli) -> None:
    taken = cli("serve", "-s", served.student, "--no-open", "--port", str(served.port), rc=2)
    assert "Choose another one: --port" in taken.stderr
    assert "has no environment" in cli("serve", "-s", "nobody-here", "--no-open", rc=3).stderr


def test_a_reboot_and_the_end_of_the_environment_are_told(page: Page, served: Served, cli: Cli) -> None:
    cli("reboot", "vm3", "-s", served.student)
    expect(page.locator(".step.pass").first).to_be_visible()
    cli("down", "-s", served.student)
    expect(page.get_by_label("Next", exact=True)).to_contain_text("environment")
    expect(page.get_by_label("Next", exact=True)).to_contain_text("labenv up")
