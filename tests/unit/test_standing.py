"""A report as the steps of the sheet: the status of each, its explanation, and how it is drawn."""

from types import SimpleNamespace
from typing import cast

import pytest
from rich.console import Console

from labenv.checks.machine import Site
from labenv.checks.results import CheckResult, Report, Status, in_chains, with_persons
from labenv.checks.running import Run, needs_first
from labenv.cli import brief, sheet
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


def drawn(width: int) -> str:
    console = Console(width=width, color_system=None, highlight=False)
    with console.capture() as screen:
        console.print(sheet.drawn(report(), LAB))
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


def made_up(failing: int, *, words: int = 30, notes: int = 0) -> Report:
    """A report in which the first steps of each heading pass and others fail, with long evidence about a long path."""
    named = " ".join(["/usr/libexec/dovecot/dovecot-lda on vm3.asmith15.ops"] * words)
    checked = [name for name, step in LAB.steps.items() if not step.is_for_a_person]
    fails = {name for name in checked if not LAB.steps[name].needs} & set(checked[: failing * 3])
    results = [found(name, "fail" if name in fails else "warn" if name == "33" else "pass", named) for name in checked]
    noted = tuple(f"On vm3, /usr/bin/number{n} differs from what the image brought." for n in range(notes))
    return Report("asmith15", "lab4b", with_persons(in_chains(results, LAB), LAB, LAB.steps), notes=noted)


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("failing", [0, 1, 4, 12])
@pytest.mark.parametrize("notes", [0, 40])
def test_a_brief_report_fits_the_screen_and_breaks_no_word(columns: int, failing: int, notes: int) -> None:
    shown = [line.plain for line in brief.lines(made_up(failing, notes=notes), LAB, columns, 21)]
    assert len(shown) <= 21
    assert max(map(len, shown)) <= columns
    whole = {
        word for line in brief.lines(made_up(failing, notes=notes), LAB, None, None) for word in line.plain.split()
    }
    assert {word.rstrip("…:") for line in shown for word in line.split() if word.startswith("/")} <= {
        word.rstrip("…:") for word in whole
    }
    assert progress.counted(progress.headings(made_up(failing), LAB)).split(",")[0] in " ".join(shown)


def test_a_brief_report_names_what_it_leaves_out_and_where_that_is_shown() -> None:
    shown = " ".join(line.plain for line in brief.lines(made_up(12), LAB, 80, 21))
    failed = [r.step for r in made_up(12).results if r.status == "fail"]
    assert len(failed) > 4
    assert f"✗  {failed[0]:>3}  vm3: {LAB.steps[failed[0]].title}" in shown
    assert f"{len(failed) - 1} more fail: {', '.join(failed[1:])}. To see why: labenv check {failed[1]}" in " ".join(
        shown.split()
    )
    assert "For a hint: labenv hint " in shown


def test_without_a_terminal_a_brief_report_leaves_out_no_evidence() -> None:
    shown = [line.plain.strip() for line in brief.lines(made_up(12, notes=3), LAB, None, None)]
    for result in made_up(12, notes=3).results:
        assert result.status not in ("fail", "warn") or result.evidence in shown
    assert "✓ Investigation 3: Connecting to IMAP Servers Using Thunderbird: 5 steps, 1 for you" in shown
    assert "- On vm3, /usr/bin/number2 differs from what the image brought." in shown


def test_steps_that_wait_are_grouped_by_the_step_to_fix_first() -> None:
    shown = [line.plain for line in brief.lines(report(), LAB, None, None)]
    assert "- 1 waits: 16 (for step 11b)" in shown
    assert any(line.startswith("! ") and "vm2, vm3: Mail from vm2 and vm3" in line for line in shown)
    assert "        454 4.7.1 Relay access denied" in shown


def run(*results: CheckResult, waits: dict[str, set[str]] | None = None, first: bool = True) -> Run:
    site = cast(Site, SimpleNamespace(machines={}))
    return Run(site, LAB, frozenset(LAB.steps), results=list(results), waits=waits or {}, first=first)


def test_a_run_for_the_first_failure_is_over_once_that_waits_for_nothing_that_comes() -> None:
    assert not run(found("9", "pass")).is_idle("10", ["10", "11"])
    assert run(found("9", "fail")).is_idle("12", ["12", "17"])
    assert not run(found("9", "fail"), first=False).is_idle("12", ["12", "17"])
    # A step that waits for one that comes does not decide, nor does one from further down the sheet.
    assert not run(found("10", "fail"), waits={"10": {"18"}}).is_idle("12", ["12", "17", "18"])
    assert run(found("10", "fail"), found("18", "fail"), waits={"10": {"18"}}).is_idle("19", ["19", "20"])
    assert not run(found("41", "fail")).is_idle("12", ["12", "13"])
    assert run(found("41", "fail")).is_idle("10", ["10", "12"])
    # The log book is looked at all the same, and a step for a person that would wait is not.
    assert not run(found("9", "fail")).is_idle("49", ["49"])
    assert run(found("35", "fail")).is_idle("36", ["36"])
    over = run(found("9", "fail"))
    assert not over.is_idle("36", ["36"])
    assert over.takes(found("36", "pass"))
    assert not over.takes(found("36", "fail"))


def test_a_run_for_the_first_failure_looks_at_what_a_step_needs_before_it() -> None:
    order = needs_first(LAB)
    assert sorted(order) == sorted(LAB.steps)
    assert all(order.index(need) < order.index(name) for name, step in LAB.steps.items() for need in step.needs)
    assert order[:8] == list(LAB.steps)[:8]
