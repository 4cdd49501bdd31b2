"""The teacher's page of a class, with real machines, in a real browser: the teacher in one, students in others."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from labenv.classroom.folder import load
from labenv.classroom.serving import audit
from tests.e2e.conftest import Cli
from tests.e2e.contrast import weak
from tests.e2e.pages import come, free_port, listened, terminal, typed

pytest_plugins = ["tests.e2e.pages"]
pytestmark = pytest.mark.soak

_PATIENCE = 240_000  # milliseconds; a computer that is short of processor time
MARKUP = "<img src=x onerror=window.pwned=1>"


@dataclass
class Served:
    """A class that is served, and the one-time passwords that are left."""

    folder: Path
    students: tuple[str, str]
    passwords: dict[str, list[str]] = field(default_factory=dict)

    @property
    def link(self) -> str:
        """The teacher's."""
        return (self.folder / "records" / "teacher_link").read_text().strip()

    @property
    def home(self) -> str:
        return self.link.partition("/enter")[0] + "/"

    def said(self, student: str) -> list[str]:
        """What the audit log has of a student."""
        return [entry["what"] for entry in audit.read(load.load(self.folder), frozenset({student}))]


@pytest.fixture(scope="module")
def served(cli: Cli, new_student: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("ops")
    amy, bob = new_student(), new_student()
    (folder / "class.yaml").write_text(f"name: OPS\nid: {amy}-class\nlabs: [{{lab: lab4b, at: done}}, {{lab: lab3}}]\n")
    (folder / "roster.csv").write_text(f"id,name\n{amy},Amy Smith\n{bob},{MARKUP}\n")
    there = Served(folder, (amy, bob))
    cli("class", "up", "-c", str(folder), "--lab", "lab4b", "--no-check")
    there.passwords = cli.json("class", "passwords", "-c", str(folder))["passwords"]
    command = [sys.executable, "-m", "labenv", "class", "serve", "-c", str(folder)]
    command += ["--address", "127.0.0.1", "--port", str(free_port()), "--page-port", str(free_port())]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"LABENV_LAB": ""}) as server:
        assert server.stderr
        said = ""
        while "The page is open" not in said:
            line = server.stderr.readline()
            assert line, said
            said += line
        yield there
        server.send_signal(signal.SIGTERM)
        said += server.stderr.read()
        assert (server.wait(30), "Traceback" in said) == (0, False), said


Opener = Callable[[str], Page]


@pytest.fixture
def opened(chromium: Browser, served: Served) -> Iterator[Opener]:
    """Opens the page of a student, or with "" that of the teacher, in a browser of their own."""
    made: list[BrowserContext] = []

    def open_(who: str) -> Page:
        context = listened(chromium.new_context(viewport={"width": 1280, "height": 800}))
        context.set_default_timeout(_PATIENCE)
        made.append(context)
        page = context.new_page()
        if who:
            page.goto(served.home)
            page.get_by_label("Student").fill(who)
            page.get_by_label("One-time password").fill(served.passwords[who].pop())
            page.get_by_role("button", name="Sign in", exact=True).click()
            come(page, ".step")
        else:
            page.goto(served.link)
            come(page, ".rows tbody tr")
        return page

    yield open_
    for context in made:
        context.close()


def row(teacher: Page, student: str) -> Any:
    return teacher.locator(".rows tbody tr", has=teacher.get_by_role("link", name=student, exact=True))


def broken(cli: Cli, student: str) -> None:
    """Step 17 fails, and it was looked at: the table shows what checks have seen."""
    cli.inside(student, "vm2", "postconf -X relayhost; postfix reload")
    cli("check", "17", "-s", student, rc=1)


def fixed(cli: Cli, student: str) -> None:
    cli.inside(student, "vm2", f"postsuper -d ALL; postconf -e relayhost=vm3.{student}.ops; postfix reload")
    cli("check", "17", "-s", student)


def sent(teacher: Page, label: str, sentence: str, to: str = "") -> None:
    teacher.get_by_label(label, exact=True).click()
    if to:
        teacher.get_by_role("combobox", name="To").click()
        teacher.get_by_role("option", name=re.compile(to)).click()
    teacher.get_by_label("Sentence").fill(sentence)
    teacher.get_by_role("button", name="Send", exact=True).click()
    expect(teacher.get_by_role("dialog")).to_have_count(0)


def from_teacher(student: Page) -> Any:
    return student.get_by_label("Messages", exact=True)


