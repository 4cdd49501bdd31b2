"""The environments of a class: up, save, exec, reset, drills, down, for all students at once."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from labenv.classroom.folder.load import load
from labenv.classroom.running import timers
from labenv.classroom.serving import alive
from labenv.engine import Engine, save_store
from labenv.engine.labels import ALLOWANCE, CLASS
from tests.e2e.conftest import Cli, take_down


@dataclass
class Class:
    """A class with two students and two labs, whose environments nobody else has."""

    cli: Cli
    folder: Path
    ident: str
    students: tuple[str, ...]

    def __call__(self, *arguments: str, rc: int | None = 0) -> subprocess.CompletedProcess[str]:
        words = arguments[:2] if arguments[0] == "drill" else arguments[:1]
        return self.cli("class", *words, "-c", str(self.folder), *arguments[len(words) :], rc=rc)

    def json(self, *arguments: str, rc: int | None = 0) -> Any:
        words = arguments[:2] if arguments[0] == "drill" else arguments[:1]
        return json.loads(self(*words, "--json", *arguments[len(words) :], rc=rc).stdout)

    def write(self, *limits: str) -> None:
        """Write class.yaml."""
        lines = [f"name: A class\nid: {self.ident}\ntimezone: America/Toronto\nlabs:"]
        lines += ["  - lab: lab4b\n    open: 2026-01-01", "  - lab: lab3\n    open: 2025-09-01"]
        text = "\n".join([*lines, "limits:", *(f"  {limit}" for limit in ("memory: 512m", "processes: 700", *limits))])
        (self.folder / "class.yaml").write_text(text + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def of(cli: Cli, engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Class]:
    """The class with both of its environments up, at the first stage of lab4b."""
    mark = secrets.token_hex(3)
    folder = tmp_path_factory.mktemp("class")
    students = (f"t-{mark}-anna", f"t-{mark}-ben")
    (folder / "roster.csv").write_text("\n".join(["id,name", *(f"{who},Someone" for who in students)]) + "\n")
    made = Class(cli, folder, f"t-{mark}", students)
    made.write()
    yield made
    for who in students:
        take_down(cli, engine, who)
        for save in save_store.found(engine, who):
            save_store.remove(engine, save)


@pytest.fixture(scope="module")
def up(of: Class) -> Any:
    """What the first `class up` said."""
    return of.json("up")


def test_each_student_gets_an_environment_at_the_first_stage_that_is_verified(of: Class, up: Any) -> None:
    assert up["failed"] == []
    assert [one["student"] for one in up["students"]] == list(of.students)
    for one in up["students"]:
        assert (one["lab"], one["stage"], one["new"]) == ("lab4b", "lab4a", True)
        assert one["check"]["summary"]["passed"] > 5
        assert one["check"]["summary"]["failed"] == 0


def test_the_machines_have_the_label_and_the_limits_of_their_class(of: Class, up: Any, engine: Engine) -> None:
    confined = engine.facts.apparmor or engine.facts.userns or engine.facts.rootless
    for one in up["students"]:
        for machine in one["machines"]:
            made = engine.api.inspect_container(machine["container"])
            assert made["Config"]["Labels"][CLASS] == of.ident
            assert made["Config"]["Labels"][ALLOWANCE] == f"{512 << 20} 700"
            assert (made["HostConfig"]["Memory"], made["HostConfig"]["PidsLimit"]) == (512 << 20, 700)
            assert ("SYS_PTRACE" in made["HostConfig"]["CapAdd"]) == confined


def test_what_exists_stays_as_it_is_and_another_stage_is_no_contradiction(of: Class, up: Any) -> None:
    again = of.json("up", "--at", "relay", "--no-check", "--only", "*-anna")
    assert [(one["stage"], one["new"], one["changes"]) for one in again["students"]] == [("lab4a", False, [])]


def test_who_still_has_another_lab_is_told_so_and_nothing_is_made(of: Class, up: Any) -> None:
    refused = of("up", "--lab", "lab3", rc=2)
    assert "2 of 2 students failed" in refused.stderr
    assert f"{of.students[0]}, {of.students[1]}: STUDENT still has an environment of lab4b" in refused.stderr


def test_an_environment_of_nobodys_class_is_left_alone(of: Class, up: Any, tmp_path: Path) -> None:
    other = Class(of.cli, tmp_path, f"{of.ident}-other", of.students)
    other.write()
    (tmp_path / "roster.csv").write_text((of.folder / "roster.csv").read_text())
    refused = other("up", "--only", of.students[0], rc=2)
    assert f"belongs to the class {of.ident}" in refused.stderr
    assert "has no environment" in other("down", "--yes", rc=3).stderr


def test_up_all_brings_back_what_does_not_run_as_far_as_the_class_allows(of: Class, up: Any, engine: Engine) -> None:
    ben = of.students[1]
    [there] = engine.environments(ben)
    for machine in there.machines:
        engine.stop(machine.container, hard=True)
    of.write("at once: 1")
    refused = of("up", "--no-check", rc=2)
    of.write()
    assert f"{ben}: class.yaml of A class lets 1 environment run at once" in refused.stderr
    back = of.json("up", "--all", "--no-check")
    assert [one["student"] for one in back["students"]] == [ben]
    assert all(machine["state"] == "running" for machine in back["students"][0]["machines"])
    assert "run already" in of("up", "--all").stdout


def test_times_need_a_class_that_is_served_and_are_kept_then(of: Class, up: Any) -> None:
    refused = of("up", "--for", "3h", "--only", "*-anna", rc=2)
    assert "--for need" in refused.stderr
    assert "class serve" in refused.stderr
    assert "--idle" in of("up", "--idle", "soon", rc=2).stderr
    known = load(of.folder)
    with alive.alone(known, alive.SERVE):
        of("up", "--for", "3h", "--idle", "45m", "--only", "*-anna", "--no-check")
    kept = timers.get_all(known)[of.students[0]]
    assert kept.idle is not None
    assert kept.until is not None
    assert kept.idle.total_seconds() == 45 * 60
    assert 0 < kept.until.timestamp() - time.time() <= 3 * 3600
    of("up", "--only", "*-anna", "--no-check")
    assert timers.get_all(known) == {}, "without times it goes on"


def test_a_command_runs_everywhere_and_each_line_says_whose_it_is(of: Class, up: Any) -> None:
    ran = of("exec", "vm3", "--", "sh", "-c", "hostname; printf '\\033[31mred\\n'; exit 3", rc=3)
    for who in of.students:
        assert f"{who}: vm3.{who}.ops\n" in ran.stdout
    assert "\033" not in ran.stdout
    slow = of("exec", "vm2", "--timeout", "1", "--only", "*-ben", "--", "sleep", "60", rc=3)
    assert "did not end within 1 s" in slow.stderr
    assert "has no machine 'vm9'" in of("exec", "vm9", "--", "true", rc=2).stderr


def test_all_are_saved_under_one_name_and_reset_keeps_the_class(of: Class, up: Any, engine: Engine) -> None:
    ben = of.students[1]
    assert [one["name"] for one in of.json("save", "week1")["students"]] == ["week1", "week1"]
    again = of("save", "week1", "--only", "*-anna", rc=2)
    assert "already has a save called week1" in again.stderr
    assert "Would reset" in of("reset", "--at", "domain", "--only", ben, "--dry-run").stderr
    done = of.json("reset", "--at", "domain", "--only", ben, "--yes")
    assert done["students"][0]["stage"] == "domain"
    [there] = engine.environments(ben)
    assert (there.belongs.class_id, there.belongs.allowance.processes) == (of.ident, 700)


def test_an_archive_for_each_and_none_is_replaced(of: Class, up: Any, tmp_path: Path) -> None:
    anna, _ = of.students
    folder = tmp_path / "archives"
    of("export", str(folder), "--only", "*-anna")
    [file] = folder.iterdir()
    assert (file.name, file.stat().st_mode & 0o077, folder.stat().st_mode & 0o077) == (f"{anna}.labenv", 0, 0)
    assert f"has {anna}.labenv already" in of("export", str(folder), "--only", "*-anna", rc=2).stderr


def test_removed_after_a_save_and_back_with_its_class(of: Class, up: Any, engine: Engine) -> None:
    anna, ben = of.students
    assert "Lost: all work since the save week1" in of("down", "--dry-run", "--only", "*-anna").stderr
    assert engine.environments(anna)
    gone = of.json("down", "--save", "--yes", "--only", "*-anna")
    assert not engine.environments(anna)
    assert engine.environments(ben)
    of.cli("restore", gone["students"][0]["save"], "-s", anna)
    [back] = engine.environments(anna)
    assert (back.belongs.class_id, back.belongs.allowance.memory) == (of.ident, 512 << 20)


def test_interrupted_the_next_up_finishes(of: Class, up: Any, engine: Engine) -> None:
    of("down", "--yes")
    command = [sys.executable, "-m", "labenv", "class", "up", "-c", str(of.folder), "--at", "done", "--no-check"]
    going = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not any(engine.environments(who) for who in of.students) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(going.pid, signal.SIGKILL)
    going.wait()
    assert of.json("up", "--at", "done", "--no-check")["failed"] == []
    there = [engine.environments(who)[0] for who in of.students]
    assert all(machine.state == "running" for each in there for machine in each.machines)


def test_neighbours_get_different_drills_and_the_report_has_all(of: Class, up: Any) -> None:
    planned = of.json("drill", "start", "--level", "1", "--seed", "week7", "--dry-run")
    names = [one["drill"] for one in planned["students"]]
    assert len(set(names)) == 2
    started = of.json("drill", "start", "--level", "1", "--seed", "week7", "--only", of.students[0])
    assert started["students"][0]["drill"] == names[0]
    [row] = of.json("drill", "report")["drills"]
    assert (row["student"], row["outcome"]) == (of.students[0], "running")
    active = of.json("status")["students"][0]["active"]
    of("exec", "vm3", "--only", of.students[0], "--", "sh", "-c", "echo '# the teacher was here' >>/etc/hosts")
    ended = of("drill", "give-up", "--yes")
    assert "Ended the drills of 1 student" in ended.stdout
    assert of.json("drill", "report")["drills"][0]["outcome"] == "given up"
    assert of.json("status")["students"][0]["active"] == active, "of all that, nothing was the student's doing"
