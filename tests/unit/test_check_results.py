"""The checks' report: records, evidence, the JSON of the contract, and which steps can be named."""

import dataclasses
from typing import Any, cast

import pytest

from labenv.checks import session
from labenv.checks.evidence import CheckFailed, Evidence
from labenv.checks.results import CheckResult, Report, Status, in_chains
from labenv.checks.run import run_checks
from labenv.environment import Environment
from labenv.errors import UsageError
from labenv.lab import labs
from labenv.student import Student

LAB = labs.load("lab4b")


def result(status: Status, step: str = "19") -> CheckResult:
    return CheckResult(step, "networks", "vm3", "vm3 trusts the network", status, "mynetworks is …", "look in main.cf")


def test_the_document_is_that_of_the_contract() -> None:
    report = Report("asmith15", "lab4b", (result("pass"), result("fail", "11b"), result("warn"), result("skip")))
    assert report.to_dict() == {
        "student": "asmith15",
        "lab": "lab4b",
        "results": [
            {name: value for name, value in dataclasses.asdict(one).items() if name != "ticked"}
            for one in report.results
        ],
        "summary": {"passed": 2, "failed": 1, "skipped": 1, "warned": 1},
    }
    assert list(report.to_dict()["results"][0]) == [
        "step",
        "check",
        "machine",
        "title",
        "status",
        "evidence",
        "hint",
        "seen",
        "expected",
    ]


def test_a_doubt_is_no_failure() -> None:
    assert Report("asmith15", "lab4b", (result("pass"), result("warn"))).failed == 0
    assert Report("asmith15", "lab4b", (result("fail"),)).failed == 1


def test_evidence_of_a_pass_says_what_was_seen_and_expected() -> None:
    evidence = Evidence()
    evidence(True, "port 25 listens on 0.0.0.0", "every interface")
    evidence("a match", "the banner is 220", "220")
    assert str(evidence) == "port 25 listens on 0.0.0.0 (expected: every interface); the banner is 220 (expected: 220)"


def test_evidence_of_a_failure_is_the_sentence_that_failed() -> None:
    evidence = Evidence()
    evidence(True, "one", "one")
    with pytest.raises(CheckFailed, match=r"^relayhost is not set \(expected: vm3\.asmith15\.ops\)$"):
        evidence(None, "relayhost is not set", "vm3.asmith15.ops")


def test_doubts_are_shown_before_what_was_right() -> None:
    evidence = Evidence()
    evidence(True, "ssl is yes", "yes")
    evidence.doubt("ssl is set in local.conf", "10-ssl.conf")
    assert str(evidence) == "ssl is set in local.conf (better: 10-ssl.conf)"


def test_an_unknown_step_is_refused_by_name() -> None:
    environment = Environment(Student("asmith15", 90, "anna", "secret"), "lab4b", "done", ())
    with pytest.raises(UsageError, match=r"lab4b has no step 99, 1x\. Its steps are: 0, 1, .*, 11, 11b, "):
        run_checks(cast(Any, None), environment, steps=["19", "99", "1x"])


def test_every_step_that_is_no_persons_has_a_check() -> None:
    found = labs.load("lab4b")
    text = "".join(path.read_text() for path in (found.folder / "checks").glob("test_*.py"))
    judged = [step.id for step in found.steps.values() if not step.is_for_a_person]
    assert [step for step in judged if f'@step("{step}"' not in text] == []


def test_a_step_whose_setting_makes_a_server_err_fails_and_the_others_wait_for_it() -> None:
    given = (result("fail", "0"), result("pass", "9"), result("fail", "10"))
    zero, nine, ten = in_chains(given, LAB, {"0": {"9"}}, {("9", "vm3"): "On vm3, Postfix says: no"})
    assert (nine.status, nine.evidence) == ("fail", "On vm3, Postfix says: no")
    assert {zero.status, ten.status} == {"skip"}
    assert zero.evidence == ten.evidence == f"waits for step 9: {LAB.steps['9'].title}"


def test_a_step_that_fails_anyway_keeps_its_own_words() -> None:
    zero, nine = in_chains(
        (result("fail", "0"), result("fail", "9")), LAB, {"0": {"9"}}, {("9", "vm3"): "Postfix says: no"}
    )
    assert (zero.status, nine.status, nine.evidence) == ("skip", "fail", "mynetworks is …")


def test_what_a_check_says_is_cut() -> None:
    """It may quote a whole file, and goes to the terminal, into archives and into the history."""
    assert session._cut("x" * 10_000) == "x" * 10_000
    assert session._cut("x" * 10_001) == "x" * 10_000 + "… (cut: 10001 characters)"
