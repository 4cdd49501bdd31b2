"""A class on three computers: Swarm places, one is drained, one loses power, and nobody's work is lost.

The nodes are engines in network namespaces (tests/e2e/nodes.py).
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.nodes import Node

LABENV = (sys.executable, "-m", "labenv")
STUDENTS = tuple(f"sw{number}" for number in range(5))
PLAIN = {"NO_COLOR": "1", "COLUMNS": "200"}
CLASS = """\
name: OPS345
id: ops345
labs: [lab: lab4b]
swarm: {every: 1m, place: PLACE}
"""


@dataclass(frozen=True)
class Swarm:
    """Three nodes of a swarm, of which the first is the manager, and a class that has environments there."""

    nodes: list[Node]
    folder: Path

    @property
    def manager(self) -> Node:
        return self.nodes[0]

    def node(self, name: str) -> Node:
        return next(node for node in self.nodes if node.name == name)

    def __call__(self, *arguments: str, rc: int | None = 0, on: Node | None = None) -> subprocess.CompletedProcess[str]:
        """Run labenv on the manager, or on another node; fail the test with its output if it does not end with `rc` (None: any)."""
        environ = PLAIN | {"LABENV_CLASS": str(self.folder)}
        done = (on or self.manager).run([*LABENV, *arguments], check=False, timeout=300, env=environ)
        screen = f"labenv {' '.join(arguments)} → {done.returncode}\n{done.stdout}{done.stderr}"
        assert rc is None or done.returncode == rc, screen
        assert "Traceback" not in screen, screen
        return done

    def json(self, *arguments: str, rc: int | None = 0) -> Any:
        return json.loads(self(*arguments, "--json", rc=rc).stdout)

    def where(self) -> dict[str, str]:
        """On which node each student's environment is, by name."""
        there = self.json("swarm", "nodes", "--no-check")["nodes"]
        return {student: node["node"] for node in there for student in node["environments"]}

    def write(self, student: str, text: str) -> None:
        """Have a student write something into a file of the lab."""
        self("exec", "-s", student, "vm3", "--", "sh", "-c", f"echo '# {text}' >>/etc/postfix/main.cf")

    def reads(self, student: str) -> str:
        return self("exec", "-s", student, "vm3", "--", "grep", "^# ", "/etc/postfix/main.cf", rc=None).stdout


@pytest.fixture(scope="module")
def swarm(swarm_nodes: list[Node], tmp_path_factory: pytest.TempPathFactory) -> Swarm:
    """A class that is up on three nodes."""
    folder = tmp_path_factory.mktemp("class")
    (folder / "class.yaml").write_text(CLASS.replace("PLACE", str(folder / "copies")), encoding="utf-8")
    (folder / "copies").mkdir()
    (folder / "roster.csv").write_text("\n".join(["id", *STUDENTS]) + "\n", encoding="utf-8")
    made = Swarm(swarm_nodes, folder)
    words = made.json("swarm", "init")["join"]
    for node in swarm_nodes[1:]:
        made(*words[1:], on=node)
    wait_for(lambda: all(n["state"] == "ready" for n in made.json("swarm", "nodes", "--no-check")["nodes"]), 30)
    up = made.json("class", "up")
    assert {one["student"]: one["check"]["summary"]["failed"] for one in up["students"]} == dict.fromkeys(STUDENTS, 0)
    return made


def wait_for(what: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.5)


def test_each_environment_is_whole_on_one_node_and_each_command_finds_it(swarm: Swarm) -> None:
    where = swarm.where()
    assert where.keys() == set(STUDENTS)
    assert set(where.values()) == {"n1", "n2", "n3"}, "Swarm spreads them"
    for node in swarm.nodes:
        names = node.run(["docker", "ps", "--filter", "label=labenv.machine", "--format", "{{.Names}}"]).stdout.split()
        mine = [student for student, name in where.items() if name == node.name]
        assert set(names) == {f"labenv-{student}-{machine}" for student in mine for machine in ("host", "vm2", "vm3")}
    far = next(student for student, name in where.items() if name != "n1")
    assert swarm("exec", "-s", far, "vm3", "--", "hostname").stdout == f"vm3.{far}.ops\n"
    assert swarm.json("status", "-s", far)["environments"][0]["student"] == far
    assert swarm.json("check", "-s", far, "0", rc=None)["student"] == far
    assert (
        "postfix"
        in swarm("logs", "vm3", "-s", far, "-n", "5").stdout + swarm("exec", "-s", far, "vm3", "--", "ps", "ax").stdout
    )
    swarm("save", "mine", "-s", far)
    swarm.write(far, "after the save")
    swarm("restore", "mine", "-s", far)
    assert "after the save" not in swarm.reads(far)
    rows = swarm.json("class", "status")["students"]
    assert [row["state"] for row in rows] == ["runs"] * len(STUDENTS)
    graded = swarm("class", "grade", rc=None)
    assert all(student in graded.stdout for student in STUDENTS), graded.stdout


