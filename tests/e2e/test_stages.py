"""The stages of the labs that labenv ships: exactly the steps of later stages fail; and what `check` and `next` show of that."""

import pytest

from labenv.checks.results import CheckResult, Report
from labenv.cli import brief
from labenv.lab import labs
from labenv.lab.model import Lab
from labenv.proof import verdict
from labenv.sheet import guide
from tests.e2e.conftest import Cli

LABS = [labs.load(place.name) for place in labs.everywhere() if labs.is_shipped(place.folder)]
# Of each lab the first stage and the last; those between are for make soak.
STAGES = [
    pytest.param(lab, stage.id, marks=() if stage in (lab.stages[0], lab.stages[-1]) else pytest.mark.soak)
    for lab in LABS
    for stage in lab.stages
]


@pytest.mark.parametrize(("lab", "stage"), STAGES, ids=lambda value: getattr(value, "id", value))
def test_exactly_the_steps_of_later_stages_do_not_pass(cli: Cli, student: str, lab: Lab, stage: str) -> None:
    cli("up", student, "--lab", lab.id, "--at", stage)  # its checks, of the stages so far, pass
    later = any(not lab.reached(step.stage, stage) for step in lab.steps.values() if not step.is_for_a_person)
    document = cli.json("check", "-s", student, rc=1 if later else 0)
    report = Report(student, lab.id, tuple(CheckResult(**result) for result in document["results"]))
    assert list(dict.fromkeys(result.step for result in report.results)) == list(lab.steps)
    assert verdict.of_stage(lab, stage, report.results) == []
    for columns in (60, 80):
        shown = [
            line.plain for line in brief.lines(report, lab, columns, 21)
        ]  # a terminal of 24, with command and prompt
        assert len(shown) <= 21
        assert max(map(len, shown)) <= columns
    # `next` stops early, and says what all checks together say.
    expected = guide.next_step(report, lab)
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
