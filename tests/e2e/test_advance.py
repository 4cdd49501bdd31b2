"""A student goes on to the next lab of a course with their own machines, and all that is in them."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from labenv.engine import Engine
from labenv.engine.images import Images
from tests.e2e.conftest import Cli

COURSE = Path(__file__).parents[1] / "labs" / "course"
# The changes that `advance` makes on the engine, in their order; until all machines are made, the state before comes back.
BEFORE = (
    "commit:1",
    "commit:2",
    "unpause:1",
    "kill:1",
    "volumes/create:1",
    "DELETE /containers:1",
    "DELETE /containers:2",
    "DELETE /networks:1",
    "networks/create:1",
    "containers/create:1",
    "/archive:1",
    "/start:1",
    "containers/create:3",
    "/start:3",
    "DELETE /volumes:1",
)


@pytest.fixture(scope="module")
def course(cli: Cli, engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """The command line, where the labs of the course are known and trusted."""
    there = Cli({"LABENV_LABS": str(COURSE), "XDG_CONFIG_HOME": str(tmp_path_factory.mktemp("config"))})
    for lab in ("first", "second", "third"):
        there("lab", "trust", str(COURSE / lab), "--always")
    yield there
    Images(engine).remove_tagged(("labenv/t-second-", "labenv/t-third-"))


@pytest.fixture
def begun(course: Cli, student: str) -> str:
    """A student at the end of the first lab, with work in the machines."""
    course("up", student, "--lab", "t-first")
    write(course, student, "mine")
    return student


def write(course: Cli, student: str, text: str) -> None:
    for machine in ("server", "client"):
        course.inside(student, machine, f"echo {text} > /root/work; sync")


def work(course: Cli, student: str) -> set[str]:
    return {course.inside(student, machine, "cat /root/work").strip() for machine in ("server", "client")}


def there(course: Cli, student: str) -> dict[str, Any]:
    [environment] = course.json("status", "-s", student)["environments"]
    found: dict[str, Any] = environment
    return found


def containers(engine: Engine, student: str) -> set[str]:
    return {c["Id"] for c in engine.api.containers(all=True, filters={"label": f"labenv.student={student}"})}


def test_work_comes_along_and_what_passed_stays_to_be_seen(course: Cli, begun: str) -> None:
    course.inside(begun, "server", "echo 'I greeted.' >> /root/logbook.md")
    course("tick", "2", "It says hello.", "-s", begun)
    was = there(course, begun)
    made = course.json("advance", "-s", begun)
    assert (made["lab"], made["stage"], made["changes"][0]) == ("t-second", "begun", "before-advance-1")
    now = there(course, begun)
    assert [machine["name"] for machine in now["machines"]] == ["server", "client", "extra"]
    assert {machine["state"] for machine in now["machines"]} == {"running"}
    assert (now["password"], now["network"]) == (was["password"], was["network"])
    [past] = now["past"]
    assert (past["lab"], past["passed"], past["ticked"]) == ("t-first", ["1"], ["2"])
    assert work(course, begun) == {"mine"}
    assert "t-first: 1 step passed when it was left" in course("status", "-s", begun).stdout
    assert course.json("tick", "-s", begun)["steps"][0]["ticked"] is None, "another step has the number now"

    # The new lab's log book is there beside the old one, and its watched files count on machines that came along.
    assert "I greeted." in course.inside(begun, "server", "cat /root/logbook-t-first.md")
    assert "## SECOND" in course.inside(begun, "server", "cat /root/logbook.md")
    assert course.inside(begun, "server", "cat /etc/labenv/history") == "/etc/note\n"
    # yum finds what the new lab's image has, in a machine that stands on the old one's.
    course.inside(begun, "server", "yum -y install hello && hello")
    assert "No package hello available" in course.inside(begun, "client", "yum -y install hello 2>&1", rc=1)
    assert "All programs are what the images brought." in course("check", "--trust", "-s", begun, rc=1).stdout

    rows = course.json("check", "-s", begun, rc=1)["results"]
    assert [(row["step"], row["status"]) for row in rows if row["status"] == "fail"] == [("1", "fail")]
    course("solve", "--all", "-s", begun)
    assert course.json("check", "-s", begun)["summary"]["failed"] == 0


def test_a_save_of_an_earlier_lab_is_that_lab_and_one_of_the_later_keeps_what_passed(course: Cli, begun: str) -> None:
    course("advance", "-s", begun)
    write(course, begun, "later")
    course("save", "second", "-s", begun)
    course("restore", "before-advance-1", "-s", begun)
    now = there(course, begun)
    assert (now["lab"], now["stage"], "past" in now) == ("t-first", "done", False)
    assert work(course, begun) == {"mine"}
    course("down", "-s", begun)
    course("restore", "second", "-s", begun)
    now = there(course, begun)
    assert (now["lab"], [past["lab"] for past in now["past"]], len(now["machines"])) == ("t-second", ["t-first"], 3)
    assert work(course, begun) == {"later"}
    course.inside(begun, "server", "yum -y install hello && hello")
    course("reset", "-s", begun)
    assert [past["lab"] for past in there(course, begun)["past"]] == ["t-first"]


def test_while_steps_fail_nobody_goes_on_by_accident(course: Cli, engine: Engine, begun: str) -> None:
    course.inside(begun, "server", "rm /etc/greeting")
    was = containers(engine, begun)
    said = course("advance", "-s", begun, rc=1).stdout
    assert said.startswith("1 step of t-first does not pass: 1. Nothing was changed.")
    assert course.json("advance", "-s", begun, rc=1) == {"student": begun, "lab": "t-first", "open": ["1"]}
    assert containers(engine, begun) == was
    assert course.json("advance", "--anyway", "-s", begun)["lab"] == "t-second"
    assert there(course, begun)["past"][0]["passed"] == []


def test_what_stands_in_the_way_is_said_and_nothing_is_changed(course: Cli, engine: Engine, begun: str) -> None:
    def refused(rc: int, *words: str) -> str:
        was = containers(engine, begun), [save["name"] for save in course.json("saves", "-s", begun)["saves"]]
        said = course("advance", *words, "--anyway", "-s", begun, rc=rc).stderr
        saves = [save["name"] for save in course.json("saves", "-s", begun)["saves"]]
        assert (containers(engine, begun), saves) == was
        return said

    assert "'lab3' does not begin where t-first ends. After t-first comes: t-second." in refused(2, "lab3")
    course("drill", "start", "nobody-is-greeted", "-s", begun)
    assert "A drill is running" in refused(2)
    course("drill", "give-up", "--yes", "-s", begun)
    engine.api.stop(f"labenv-{begun}-client", timeout=5)
    assert f"Not all machines of {begun} run, so they cannot go on. Bring them up first: labenv up {begun}" in refused(
        3
    )
    course("up", begun)
    course("advance", "-s", begun)
    assert "no space left on device" in refused(3), "an image that cannot be built"
    course("restore", "before-advance-1", "-s", begun)


def test_after_the_last_lab_comes_none(course: Cli, student: str) -> None:
    course("up", student, "--lab", "t-second")
    third = Cli(course.environ | {"LABENV_LABS": f"{COURSE / 'first'}:{COURSE / 'second'}"})
    said = third("advance", "--anyway", "-s", student, rc=2).stderr
    assert "No lab begins where t-second ends, so there is nothing to go on to." in said


@pytest.mark.parametrize("half", [BEFORE[::2], pytest.param(BEFORE[1::2], marks=pytest.mark.soak)], ids=["even", "odd"])
def test_a_killed_advance_leads_back_and_the_next_one_arrives(
    course: Cli, engine: Engine, begun: str, half: tuple[str, ...], new_student: Callable[[], str]
) -> None:
    for place in half:
        command = ["-m", "tests.e2e.killed", "before", place, "0", "advance", "-s", begun]
        kept = os.environ | course.environ | {"NO_COLOR": "1"}
        done = subprocess.run(
            [sys.executable, *command], env=kept, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == -signal.SIGKILL, f"{place}: {done.stdout}{done.stderr}"
        course("up", begun, "--no-check")
        now = there(course, begun)
        assert (now["lab"], len(now["machines"])) == ("t-first", 2), place
        assert work(course, begun) == {"mine"}, place
    course("advance", "-s", begun)
    assert work(course, begun) == {"mine"}
    assert there(course, begun)["lab"] == "t-second"
