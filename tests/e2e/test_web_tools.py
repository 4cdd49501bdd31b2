"""The tools of the page, with real machines, in a real browser: history, drills, the desktop, terminals, the network."""

import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, FrameLocator, Locator, Page, expect

from labenv.engine import Engine
from tests.e2e.conftest import Cli
from tests.e2e.desk import BRIGHT
from tests.e2e.pages import MARKUP, Served, opened, terminal, typed

pytest_plugins = ["tests.e2e.pages"]
pytestmark = pytest.mark.soak
_LONG, _BUILT = 180_000, 900_000  # milliseconds for all checks, and for a desktop whose image has to be built first


@pytest.fixture(scope="module")
def served(cli: Cli, new_student: Callable[[], str]) -> Iterator[Served]:
    """The page of a finished lab."""
    student = new_student()
    cli("up", student, "--no-check")
    there = Served(student)
    there.start()
    yield there
    there.stop()


def is_checked(page: Page) -> None:
    """Wait for a whole report: on a computer that has other things to do it takes a while."""
    expect(page.locator(".top .state")).to_contain_text(re.compile(r"checked \d"), timeout=_LONG)


def tool(page: Page, name: str) -> Locator:
    """A tool of the page, opened."""
    page.get_by_role("tab", name=name, exact=True).click()
    return page.locator(".panels > .q-panel > .q-tab-panel:visible")


def test_the_history_shows_what_changed_how_it_differs_from_the_start_and_since_when_a_step_passes(
    page: Page, served: Served, cli: Cli
) -> None:
    cli("check", "17", "-s", served.student)  # the page's own checks are given up while somebody edits
    cli.inside(served.student, "vm2", f"echo '# {MARKUP}' >>/etc/postfix/main.cf; echo >'/etc/postfix/{MARKUP}'")
    history = tool(page, "History")
    change = history.locator(".changes li").filter(has_text="main.cf")
    expect(change).to_contain_text("vm2")
    change.locator("summary").click()
    expect(change.locator("ins", has_text=MARKUP)).to_have_text(f"+# {MARKUP}")

    cli.inside(served.student, "vm2", f"sed -i '/window.pwned/d' /etc/postfix/main.cf; rm '/etc/postfix/{MARKUP}'")
    history.get_by_label("Compare with that moment").click()
    expect(history).to_contain_text("No differences.")
    history.get_by_role("combobox", name="Since").fill("no such moment")
    page.keyboard.press("Enter")
    history.get_by_label("Compare with that moment").click()
    expect(page.get_by_role("alert")).to_contain_text("is not a stage, a save or a time")

    history.get_by_role("combobox", name="Step").click()
    page.get_by_role("option", name=re.compile("^17 ")).click()
    history.get_by_label("Since when does the step pass or fail").click()
    expect(history.locator(".next")).to_contain_text(re.compile(r"has passed since .*; it has never failed"))
    assert page.evaluate("window.pwned") is None


def test_a_drill_goes_from_the_symptom_to_the_report_and_hides_the_steps(page: Page, served: Served) -> None:
    is_checked(page)
    drills = tool(page, "Drills")
    drills.get_by_role("button", name="Start a drill").click()
    report = drills.get_by_label("The report")
    expect(report).to_contain_text("A user reports:", timeout=_LONG)
    expect(page.locator(".list")).to_be_hidden()
    expect(page.get_by_label("Next", exact=True)).to_contain_text("A drill runs.")
    tool(page, "History")
    expect(page.get_by_role("alert")).to_contain_text("the history would show its fault")

    drills = tool(page, "Drills")
    drills.get_by_label("Next hint, of 3 that are left").click()
    expect(drills.locator(".hints li")).to_have_count(1)
    expect(drills).to_contain_text("2 left. The report counts them.")
    drills.get_by_role("combobox", name="Layer").click()
    page.get_by_role("option", name=re.compile("^lda:")).click()
    drills.get_by_role("button", name="Record my diagnosis").click()
    expect(drills).to_contain_text("Your diagnosis: lda")
    page.reload()
    drills = tool(page, "Drills")
    expect(drills).to_contain_text("Your diagnosis: lda")
    drills.get_by_label("Check whether it is fixed").click()
    expect(drills).to_contain_text(re.compile(r"checks? fails?, so the drill continues"), timeout=_LONG)

    drills.get_by_role("button", name="Give up").click()
    page.get_by_role("dialog").get_by_role("button", name="Give up").click()
    result = drills.locator(".drill")
    expect(result.locator("summary")).to_contain_text("given up after", timeout=_LONG)
    expect(result).to_contain_text("you said lda")
    expect(result).to_contain_text("One way to fix it")
    expect(page.locator(".list")).to_be_visible()


