"""What to do next, in one sentence, from a report; and the hints that were asked for, read back from a machine."""

from dataclasses import replace
from unittest.mock import Mock

import pytest

from labenv.checks.results import PERSON, CheckResult, Report, Status, in_chains, with_persons
from labenv.engine import Engine
from labenv.environment import Environment
from labenv.errors import UsageError
from labenv.lab import labs
from labenv.sheet import guide
from labenv.sheet.guide import Asked

LAB = labs.load("lab4b")


def found(step: str, status: Status, evidence: str = "seen", machine: str = "vm2", check: str = "look") -> CheckResult:
    return CheckResult(step, check, machine, LAB.steps[step].title, status, evidence, "")


def report(*results: CheckResult, waits: dict[str, set[str]] | None = None) -> Report:
    return Report("asmith15", "lab4b", in_chains(results, LAB, waits), waits or {})


def test_the_first_failing_step_of_the_sheet_is_said_with_its_place_and_evidence() -> None:
    typo = "relayhost on vm2 is vm3.asmth15.ops (expected: vm3.asmith15.ops)"
    said = guide.next_step(report(found("9", "pass"), found("17", "fail", typo), found("33", "fail")), LAB)
    assert (said.step, said.machine) == ("17", "vm2")
    assert said.sentence == f'Step 17 on vm2 (sheet: "Investigation 2: Relay Email Through Another Server", 2): {typo}'


def test_what_waits_for_a_later_row_of_the_sheet_is_not_said() -> None:
    said = guide.next_step(report(found("10", "fail"), found("41", "fail", "port 25 is shut")), LAB)
    assert said.step == "41"


def test_the_sheets_own_error_goes_with_the_sentence() -> None:
    assert "restarted" in guide.next_step(report(found("11b", "fail")), LAB).note


def test_a_log_book_to_fill_is_said_when_every_check_holds() -> None:
    page = found("27", "skip", "the section Investigation 2 is empty", "host")
    said = guide.next_step(report(found("17", "warn"), page), LAB)
    assert said.step == ""
    assert "step 27" in said.sentence
    assert said.sentence.endswith("the section Investigation 2 is empty")


def test_a_step_in_thunderbird_begins_with_what_to_do_and_how_to_get_there() -> None:
    said = guide.next_step(report(found("38", "fail", "no Trash")), LAB).sentence
    first, _, rest = said.partition(". ")
    assert "click the inbox" in first
    assert "labenv desktop" in first
    assert rest == "labenv sees: no Trash"
    left = guide.next_step(report(found("36", "skip", "nobody used it")), LAB).sentence
    assert left.startswith("Left for you is step 36 ")
    assert "only your id" in left.partition(". ")[0]
    assert left.endswith(". All checks pass; nobody used it")


def test_what_only_a_person_can_judge_is_named_when_nothing_else_is_left() -> None:
    results = with_persons([found("9", "pass")], LAB, ["1", "2", "3", "9", "27", "50", "51"])
    said = guide.next_step(Report("asmith15", "lab4b", results), LAB)
    assert (
        said.sentence
        == "All checks pass. Only you can judge the rest: steps 1 to 3, 27, 50, 51. Tick what is done: labenv tick"
    )
    assert said.left == ("1", "2", "3", "27", "50", "51")


def test_a_step_that_waits_is_not_called_passed() -> None:
    said = guide.next_step(report(found("9", "pass"), found("21", "skip", "Dovecot is not installed")), LAB).sentence
    assert said == "No check fails, but step 21 waits: Dovecot is not installed"


def test_nothing_at_all_is_left() -> None:
    assert guide.next_step(report(found("9", "pass")), LAB).sentence == "All checks pass."


