"""Investigation 1 without a network: the reference account, and what the checks see of it."""

from typing import Any

from tests.e2e.conftest import Cli


def judged(document: dict[str, Any]) -> dict[str, str]:
    """The worst status of each step."""
    order = ("fail", "skip", "warn", "pass")
    found: dict[str, list[str]] = {}
    for result in document["results"]:
        found.setdefault(result["step"], []).append(result["status"])
    return {step: next(status for status in order if status in seen) for step, seen in found.items()}


def test_the_steps_with_the_reference_account_fail_until_they_are_done(cli: Cli, student: str) -> None:
    cli("up", student, "--at", "lab4a", "--outside")
    assert judged(cli.json("check", "-s", student, "3", "4", rc=1)) == {"3": "fail", "4": "fail"}
    cli("solve", "-s", student, "3")
    assert judged(cli.json("check", "-s", student, "3", "4", rc=1)) == {"3": "pass", "4": "fail"}
    cli("solve", "-s", student, "4")
    assert judged(cli.json("check", "-s", student, "3", "4")) == {"3": "pass", "4": "pass"}
    # The checks' own sessions, of which there were several, left the account as it was.
    mailbox = f"ls /var/mail/myseneca.ca/{student}/new /var/mail/myseneca.ca/{student}/cur | grep -c :2,S"
    assert cli.inside(student, "outside", mailbox).strip() == "1"


def test_at_a_later_stage_what_was_done_in_investigation_1_is_there(cli: Cli, student: str) -> None:
    cli("up", student, "--at", "domain", "--outside")  # its checks, of the stages so far, pass
    assert judged(cli.json("check", "-s", student, "3", "4")) == {"3": "pass", "4": "pass"}
    assert set(judged(cli.json("check", "-s", student, "36", "38", "40", rc=1)).values()) == {"fail"}


def test_without_the_world_outside_they_are_for_a_person(cli: Cli, finished: dict[str, Any]) -> None:
    document = cli.json("check", "-s", finished["student"], "3", "4", "36", "38")
    assert judged(document) == {"3": "skip", "4": "skip", "36": "pass", "38": "pass"}
    assert "labenv up" in document["results"][0]["evidence"]
