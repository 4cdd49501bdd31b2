"""A lab that is an installed package: about a web server on plain Debian, which nothing in labenv knows of.

It is built as a wheel and installed beside labenv's own. The environment is one for all tests here, and goes from the lab's first
stage to its last.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import wheels
from tests.e2e.conftest import Cli

LAB = wheels.TREE / "tests/labs/weblab"
CHECKS = {"0": "bare", **dict.fromkeys("123456", "site"), **dict.fromkeys(("7", "8", "9", "10"), "done")}


@pytest.fixture(scope="module")
def labenv(tmp_path_factory: pytest.TempPathFactory) -> wheels.Run:
    """The command line of a labenv that has the lab's package beside it."""
    return wheels.installed(tmp_path_factory.mktemp("wheel"), LAB)


@pytest.fixture(scope="module")
def who(cli: Cli, labenv: wheels.Run, new_student: Callable[[], str]) -> str:
    """The student whose environment of that lab all tests share; it begins at the first stage."""
    student = new_student()
    refused = labenv("up", student, "--lab", "weblab", rc=2).stderr
    assert "labenv lab trust" in refused
    labenv("lab", "trust", "weblab")
    said = json.loads(labenv("up", student, "--lab", "weblab", "--at", "bare", "--json").stdout)
    assert (said["lab"], [machine["name"] for machine in said["machines"]]) == ("weblab", ["web"])
    return student


def judged(labenv: wheels.Run, who: str, rc: int) -> dict[str, set[str]]:
    """The steps that a check judges, by how that went."""
    found: dict[str, set[str]] = {}
    for result in json.loads(labenv("check", "-s", who, "--json", rc=rc).stdout)["results"]:
        found.setdefault(result["status"], set()).add(result["step"])
    return found


def inside(labenv: wheels.Run, who: str, script: str) -> str:
    return labenv("exec", "-s", who, "web", "--", "sh", "-c", script).stdout


def test_it_is_found_without_being_run(labenv: wheels.Run) -> None:
    assert "the installed package labenv-weblab" in labenv("lab", "list").stdout
    assert labenv("lab", "lint", "weblab").stdout.strip() == "weblab: no errors"


def test_the_machine_is_plain_debian(labenv: wheels.Run, who: str) -> None:
    before = inside(labenv, who, "ip -4 -o address show dev eth0")
    assert "running" in inside(labenv, who, "systemctl is-system-running")
    assert before in inside(labenv, who, "ifdown eth0; ifup eth0; ip -4 -o address show dev eth0")
    assert inside(labenv, who, "apt-get -qq update; apt-cache policy nginx | grep -c file:").strip() == "1"
    there = inside(
        labenv, who, "ls -d /var/log/syslog /etc/iptables /etc/init.d/ssh /etc/redhat-release /etc/sysconfig 2>&1 || :"
    )
    assert [line for line in there.splitlines() if "cannot access" not in line] == [
        "/etc/init.d/ssh", "/etc/iptables", "/var/log/syslog",
    ]  # fmt: skip
    assert who in inside(labenv, who, "getent group sudo")


def test_the_steps_of_later_stages_fail_and_there_is_help(labenv: wheels.Run, who: str) -> None:
    found = judged(labenv, who, rc=1)
    assert found["pass"] == {"0"}
    assert found["fail"] | found["skip"] >= CHECKS.keys() - {"0"}
    assert "is not installed" in labenv("hint", "2", "-s", who).stdout
    assert "Step 1 on web" in labenv("next", "-s", who, rc=1).stdout


def test_the_solutions_lead_to_the_end_and_a_boot_changes_nothing(labenv: wheels.Run, who: str) -> None:
    labenv("solve", "--all", "-s", who)
    assert judged(labenv, who, rc=0)["pass"] == CHECKS.keys()
    labenv("reboot", "web", "-s", who)
    assert judged(labenv, who, rc=0)["pass"] == CHECKS.keys()


def test_a_drill_is_found_and_fixed(labenv: wheels.Run, who: str) -> None:
    labenv("drill", "start", "no-site-since-the-last-change", "-s", who)
    labenv("drill", "diagnose", "server", "-s", who)
    labenv("drill", "check", "-s", who, rc=1)
    inside(labenv, who, "rm /etc/nginx/conf.d/*; systemctl restart nginx")
    assert "you said server" in labenv("drill", "check", "-s", who).stdout


def test_a_save_brings_the_site_back(labenv: wheels.Run, who: str) -> None:
    labenv("save", "mine", "-s", who)
    inside(labenv, who, "rm -r /srv/www")
    labenv("restore", "mine", "-s", who)
    assert judged(labenv, who, rc=0)["pass"] == CHECKS.keys()


def test_what_is_handed_in_is_reviewed(labenv: wheels.Run, who: str, tmp_path: Path) -> None:
    archive = tmp_path / f"{who}.tar.gz"
    labenv("submit", str(archive), "-s", who)
    (row,) = json.loads(labenv("review", str(archive), "--json").stdout)
    told = {key: row[key] for key in ("lab", "student", "held", "failed", "book", "sound")}
    assert told == {"lab": "weblab", "student": who, "held": len(CHECKS), "failed": 0, "book": "0 of 2", "sound": True}


def test_the_history_has_what_labenv_typed(labenv: wheels.Run, who: str) -> None:
    edits = json.loads(labenv("history", "-s", who, "--json").stdout)["edits"]
    by = {edit["file"]: edit["said"] for edit in edits}
    assert by["/etc/iptables/rules.v4"] == "labenv solve --all"
    assert by[f"/srv/www/{who}.ops/index.html"] == "labenv solve --all"


def test_its_author_can_prove_it(labenv: wheels.Run, who: str) -> None:
    assert "The lab is as it says." in labenv("lab", "test", "weblab", "--only", "fault/page-of-somebody").stdout


def test_without_the_package_the_environment_can_still_be_removed(cli: Cli, labenv: wheels.Run, who: str) -> None:
    for save in json.loads(labenv("saves", "-s", who, "--json").stdout)["saves"]:
        labenv("saves", "--remove", save["name"], "-s", who)
    listed = json.loads(labenv("lab", "list", "--json").stdout)["labs"]
    shutil.rmtree(next(lab["folder"] for lab in listed if lab["id"] == "weblab"))
    assert "weblab" in cli("check", "-s", who, rc=2).stderr
    cli("down", "-s", who)
    assert cli.json("status", "-s", who)["environments"] == []