def test_text_is_copied_from_a_terminal_and_pasted_into_it_and_one_is_closed_on_the_page(
    chromium: Browser, served: Served
) -> None:
    context = chromium.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = opened(context, served)
    screen = terminal(page, "vm2")
    typed(page, "echo mine''word")
    word = screen.locator("div", has_text=re.compile("^mineword"))
    word.dblclick(position={"x": 20, "y": 5})
    page.keyboard.press("Control+Shift+C")
    assert page.evaluate("navigator.clipboard.readText()") == "mineword"
    word.click(button="right", position={"x": 20, "y": 5})  # the browser's own menu finds what is selected
    assert page.evaluate("document.activeElement.value") == "mineword"
    page.keyboard.press("Escape")
    page.keyboard.type("echo [")
    page.keyboard.press("Control+Shift+V")
    page.get_by_label("Paste (Ctrl+Shift+V)").click()
    page.keyboard.press("Enter")
    expect(screen).to_contain_text("[minewordmineword")
    page.get_by_label(re.compile("^Close vm2")).click()
    page.get_by_role("button", name="End it").click()
    expect(page.locator(".xterm-of-machine")).to_have_count(0)
    expect(page.get_by_role("alert")).to_have_count(0)
    context.close()


def test_a_log_follows_and_what_a_stopped_machine_ended_is_told(
    page: Page, served: Served, cli: Cli, engine: Engine
) -> None:
    terminal(page, "vm2")
    page.get_by_label("Log of vm2", exact=True).click()
    screen = page.locator(".xterm-of-machine:visible .xterm-rows")
    expect(screen).not_to_contain_text("[root@vm2")
    # Again and again: what a check sends meanwhile may scroll it away.
    cli.inside(served.student, "vm2", "(for n in $(seq 20); do logger here it is; sleep 1; done) >/dev/null 2>&1 &")
    expect(screen).to_contain_text("here it is")
    engine.api.stop(f"labenv-{served.student}-vm2", timeout=0)
    expect(page.get_by_role("alert").filter(has_text="vm2 was switched off")).to_have_count(2)
    expect(page.locator(".xterm-of-machine")).to_have_count(0)
    page.get_by_label("New terminal on vm2", exact=True).click()
    expect(page.get_by_role("alert").filter(has_text="vm2 is exited. To start it: labenv up")).to_have_count(1)
    cli("up", served.student, "--no-check")


def test_the_network_shows_what_runs_and_where_a_message_stopped_and_why(page: Page, served: Served, cli: Cli) -> None:
    network = tool(page, "Network")
    vm3 = network.locator(".drawing .node").filter(has_text="vm3")
    expect(vm3).to_contain_text("143 dovecot")
    cli.inside(served.student, "vm3", "systemctl stop postfix")
    expect(vm3.locator(".bad")).to_have_text("✗ postfix stopped")
    cli.inside(served.student, "vm2", f"echo x | mail -s '{MARKUP}' {served.student}@{served.student}.ops")
    try:
        page.emulate_media(reduced_motion="reduce")
        network.get_by_role("button", name="Trace the latest message").click()
        expect(network.locator(".drawing .node.stopped")).to_contain_text("✗ message deferred")
        expect(network.locator(".next.fail")).to_contain_text(re.compile("^✗ stopped on vm2: deferred, because"))
        assert network.locator(".message").evaluate("it => getComputedStyle(it).animationName") == "none"
        network.get_by_text("The drawing in words").click()
        told = network.locator(".in-words li")
        expect(told.filter(has_text=re.compile("^vm3"))).to_contain_text("But postfix is stopped.")
        expect(told.last).to_contain_text(re.compile("^The message: vm2. It was stopped on vm2"))
    finally:
        cli.inside(served.student, "vm3", "systemctl start postfix")
        cli.inside(served.student, "vm2", "postqueue -f")
    assert page.evaluate("window.pwned") is None


def test_the_desktop_is_in_the_page_behind_its_door_and_the_keyboard_leads_out_of_it(
    page: Page, served: Served
) -> None:
    desktop = tool(page, "Desktop")
    desktop.get_by_label("Open the desktop").click()
    screen = page.frame_locator("iframe")
    expect(screen.locator("#name")).to_contain_text(f"host.{served.student}.ops", timeout=_BUILT)
    _sees_thunderbird(page, screen)
    screen.locator("canvas").click()
    page.keyboard.press("F6")
    assert page.evaluate("document.activeElement.id") == "steps"
    page.set_viewport_size({"width": 1024, "height": 768})
    place = page.locator("iframe").bounding_box()
    assert place
    screen.locator(f"canvas[width='{round(place['width'])}']").wait_for()

    page.reload()
    tool(page, "Desktop")
    _sees_thunderbird(page, page.frame_locator("iframe"))
    base = f"http://127.0.0.1:{served.port}/desktop"
    assert page.request.get(f"{base}/").headers["content-security-policy"].endswith("frame-ancestors 'self'")
    for path in ("/..%2f..%2fetc/passwd", "/%2e%2e/x.js", "/nothing.js", "/core/", "/vendor"):
        assert page.request.get(base + path).status == 404, path
    for path in ("/", "/screen.js"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(base + path)
        assert refused.value.code == 401
    page.get_by_label("Stop the desktop").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    expect(page.locator("iframe")).to_have_count(0)
    assert page.request.get(f"{base}/").status == 502


def _sees_thunderbird(page: Page, screen: FrameLocator) -> None:
    """Wait until its window is on the desktop."""
    screen.locator("canvas").wait_for()
    page.frames[-1].wait_for_function(f"(() => {{ {BRIGHT} }})() > 0.15", timeout=_LONG)
