"""The stage table: at each stage exactly the steps of later stages fail; at the end all pass."""

from collections import defaultdict
from typing import Any

import pytest

from labenv.checks.results import CheckResult, Report
from labenv.cli import brief
from labenv.lab import labs
from labenv.sheet import guide
from tests.e2e.conftest import Cli

LAB = labs.load("lab4b")
PERSONS = {step.id for step in LAB.steps.values() if step.is_for_a_person}


def by_step(document: dict[str, Any]) -> dict[str, list[dict[str, str]]]:
    steps: dict[str, list[dict[str, str]]] = defaultdict(list)
    for result in document["results"]:
        steps[result["step"]].append(result)
    return dict(steps)


@pytest.mark.parametrize("stage", [stage.id for stage in LAB.stages])
def test_exactly_the_steps_of_later_stages_do_not_hold(cli: Cli, student: str, stage: str) -> None:
    cli("up", student, "--at", stage)  # its checks, of the stages so far, pass
    later = {step.id for step in LAB.steps.values() if not LAB.reached(step.stage, stage)} - PERSONS
    document = cli.json("check", "-s", student, rc=1 if later else 0)
    steps = by_step(document)
    assert list(steps) == list(LAB.steps)
    statuses = {step: {result["status"] for result in results} for step, results in steps.items()}
    assert {step for step in statuses if step not in PERSONS and statuses[step] & {"fail", "skip"}} == later
    assert all(statuses[step] <= {"pass", "skip"} for step in PERSONS)
    failing = {step for step in statuses if "fail" in statuses[step]}
    for step in later - failing:  # it waits, and the step that it waits for fails itself
        skipped = [result["evidence"] for result in steps[step] if result["status"] == "skip"]
        assert all(evidence.removeprefix("waits for step ").partition(":")[0] in failing for evidence in skipped), (
            skipped
        )
    for result in document["results"]:
        assert result["evidence"], result
        assert "Traceback" not in result["evidence"]
        assert "itself crashed" not in result["evidence"]
    report = Report(student, "lab4b", tuple(CheckResult(**result) for result in document["results"]))
    for columns in (60, 80):
        shown = [
            line.plain for line in brief.lines(report, LAB, columns, 21)
        ]  # a terminal of 24, with command and prompt
        assert len(shown) <= 21
        assert max(map(len, shown)) <= columns
    # `next` stops early, and says what all checks together say.
    expected = guide.next_step(report, LAB)
    found = cli.json("next", "-s", student, rc=1 if later else 0)
    assert (found["step"], found["sentence"], found["left"]) == (expected.step, expected.sentence, list(expected.left))


def test_checks_leave_mail_and_files_as_they_found_them(cli: Cli, student: str) -> None:
    cli("up", student, "--no-check")
    snapshot = (
        "postqueue -p | grep -vc '^$'; find /var/spool/mail/ -type f -exec md5sum {} +; find /home -name 'Maildir*'; "
        "find /etc -type f -exec md5sum {} + | sort -k2"
    )
    before = {machine: cli.inside(student, machine, snapshot) for machine in ("vm2", "vm3")}
    cli("check", "-s", student)
    assert {machine: cli.inside(student, machine, snapshot) for machine in ("vm2", "vm3")} == before