def test_the_table_follows_the_class_and_is_sorted_and_filtered(opened: Opener, served: Served, cli: Cli) -> None:
    amy, bob = served.students
    teacher = opened("")
    expect(teacher).to_have_title(re.compile("OPS"))
    broken(cli, amy)
    expect(row(teacher, amy)).to_contain_text(re.compile(r"17 for 1 min"))
    assert "stuck" in row(teacher, amy).get_attribute("class")
    sign = row(teacher, amy).locator("b.fail")
    expect(sign).to_have_text(["x"])
    assert "Step 17 fails" in sign.get_attribute("title")
    first = teacher.locator(".rows tbody tr th a").first
    expect(first).to_have_text(amy)
    kept = row(teacher, bob).element_handle()
    fixed(cli, amy)
    expect(row(teacher, amy).locator("b.fail")).to_have_count(0)
    assert row(teacher, bob).element_handle().evaluate("(now, before) => now === before", kept), "it was drawn again"

    teacher.get_by_role("columnheader", name="Student").get_by_role("button").click()
    expect(teacher.get_by_role("columnheader", name="Student")).to_have_attribute("aria-sort", "ascending")
    expect(first).to_have_text(min(served.students))
    teacher.get_by_role("columnheader", name="Student").get_by_role("button").press("Enter")
    expect(first).to_have_text(max(served.students))
    teacher.get_by_label("Find a student").fill("amy smith")
    expect(row(teacher, bob)).to_be_hidden()
    expect(row(teacher, amy)).to_be_visible()
    teacher.get_by_label("Find a student").fill("")
    expect(row(teacher, bob)).to_contain_text(MARKUP)
    assert teacher.evaluate("window.pwned") is None
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for scheme in schemes:
        teacher.emulate_media(color_scheme=scheme)
        teacher.wait_for_timeout(1500)  # colours fade
        assert weak(teacher.evaluate) == {}, scheme
    for width in (1024, 1280):
        teacher.set_viewport_size({"width": width, "height": 768})
        assert teacher.evaluate("document.documentElement.scrollWidth") <= width
    teacher.get_by_role("combobox", name="Lab").click()
    teacher.get_by_role("option", name="lab3").click()
    expect(row(teacher, amy)).to_contain_text("The environment is of lab4b.")


def test_nudges_reach_who_is_there_and_wait_for_who_is_away(opened: Opener, served: Served, cli: Cli) -> None:
    amy, bob = served.students
    teacher, student = opened(""), opened(amy)
    expect(row(teacher, amy)).to_contain_text("open")
    sent(teacher, f"Send a nudge to {amy}", f"Well done {MARKUP}")
    expect(from_teacher(student)).to_contain_text(f"Your teacher says: Well done {MARKUP}")
    student.get_by_label("Close this message").click()
    expect(from_teacher(student)).to_be_hidden()
    student.reload()
    come(student, ".step")
    broken(cli, bob)
    expect(row(teacher, bob)).to_contain_text("17 for")
    sent(teacher, "Send a nudge to several students", "Look at the relay", "All who are stuck at step 17")
    sent(teacher, "Send a nudge to several students", "Five minutes left", r"^All \(2\)")
    expect(from_teacher(student)).to_contain_text("Five minutes left")
    away = opened(bob)
    expect(from_teacher(away)).to_contain_text("Look at the relay")
    expect(from_teacher(away)).to_contain_text("Five minutes left")
    assert student.evaluate("window.pwned") is None
    assert served.said(bob).count("nudge") == 2


def test_the_teacher_looks_over_a_shoulder_only_as_the_student_agrees(opened: Opener, served: Served) -> None:
    amy, _ = served.students
    teacher, student = opened(""), opened(amy)
    screen = terminal(student, "vm2")
    typed(student, "echo be''fore")
    expect(screen).to_contain_text("before")
    row(teacher, amy).get_by_role("link").click()
    teacher.get_by_label("Ask to look into shell vm2").click()
    expect(from_teacher(student)).to_contain_text("asks to look into shell vm2")
    expect(screen).to_contain_text("Your teacher asks to look in here.")
    student.get_by_role("button", name="No", exact=True).click()
    expect(teacher.get_by_text("did not agree")).to_be_visible()
    expect(teacher.locator(".looked-into .xterm")).to_have_count(0)

    teacher.get_by_label("Ask to look into shell vm2").click()
    student.get_by_role("button", name="Agree", exact=True).click()
    seen = teacher.locator(".looked-into .xterm-rows")
    expect(seen).to_contain_text("before")
    student.locator(".xterm-of-machine:visible").click()
    typed(student, "echo du''ring")
    expect(seen).to_contain_text("during")
    teacher.locator(".looked-into").click()
    typed(teacher, "echo ty''ped")
    typed(student, "echo la''ter")
    expect(seen).to_contain_text("later")
    assert "typed" not in screen.inner_text()
    expect(from_teacher(student)).to_contain_text("Your teacher looks into shell vm2 now.")
    student.get_by_role("button", name="End it").click()
    expect(teacher.get_by_text("The look into shell vm2 is over.")).to_be_visible()
    student.locator(".xterm-of-machine:visible").click()
    typed(student, "echo se''cret")
    expect(screen).to_contain_text("secret")
    assert "secret" not in seen.inner_text()
    typed(student, "exit")
    assert [what for what in served.said(amy) if what.startswith("look")] == [
        *("look asked", "look refused"),
        *("look asked", "look agreed", "look ended"),
    ]