def test_a_hint_for_the_next_step_also_tells_of_a_client_that_was_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    told = "a client at 192.168.90.1 tried to log in as asmith15@asmith15.ops"

    def hinted(*results: CheckResult, attempts: tuple[tuple[str, str], ...] = ()) -> guide.Hint:
        seen = replace(report(*results), attempts=attempts)
        monkeypatch.setattr(guide, "run_checks", lambda *_, **__: seen)
        return guide.next_hint(Mock(spec=Engine), Mock(spec=Environment), LAB, level=1)

    monkeypatch.setattr(guide, "_keep", Mock())
    said = hinted(found("37", "warn", told), found("42", "fail", "no account"), attempts=(("37", told),))
    assert (said.step, said.wrong) == ("42", ("no account",))
    assert said.attempts == (f'Step 37 (sheet: "{LAB.steps["37"].heading}", 3): {told}',)
    said = hinted(found("37", "warn", told), attempts=(("37", told),))
    assert (said.step, len(said.attempts)) == ("", 1)
    with pytest.raises(UsageError, match="nothing to hint at"):
        hinted(found("37", "pass"))


def test_a_step_for_a_person_has_no_hint_but_what_to_do() -> None:
    with pytest.raises(
        UsageError, match=r"\) is for you: there is no hint but what to do: in Thunderbird .*fills in\.$"
    ):
        guide.hint(Mock(spec=Engine), Mock(spec=Environment), "36", LAB)
    with pytest.raises(UsageError, match="is for you: it has no check, so there is no hint"):
        guide.hint(Mock(spec=Engine), Mock(spec=Environment), "44", LAB)


def test_a_chain_is_fixed_from_its_beginning() -> None:
    there = report(found("11b", "fail"), found("14", "fail"), found("16", "fail"))
    assert guide.fix_first(there, LAB, "16") == "11b"
    assert guide.fix_first(there, LAB, "11b") == "11b"
    assert guide.fix_first(report(found("17", "fail"), found("18", "pass")), LAB, "19") == "19"


def test_a_need_that_the_checks_found_out_counts_as_one() -> None:
    waits = {"15": {"17"}, "16": {"15"}}
    there = report(found("15", "fail"), found("16", "fail"), found("17", "fail", "wrong"), waits=waits)
    evidence = {result.step: result.evidence for result in there.results}
    assert evidence["15"] == evidence["16"] == f"waits for step 17: {LAB.steps['17'].title}"
    assert guide.fix_first(there, LAB, "16") == "17"


def test_a_check_that_waits_for_a_step_that_was_not_looked_at_is_no_pass() -> None:
    there = report(found("15", "fail", "waits for step 17: …"), waits={"15": {"17"}})
    assert there.failed == 1


def test_persons_come_in_the_order_of_the_sheet_and_leave_out_what_a_check_answers() -> None:
    page = found("27", "pass", machine="host")
    results = with_persons([found("9", "pass"), page], LAB, ["9", "6", "27", "32"])
    assert [result.step for result in results] == ["6", "9", "27", "32"]
    assert [result.check for result in results] == [PERSON, "look", "look", PERSON]
    assert {result.status for result in results if result.check == PERSON} == {"skip"}


def test_hints_asked_are_read_back() -> None:
    line = '{"time": "2026-11-22T10:00:00+01:00", "step": "11b", "level": 2}'
    assert list(guide.read_asked([line])) == [Asked("2026-11-22T09:00:00+00:00", "11b", 2)]


def test_a_file_of_hints_that_was_tampered_with_breaks_nothing() -> None:
    lines = ["", "[]", "null", "{", '{"time": 3}', '{"time": "x", "step": "1", "level": 1}', "[" * 9999]
    lines += ['{"time": "0001-01-01T00:00:00+23:00", "step": "1", "level": 1}']
    lines += ['{"time": "2026-11-22T10:00:00+00:00", "step": ["17", "<b>"], "level": 1e400}']
    assert list(guide.read_asked(lines)) == []
    [far] = guide.read_asked(['{"time": "2026-11-22T10:00:00+00:00", "step": "17171717171717", "level": 99}'])
    assert far == Asked("2026-11-22T10:00:00+00:00", "1717171717", 3)
