"""A report as the steps of the sheet: the status of each, its explanation, and how it is drawn."""

import pytest
from rich.console import Console

from labenv.checks.results import CheckResult, Report, Status, in_chains, with_persons
from labenv.cli import sheet
from labenv.lab import labs
from labenv.sheet import progress

LAB = labs.load("lab4b")


def found(step: str, status: Status, evidence: str = "seen", machine: str = "vm3") -> CheckResult:
    return CheckResult(step, "look", machine, LAB.steps[step].title, status, evidence, "")


def report() -> Report:
    results = [
        found("9", "pass", machine="vm2"),
        found("9", "warn", "better so", machine="vm3"),
        found("11b", "fail", "454 4.7.1 Relay access denied"),
        found("11b", "fail", "454 4.7.1 Relay access denied", machine="vm2"),
        found("16", "fail", "nothing came"),
        found("33", "pass"),
        found("34", "pass"),
    ]
    return Report("asmith15", "lab4b", with_persons(in_chains(results, LAB), LAB, ["27", "32"]))


def drawn(width: int, *, compact: bool = False) -> str:
    console = Console(width=width, color_system=None, highlight=False)
    with console.capture() as screen:
        console.print(sheet.drawn(report(), LAB, compact=compact))
    return screen.get()


def test_a_step_shows_the_mark_of_its_worst_check() -> None:
    marks = {row.step.id: row.mark for heading in progress.headings(report(), LAB) for row in heading.rows}
    assert marks == {
        "9": "warn",
        "11b": "fail",
        "16": "skip",
        "27": "person",
        "32": "person",
        "33": "pass",
        "34": "pass",
    }


def test_the_same_thing_seen_twice_is_said_once_and_a_dependant_in_a_line() -> None:
    said = {row.step.id: row.seen for heading in progress.headings(report(), LAB) for row in heading.rows}
    assert said["11b"] == ("454 4.7.1 Relay access denied",)
    assert said["16"] == ("waits for step 11b",)
    assert said["27"] == said["33"] == ()
    assert said["9"] == ("better so",)


def test_steps_are_counted_in_words() -> None:
    assert progress.counted(progress.headings(report(), LAB)) == (
        "3 steps pass, 1 of them with a warning, 1 fails, 1 waits, 2 are for you to judge"
    )


@pytest.mark.parametrize("width", [80, 120, 240])
def test_every_step_is_drawn_under_its_heading_within_the_width(width: int) -> None:
    lines = drawn(width).splitlines()
    assert max(map(len, lines)) <= width
    text = " ".join(" ".join(lines).split())
    for result in report().results:
        assert f"{result.step} {LAB.steps[result.step].number}" in text
    assert lines[0] == "Investigation 2: Setup Your MTA to Use Correct Domain"
    assert "Relay access denied" in text
    assert "Note: No step says so" in text
    assert text.count("nothing came") == 0
    assert "Next: Step 11b on vm3 " in text


def test_a_compact_drawing_has_every_step_too() -> None:
    lines = drawn(100, compact=True).splitlines()
    assert "· Investigation 2: Install and Configure the Local Delivery Agent (LDA/MDA)  27" in map(str.rstrip, lines)
    assert "✓ Investigation 3: Accessing Received Mail Messages on VM3 VIA IMAP  32 33 34" in map(str.rstrip, lines)
    assert any("11b" in line and "✗" in line for line in lines)
