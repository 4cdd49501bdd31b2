"""A class at work: class check judges as `labenv check` does, class status shows what is recorded, and one student's trouble is not the others'."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from labenv.classroom.running import checking
from labenv.classroom.running.checking import Checkers
from labenv.engine import Engine
from labenv.environment import Belonging
from labenv.environments.plan import Request
from labenv.environments.up import up
from labenv.errors import EngineError
from labenv.events import silent
from tests.e2e.conftest import Cli


@dataclass(frozen=True)
class Room:
    """A class of three: everything is right, one service is stopped, nothing is there."""

    folder: Path
    good: str
    stopped: str
    absent: str


@pytest.fixture(scope="module")
def room(cli: Cli, engine: Engine, new_student: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Room:
    folder = tmp_path_factory.mktemp("ops345")
    made = Room(folder, new_student(), new_student(), new_student())
    name = folder.name.lower().replace("_", "-")
    (folder / "class.yaml").write_text(f"name: OPS345\nid: {name}\nlabs:\n  - lab: lab3\n")
    rows = "".join(f"{one},{one.upper()}\n" for one in (made.good, made.stopped, made.absent))
    (folder / "roster.csv").write_text(f"id,name\n{rows}")
    for student in (made.good, made.stopped):
        up(engine, Request(student, lab="lab3", belongs=Belonging(name)), silent)
    cli.inside(made.stopped, "host", "systemctl disable --now named")
    return made


def rows(told: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["student"]: row for row in told["students"]}


def judged(report: dict[str, Any]) -> list[tuple[str, ...]]:
    """What each run finds again. Evidence is not compared: on a busy computer, another program may have answered first."""
    return [
        tuple(result[key] for key in ("step", "check", "machine", "title", "status", "hint"))
        for result in report["results"]
    ]


def test_a_class_is_judged_as_each_of_its_students_alone(cli: Cli, room: Room, tmp_path: Path) -> None:
    before = rows(cli.json("class", "status", "-c", str(room.folder)))
    assert (before[room.good]["state"], before[room.good]["steps"], before[room.good]["checked"]) == ("runs", {}, None)
    assert before[room.absent]["state"] == "missing"

    junit = tmp_path / "class.xml"
    told = cli.json("class", "check", "-c", str(room.folder), "--junit", str(junit), rc=1)
    there = rows(told)
    for student, rc in ((room.good, 0), (room.stopped, 1)):
        assert judged(there[student]) == judged(cli.json("check", "-s", student, rc=rc))
    assert "There is no environment" in there[room.absent]["error"]
    failed = there[room.stopped]["summary"]["failed"]
    assert failed
    assert told["summary"] | {"failed": failed, "checked": 2, "not_checked": 1} == told["summary"]

    suites = ElementTree.parse(junit).getroot()
    assert (suites.get("failures"), suites.get("errors")) == (str(failed), "1")
    assert any(suite.get("name", "").startswith(f"{room.good}: ") for suite in suites)

    after = rows(cli.json("class", "status", "-c", str(room.folder)))
    first = next(result["step"] for result in there[room.stopped]["results"] if result["status"] == "fail")
    assert after[room.stopped]["stuck"]["step"] == first
    assert after[room.good]["stuck"] is None
    assert {after[room.good]["steps"][step] for step in after[room.good]["steps"]} <= {"pass", "person"}


def test_a_class_is_shown_in_a_row_a_student(cli: Cli, room: Room) -> None:
    done = cli("class", "check", "4", "8", "-c", str(room.folder), "--only", f"{room.good},{room.absent}")
    [head, good, *_] = done.stdout.splitlines()
    assert head.split()[:2] == ["student", "4"]
    assert good.split()[:3] == [room.good, ".", "."]
    assert f"{room.absent}: There is no environment" in done.stdout
    assert "has no step 99" in cli("class", "check", "99", "-c", str(room.folder), rc=2).stderr
    status = cli("class", "status", "-c", str(room.folder)).stdout
    assert re.search(rf"^{room.absent} +not there$", status, re.MULTILINE)


def test_a_process_that_dies_or_hangs_costs_one_student_a_sentence(
    engine: Engine, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    [environment] = engine.environments(room.good)
    with Checkers(engine) as checkers:
        heard: list[BaseException] = []

        def check() -> None:
            try:
                checkers.check(environment)
            except EngineError as error:
                heard.append(error)

        thread = threading.Thread(target=check)
        thread.start()
        while not checkers._there:
            time.sleep(0.01)
        [process] = checkers._there
        os.kill(process._process.pid or 0, signal.SIGKILL)
        thread.join()
        assert f"The process that checked {room.good} ended too early (-9)" in str(heard[0])

        monkeypatch.setattr(checking, "_LONGEST", 0.2)
        with pytest.raises(
            EngineError, match=r"did not end within 0 s and were stopped. To see what happens: labenv check"
        ):
            checkers.check(environment)
        monkeypatch.undo()
        report = checkers.check(environment)
        assert report.summary["failed"] == 0
        assert len(checkers._there) == 1


def test_an_interrupted_class_check_leaves_no_process_behind(room: Room) -> None:
    command = [sys.executable, "-m", "labenv", "class", "check", "-c", str(room.folder)]
    begun = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert begun.stderr
    begun.stderr.readline()
    time.sleep(1)
    os.killpg(begun.pid, signal.SIGINT)
    assert begun.wait(20) == 130
    said = begun.stderr.read()
    assert "Traceback" not in said
    assert re.search(
        r"^labenv: interrupted\. Checks change nothing\. \d+ of \d+ environments were checked", said, re.MULTILINE
    )
    deadline = time.monotonic() + 5
    while (left := subprocess.run(["pgrep", "-s", str(begun.pid)], capture_output=True, check=False).stdout) and (
        time.monotonic() < deadline
    ):
        time.sleep(0.1)
    assert not left


def test_status_goes_on_telling_what_changes(cli: Cli, room: Room) -> None:
    command = [sys.executable, "-m", "labenv", "class", "status", "--watch", "-c", str(room.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout
        while "not there" not in watching.stdout.readline():
            pass
        cli.inside(room.stopped, "host", "systemctl enable --now named")
        cli("check", "-s", room.stopped, rc=None)
        line = next(line for line in watching.stdout if f" {room.stopped}: step" in line)
        assert re.search(r"^\d\d:\d\d:\d\d .*: step \w+: (fails|waits for another step) → passes$", line)
        watching.send_signal(signal.SIGINT)
        assert watching.wait(10) == 0
