"""The stage table: at each stage exactly the checks of later stages fail; at the end all pass."""

import pytest

from labenv import lab as labs
from tests.e2e.conftest import Cli

LAB = labs.load("lab4b")
WIRE = {"0", "9", "10", "11", "11b", *map(str, range(12, 27)), "28", "29", "30", "31", "33", "34", "35", "37"} | {
    *map(str, range(39, 44)),
    "47",
}


def test_the_lab_has_every_step_that_belongs_to_the_wire() -> None:
    assert set(LAB.steps) == WIRE


@pytest.mark.parametrize("stage", [stage.id for stage in LAB.stages])
def test_exactly_the_steps_of_later_stages_fail(cli: Cli, student: str, stage: str) -> None:
    cli("up", student, "--at", stage)  # its own checks, of the stages reached, pass
    later = {step.id for step in LAB.steps.values() if not LAB.reached(step.stage, stage)}
    document = cli.json("check", "-s", student, rc=1 if later else 0)
    failed = {result["step"]: result["evidence"] for result in document["results"] if result["status"] == "fail"}
    assert set(failed) == later
    assert {result["step"] for result in document["results"]} == WIRE
    assert document["summary"] == {
        "passed": len(document["results"]) - len([r for r in document["results"] if r["status"] == "fail"]),
        "failed": len([r for r in document["results"] if r["status"] == "fail"]),
        "skipped": 0,
    }
    for result in document["results"]:
        assert result["evidence"], result
        assert "Traceback" not in result["evidence"]


def test_checks_leave_mail_and_files_as_they_found_them(cli: Cli, student: str) -> None:
    cli("up", student, "--no-check")
    snapshot = (
        "postqueue -p | grep -vc '^$'; find /var/spool/mail/ -type f -exec md5sum {} +; find /home -name 'Maildir*'; "
        "find /etc -type f -exec md5sum {} + | sort -k2"
    )
    before = {machine: cli.inside(student, machine, snapshot) for machine in ("vm2", "vm3")}
    cli("check", "-s", student)
    assert {machine: cli.inside(student, machine, snapshot) for machine in ("vm2", "vm3")} == before
