"""A report as the steps of the sheet: the status of each, its explanation, and how it is drawn."""

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest
from rich.console import Console

from labenv.checks.machine import Site
from labenv.checks.results import CheckResult, Report, Status, in_chains, with_persons
from labenv.checks.running import Run, needs_first
from labenv.checks.soonest import certain
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


def test_while_somebody_looks_on_a_failure_is_told_once_what_it_may_wait_for_is_known() -> None:
    passes, fails = found("17", "pass"), found("18", "fail")
    assert certain(run(first=False), [found("9", "pass")], {"9"}) == ()
    assert certain(run(first=False), [found("9", "pass")], {"10"}) == (found("9", "pass"),)
    assert certain(run(first=False), [fails], {"17", "24"}) == ()
    assert certain(run(first=False), [passes, fails], {"24"}) == (passes, fails)
    [_, waits] = certain(run(first=False), [found("17", "fail"), fails], {"24"})
    assert (waits.status, waits.evidence.partition(":")[0]) == ("skip", "waits for step 17")
    assert certain(run(waits={"18": {"24"}}, first=False), [fails], {"24"}) == ()
    assert certain(run(first=False), [found("49", "skip")], {"50"}) == ()


def test_what_a_run_is_certain_of_is_laid_over_the_report_before() -> None:
    before = Report("asmith15", "lab4b", (found("17", "fail"), found("18", "skip"), found("19", "warn")))
    after, new = before.overlaid([found("17", "pass"), found("12", "pass")], LAB)
    assert [(result.step, result.status) for result in after.results] == [
        ("12", "pass"),
        ("17", "pass"),
        ("18", "skip"),
        ("19", "warn"),
    ]
    assert new == {"12", "17"}
    # Only the end of a run tells of some steps that pass by their own checks.
    late = replace(before, late=frozenset({"19"}))
    assert late.overlaid([found("19", "pass")], LAB) == (late, frozenset())
    assert late.overlaid([found("19", "fail")], LAB)[1] == {"19"}


def test_the_whole_sheet_stands_there_before_anything_is_checked() -> None:
    rows = [row for heading in progress.sheet(None, LAB) for row in heading.rows]
    assert [row.step.id for row in rows] == list(LAB.steps)
    assert {(row.mark, row.symbol, row.words) for row in rows} == {("unknown", "?", "not checked yet")}
    assert all(row.machines for row in rows)
    assert progress.counted(progress.sheet(None, LAB)) == f"0 steps pass, {len(rows)} are not checked yet"
