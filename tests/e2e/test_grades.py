"""A class is graded: its running environments, what it hands in, and that on clean machines; what is decided holds."""

import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from labenv.engine import Engine
from labenv.environment import Belonging
from labenv.environments.plan import Request
from labenv.environments.up import Outcome, up_together
from labenv.events import silent
from tests.e2e.conftest import Cli, take_down


@dataclass(frozen=True)
class Room:
    """A class folder with three students: one did everything, of one a service does not start, one has not begun."""

    folder: Path
    done: str
    broken: str
    absent: str


@pytest.fixture(scope="module")
def room(cli: Cli, engine: Engine, new_student: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Room:
    folder = tmp_path_factory.mktemp("class")
    there = Room(folder, *(new_student() for _ in range(3)))
    (folder / "class.yaml").write_text(
        f"name: C\nid: {folder.name.replace('_', '-')}\ntimezone: America/Toronto\nlabs:\n  - lab: lab4b\n    due: 2027-01-26 23:59\n"
    )
    rows = [f"{name},Student {number}" for number, name in enumerate((there.done, there.broken, there.absent))]
    (folder / "roster.csv").write_text("id,name\n" + "\n".join(rows) + "\n")
    wanted = [Request(name, belongs=Belonging(folder.name.replace("_", "-"))) for name in (there.done, there.broken)]
    assert all(isinstance(one, Outcome) for one in up_together(engine, wanted, silent))
    cli.inside(there.broken, "vm3", "systemctl disable --now dovecot")
    return there


def graded(cli: Cli, room: Room, *arguments: str, rc: int = 0) -> dict[str, Any]:
    told = cli.json("class", "grade", "-c", str(room.folder), *arguments, rc=rc)
    return {grade["student"]: grade for grade in told["grades"]} | {"failed": told["failed"], "alike": told["alike"]}


@pytest.fixture(scope="module")
def handed_in(cli: Cli, room: Room) -> Path:
    """What one hands in, in the zip of an LMS; another hands in the same archive."""
    file = room.folder / f"{room.broken}.tar.gz"
    cli("submit", str(file), "-s", room.broken)
    with zipfile.ZipFile(room.folder / "all.zip", "w") as packed:
        packed.write(file, f"Lab 4b_{room.broken}_attempt_2027-01-27-20-00-00_b.tar.gz")
        packed.write(file, f"Lab 4b_{room.absent}_attempt_2027-01-26-21-00-00_c.tar.gz")
    return room.folder / "all.zip"


def test_running_environments_are_graded_and_a_regrade_is_compared(cli: Cli, room: Room) -> None:
    first = graded(cli, room)
    assert (first[room.done]["total"], first[room.done]["of"]) == (36, 36)
    assert first[room.broken]["total"] < 36
    assert {step["judge"] for step in first[room.broken]["steps"] if step["of"]} == {"environment"}
    assert first[room.absent]["missing"] == "no environment is here"
    cli("class", "override", room.absent, "-c", str(room.folder), "--points", "20", "--reason", "was ill")
    cli.inside(room.broken, "vm3", "systemctl enable --now dovecot")
    again = cli("class", "grade", "-c", str(room.folder), "--compare").stdout
    assert f"{room.broken}: {first[room.broken]['total']:g} → 36 points: steps " in again
    assert room.absent not in again.partition("points: steps")[2]
    cli.inside(room.broken, "vm3", "systemctl disable --now dovecot")
    kept = cli.json("class", "grades", room.broken, "-c", str(room.folder))
    assert [run["grades"][0]["total"] for run in kept["history"]] == [first[room.broken]["total"], 36]
    assert cli.json("class", "grades", room.absent, "-c", str(room.folder))["grades"][0]["total"] == 20


def test_hand_ins_are_graded_by_the_name_that_the_lms_gives(cli: Cli, room: Room, handed_in: Path) -> None:
    report = room.folder / "report.html"
    found = graded(cli, room, str(handed_in), "--html", str(report))
    assert found[room.done]["missing"] == "nothing was handed in"
    late, other = found[room.broken], found[room.absent]
    assert (late["days_late"], other["days_late"]) == (1, 0)
    assert late["total"] == pytest.approx(late["earned"] - 3.6)
    assert f"the archive was made in the environment of {room.broken}: a hand-in under another's name" in other["notes"]
    [alike] = found["alike"]
    assert set(alike["students"]) == {room.broken, room.absent}
    assert "made in the same environment (mark " in alike["said"]
    assert room.broken in report.read_text()
    assert report.stat().st_mode & 0o777 == 0o600


def test_an_environment_that_goes_meanwhile_is_a_sentence(cli: Cli, engine: Engine, room: Room) -> None:
    command = [sys.executable, "-m", "labenv", "class", "grade", "-c", str(room.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr
        for line in running.stderr:
            if "checking" in line:
                break
        take_down(cli, engine, room.broken)
        said = running.stdout.read() if running.stdout else ""
        errors = running.stderr.read()
        assert running.wait() == 1, said + errors
    assert f"not graded: {room.broken}: " in errors
    kept = {grade["student"]: grade for grade in cli.json("class", "grades", "-c", str(room.folder))["grades"]}
    assert kept[room.done]["total"] == 36
    assert kept[room.broken]["missing"]


def test_replay_judges_hand_ins_whatever_they_say_of_themselves(
    cli: Cli, engine: Engine, room: Room, handed_in: Path
) -> None:
    for name in (room.done, room.broken):
        take_down(cli, engine, name)
    [grade] = cli.json("class", "grade", "-c", str(room.folder), str(handed_in), "--replay", "--only", room.broken)[
        "grades"
    ]
    assert {step["judge"] for step in grade["steps"] if step["of"]} == {"replay", "log"}
    assert (grade["source"], grade["missing"]) == ("replay", "")
    assert "fail" in {step["status"] for step in grade["steps"]}
    assert all(step["seen"] for step in grade["steps"] if step["status"] == "fail")
    assert 0 < grade["earned"] < 36