def test_the_teacher_sees_a_students_page_on_which_nothing_can_be_changed(
    opened: Opener, served: Served, cli: Cli
) -> None:
    _, bob = served.students
    broken(cli, bob)
    teacher = opened("")
    row(teacher, bob).get_by_role("link").click()
    failing = teacher.locator(".step.fail").first
    failing.locator("summary").click()
    expect(failing.locator(".beside").first).to_be_visible()
    for name in ("Hint", "Save", "Restore", "Start", "Stop", "Pack", "Tick", "Submit"):
        expect(teacher.get_by_role("button", name=re.compile(rf"^{name}\b"))).to_have_count(0)
    teacher.get_by_role("tab", name="Network", exact=True).click()
    expect(teacher.locator(".drawing svg .name")).to_have_text(["host", "vm2", "vm3"])
    teacher.get_by_role("tab", name="History", exact=True).click()
    expect(teacher.get_by_text("Changes, the newest first")).to_be_visible()


def test_work_for_all_goes_on_without_the_page_and_one_at_a_time(
    opened: Opener, served: Served, cli: Cli, tmp_path: Path
) -> None:
    amy, bob = served.students
    fixed(cli, bob)
    teacher = opened("")
    work = teacher.get_by_label("Work for the class", exact=True)
    teacher.get_by_role("button", name="Check all").click()
    expect(work).to_contain_text("Checking all since")
    teacher.get_by_role("button", name="Check all").click()
    expect(teacher.get_by_text("Checking all is not done yet.")).to_be_visible()
    teacher.reload()
    expect(work).to_contain_text("2 students checked", timeout=_PATIENCE)

    teacher.get_by_role("tab", name="Grades", exact=True).click()
    expect(teacher.get_by_text("Nothing of lab4b was graded yet.")).to_be_visible()
    teacher.get_by_role("button", name="Grade the running environments").click()
    expect(work).to_contain_text("Graded 2 students.", timeout=_PATIENCE)
    grades = teacher.get_by_role("table", name="Grades")
    expect(grades.get_by_role("row")).to_have_count(3)
    files = (("CSV", "csv", b"\xef\xbb\xbf"), ("XLSX", "xlsx", b"PK"), ("Report", "html", b"<!DOCTYPE"))
    for name, ending, begins in files:
        with teacher.expect_download() as came:
            teacher.get_by_label(f"Download grades: {name}").click()
        file = tmp_path / came.value.suggested_filename
        came.value.save_as(file)
        assert file.name == f"{amy}-class-lab4b.{ending}"
        assert file.read_bytes().startswith(begins)
    shown = cli.json("class", "grades", "-c", str(served.folder), "--lab", "lab4b")
    points = {grade["student"]: f"{round(grade['total'], 2):g}" for grade in shown["grades"]}
    for student in served.students:
        cells = grades.get_by_role("row", name=re.compile(student)).get_by_role("cell")
        expect(cells.first).to_have_text(points[student])

    teacher.get_by_role("tab", name="Students", exact=True).click()
    teacher.get_by_label("Start drills for all").click()
    teacher.get_by_role("button", name="Start", exact=True).click()
    # One whose checks do not all pass on a busy computer gets none, and the page says so.
    expect(work).to_contain_text(re.compile(r"Started a drill for (1 student|2 students)\."), timeout=_PATIENCE)
    told = work.get_by_role("listitem").all_inner_texts()
    drilled = [who for who in served.students if any(re.match(rf"{who}: \S+ \(level", line) for line in told)]
    assert drilled, told
    expect(row(teacher, drilled[0])).to_contain_text("now")
    assert cli.json("drill", "status", "-s", drilled[0])["symptom"]