def test_a_drained_node_gives_its_environments_to_others_as_they_are(swarm: Swarm) -> None:
    where = swarm.where()
    mine = [student for student, name in where.items() if name == "n2"]
    for student in mine:
        swarm.write(student, "before the drain")
    dry = swarm.json("swarm", "drain", "n2", "--dry-run")
    assert dry["would_move"] == sorted(mine)
    began = time.monotonic()
    moved = swarm.json("swarm", "drain", "n2")["moved"]
    assert time.monotonic() - began < 90
    assert moved.keys() == set(mine)
    assert "n2" not in moved.values()
    for student in mine:
        assert "# before the drain" in swarm.reads(student)
        assert "was lost" not in swarm("status", "-s", student).stderr, "nothing was lost, so nothing is said"
    swarm("swarm", "drain", "n2", "--back")


def test_what_was_pushed_outlives_a_node_that_loses_power_and_what_it_has_when_it_returns_is_kept_aside(
    swarm: Swarm,
) -> None:
    where = swarm.where()
    lost = max(swarm.nodes[1:], key=lambda node: list(where.values()).count(node.name))
    mine = [student for student, name in where.items() if name == lost.name]
    for student in mine:
        swarm.write(student, "pushed")
    wait_for(lambda: all(_has_pushed(swarm, student, "# pushed") for student in mine), 100)
    for student in mine:
        swarm.write(student, "not pushed")
    lost.kill()
    wait_for(lambda: not set(mine) - swarm.where().keys() and lost.name not in swarm.where().values(), 120)
    wait_for(lambda: all(swarm("status", "-s", student, rc=None).returncode == 0 for student in mine), 120)
    swarm("class", "up")
    for student in mine:
        done = swarm("status", "-s", student)
        assert f"The server {lost.name} was lost at about " in done.stderr + done.stdout
        assert "# pushed\n" in swarm.reads(student)
        assert "not pushed" not in swarm.reads(student)
    copies = {path.name for path in (swarm.folder / "copies").iterdir()}
    assert set(mine) <= copies, "also in the place that the class has named"

    lost.start()
    wait_for(lambda: all(any(name.startswith("aside-") for name in _saves(swarm, student)) for student in mine), 120)
    left = lost.run(["docker", "ps", "--all", "--filter", "label=labenv.machine", "--format", "{{.Names}}"]).stdout
    assert not any(f"labenv-{student}-" in left for student in mine), "nobody has two"
    student = mine[0]
    aside = next(name for name in _saves(swarm, student) if name.startswith("aside-"))
    swarm("restore", aside, "-s", student)
    assert "# not pushed" in swarm.reads(student), "and what was not pushed is there again"


def _saves(swarm: Swarm, student: str) -> list[str]:
    return [save["name"] for save in swarm.json("saves", "-s", student)["saves"]]


def _has_pushed(swarm: Swarm, student: str, text: str) -> bool:
    """Whether the newest copy of a student has that line."""
    folder = Path(swarm.manager.environment["XDG_STATE_HOME"]) / "labenv"
    lease = json.loads((folder / "swarm" / "leases" / f"{student}.json").read_text(encoding="utf-8"))
    script = f"gzip -dc {folder}/saves/{student}/{lease['stamp']}/vm3.* | grep -a -q '^{text}$'"
    return bool(lease["stamp"]) and subprocess.run(["sh", "-c", script], check=False).returncode == 0


def test_a_service_that_somebody_removed_is_made_again_with_all_work(swarm: Swarm) -> None:
    student = STUDENTS[-1]
    swarm.write(student, "kept")
    swarm.manager.run(["docker", "service", "rm", f"labenv-supervisor-{student}"])
    wait_for(lambda: student not in swarm.where(), 120)
    said = swarm("status", "-s", student, rc=3).stderr
    assert f"labenv class up --only {student}" in said
    swarm("class", "up", "--only", student)
    assert "# kept" in swarm.reads(student)


def test_after_a_restart_of_the_managers_engine_each_student_has_one_environment(swarm: Swarm) -> None:
    swarm.manager.restart_engine()
    wait_for(lambda: swarm("swarm", "nodes", "--no-check", rc=None).returncode == 0, 60)
    swarm("class", "up")
    assert swarm.where().keys() == set(STUDENTS)

    def machines() -> list[str]:
        command = ["docker", "ps", "--all", "--filter", "label=labenv.machine", "--format", "{{.Names}}"]
        return [name for node in swarm.nodes for name in node.run(command).stdout.split()]

    # What Swarm has moved meanwhile, because it heard nothing of a busy node, is kept aside there.
    wait_for(lambda: len(machines()) == len(set(machines())) == 3 * len(STUDENTS), 120)


def test_a_node_behind_a_slow_link_is_slow_and_nothing_else(swarm: Swarm) -> None:
    far = next(student for student, name in swarm.where().items() if name != "n1")
    node = swarm.node(swarm.where()[far])
    node.slow("2mbit")
    try:
        assert swarm("exec", "-s", far, "vm3", "--", "hostname").stdout == f"vm3.{far}.ops\n"
        assert swarm.json("check", "-s", far, "8", rc=None)["summary"]
    finally:
        node.fast()


def test_an_environment_that_is_removed_for_good_begins_again(swarm: Swarm) -> None:
    student = STUDENTS[0]
    swarm.write(student, "gone")
    swarm("class", "down", "--only", student, "--yes")
    assert student not in swarm.where()
    swarm("class", "up", "--only", student)
    assert "# gone" not in swarm.reads(student)
