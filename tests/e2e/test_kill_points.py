"""Whatever is killed, and whenever: the next command finds the state before or the state after, with all work in it.

Commands are killed right before a change on the engine, which covers every place where it matters (`commit:2` is the
second commit, tests/e2e/killed.py); the engine is killed there as well, and with it all machines, as in a power cut.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from labenv.engine import Engine, save_store
from labenv.engine.channel import Channel
from labenv.environments import saves
from labenv.environments import up as bringing
from labenv.environments.down import down
from labenv.environments.plan import Request
from labenv.events import silent
from tests.e2e import rig
from tests.e2e.conftest import Cli
from tests.e2e.test_second_engine import PLAIN, labenv

MACHINES = ("host", "vm2", "vm3")
# In their order: changes that keep the state before, and, from the note on, the state after.
SAVING = ("pause:2", "commit:1", "commit:3")
SAVED = ("unpause:1", "unpause:3")
SWITCHING_OFF = ("commit:2", "unpause:2", "kill:1", "kill:3", "volumes/create:1")
REPLACING = (
    "DELETE /containers:1",
    "DELETE /containers:3",
    "DELETE /networks:1",
    "networks/create:1",
    "containers/create:1",
    "containers/create:3",
    "/start:1",
    "/start:3",
    "DELETE /volumes:1",
)
MAKING = ("networks/create:1", *(f"{what}:{n}" for what in ("containers/create", "/start") for n in (1, 2, 3)))
REMOVING = (
    "kill:1",
    "kill:3",
    "volumes/create:1",
    "DELETE /containers:1",
    "DELETE /containers:3",
    "DELETE /networks:1",
)
_MAIL = "find /home/*/Maildir/new -type f | wc -l"


def killed(place: str, *arguments: str) -> None:
    """Run the command line, killed right before that change; fails if it makes no such change."""
    command = [sys.executable, "-m", "tests.e2e.killed", "before", place, "0", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ | PLAIN, check=False)
    assert done.returncode == -signal.SIGKILL, f"{place} of {arguments}: {done.stdout}{done.stderr}"


def inside(engine: Engine, student: str, machine: str, script: str) -> str:
    with closing(Channel(engine.api, f"labenv-{student}-{machine}")) as channel:
        return channel.run(script, timeout=60).stdout.decode().strip()


def write(engine: Engine, student: str, text: str) -> None:
    for machine in MACHINES:
        inside(engine, student, machine, f"echo {text} >/root/work")


def work(engine: Engine, student: str) -> str:
    """What the machines have in common; fails if they differ, as after half a restore."""
    texts = {inside(engine, student, machine, "cat /root/work 2>/dev/null || echo nothing") for machine in MACHINES}
    assert len(texts) == 1, texts
    return texts.pop()


def has_mail(engine: Engine, student: str) -> bool:
    return inside(engine, student, "vm3", _MAIL) not in ("", "0")


def deliver(engine: Engine, student: str) -> None:
    inside(engine, student, "vm3", f"echo precious | mail -s precious {student}@{student}.ops")
    inside(engine, student, "vm3", f"timeout 30 sh -c 'while [ \"$({_MAIL})\" = 0 ]; do :; done'")


def up(engine: Engine, student: str) -> None:
    bringing.up(engine, Request(student), silent)


def clean(engine: Engine, student: str) -> None:
    """Remove everything of a student, and check that nothing else was left."""
    for environment in engine.environments(student):
        down(engine, environment, silent)
    for save in save_store.tidied(engine, student):
        save_store.remove(engine, save)
    label = {"label": f"labenv.student={student}"}
    assert not engine.api.containers(all=True, filters=label)
    assert not engine.api.networks(filters=label)
    assert not engine.api.volumes(filters=label)["Volumes"]
    assert not [
        tag for i in engine.api.images(name="labenv-save") for tag in i["RepoTags"] or [] if f":{student}." in tag
    ]


@pytest.fixture(scope="module")
def students(cli: Cli, engine: Engine, new_student: Callable[[], str]) -> Iterator[list[str]]:
    """Three students with an environment, whose machines have work and mail in them, and a save of another state."""
    three = [new_student() for _ in range(3)]

    def prepare(student: str) -> None:
        up(engine, student)
        write(engine, student, "saved")
        deliver(engine, student)
        saves.save(engine, engine.environments(student)[0], "good", silent)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(prepare, three))
    yield three
    for student in three:
        clean(engine, student)


def spread(students: list[str], places: Iterable[str], attempt: Callable[[str, str], None]) -> None:
    """Try all kill points: each student's one after the other, the students' at the same time."""
    waiting = iter(places)
    lock = threading.Lock()

    def work_off(student: str) -> None:
        while True:
            with lock:
                place = next(waiting, None)
            if place is None:
                return
            attempt(student, place)

    with ThreadPoolExecutor(len(students)) as pool:
        list(pool.map(work_off, students))


def test_a_killed_save_is_whole_or_not_there(cli: Cli, engine: Engine, students: list[str]) -> None:
    def attempt(student: str, place: str) -> None:
        name = "at-" + place.replace(":", "-")
        write(engine, student, name)
        killed(place, "save", name, "-s", student)
        up(engine, student)
        assert work(engine, student) == name
        assert has_mail(engine, student)
        there = name in [save.name for save in save_store.found(engine, student)]
        assert there == (place in SAVED), place
        if not there:
            saves.save(engine, engine.environments(student)[0], name, silent)

    spread(students, (*SAVING, *SAVED), attempt)


def test_a_killed_restore_or_reset_leaves_the_state_before_or_the_one_after(
    cli: Cli, engine: Engine, students: list[str]
) -> None:
    def restore(student: str, place: str) -> None:
        write(engine, student, "newer")
        killed(place, "restore", "good", "-s", student)
        up(engine, student)
        assert work(engine, student) == ("newer" if place in SWITCHING_OFF else "saved"), place
        assert has_mail(engine, student)

    spread(students, (*SWITCHING_OFF, *REPLACING), restore)

    def reset(student: str, place: str) -> None:
        write(engine, student, "newer")
        killed(place, "reset", "-s", student)
        up(engine, student)
        assert work(engine, student) == "newer", place
        assert has_mail(engine, student)

    spread(students, ("DELETE /containers:2", "containers/create:2", "DELETE /volumes:1"), reset)

    def reset_vm2(student: str, place: str) -> None:
        write(engine, student, "newer")
        killed(place, "reset", "vm2", "-s", student)
        up(engine, student)
        vm2 = inside(engine, student, "vm2", "cat /root/work 2>/dev/null || echo nothing")
        assert vm2 == ("newer" if place == "DELETE /containers:1" else "nothing"), place
        assert inside(engine, student, "vm3", "cat /root/work") == "newer"

    spread(students, ("DELETE /containers:1", "containers/create:1", "/start:1"), reset_vm2)


def test_a_killed_up_or_down_is_finished_by_the_next_up(
    cli: Cli, engine: Engine, new_student: Callable[[], str]
) -> None:
    downs = dict(zip(MAKING, (*REMOVING, "DELETE /volumes:1"), strict=True))

    def attempt(student: str, place: str) -> None:
        killed(place, "up", student, "--no-check")
        assert cli.json("up", student)["check"]["summary"]["failed"] == 0
        write(engine, student, "mine")
        deliver(engine, student)
        killed(downs[place], "down", "-s", student)
        up(engine, student)
        state = work(engine, student)
        assert state == ("mine" if downs[place] in REMOVING[:3] else "nothing"), downs[place]
        assert has_mail(engine, student) == (state == "mine")
        clean(engine, student)

    spread([new_student() for _ in range(2)], MAKING, attempt)


def test_a_killed_solve_is_finished_by_the_next(cli: Cli, engine: Engine, new_student: Callable[[], str]) -> None:
    student = new_student()
    cli("up", student, "--at", "lab4a", "--no-check")
    for line in (3, 9, 14, 20):
        command = [sys.executable, "-m", "labenv", "solve", "domain", "-s", student]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=os.environ | PLAIN
        ) as solving:
            assert solving.stdout
            typed = 0
            for said in solving.stdout:
                typed += said.startswith(b"[root@")
                if typed == line:
                    solving.kill()
                    break
            assert typed == line
    cli("solve", "domain", "-s", student)
    found = {result["step"]: result["status"] for result in cli.json("check", "-s", student, rc=None)["results"]}
    assert {found[step] for step in ("8", "9", "10", "11", "12", "13")} <= {"pass", "warn"}, found
    clean(engine, student)


@pytest.fixture(scope="module")
def home(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The files of an engine with an environment on it, with work in it, and a save of another state."""
    with rig.new_home(tmp_path_factory.mktemp("rig")) as home:
        with rig.running(home) as engine:
            labenv(engine, "images", "import", str(bundle))
            labenv(engine, "up", "cut", "--no-check")
            rewrite(engine, "saved")
            labenv(engine, "save", "good")
        yield home


def rewrite(engine: rig.Engine, text: str) -> None:
    for machine in MACHINES:
        engine.run(["docker", "exec", f"labenv-cut-{machine}", "sh", "-c", f"echo {text} >/root/work; sync"])


def reread(engine: rig.Engine) -> set[str]:
    said = [engine.run(["docker", "exec", f"labenv-cut-{machine}", "cat", "/root/work"]) for machine in MACHINES]
    return {done.stdout.strip() for done in said}


def kill_after(engine: rig.Engine, place: str, *command: str) -> None:
    """Run the command line, with the engine killed right after that change; its error is a sentence."""
    victim = [sys.executable, "-m", "tests.e2e.killed", "after", place, str(engine.pid), *command, "-s", "cut"]
    done = engine.run(victim, check=False, env=PLAIN, timeout=300)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "The engine" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(rig.available() is not None, reason=rig.available() or "")
@pytest.mark.parametrize(
    ("command", "place", "found"),
    [
        ("save more", "commit:2", {"newer"}),
        ("restore good", "kill:2", {"newer"}),
        ("restore good", "volumes/create:1", {"saved"}),
        ("restore good", "DELETE /containers:2", {"saved"}),
        ("restore good", "/start:2", {"saved"}),
        ("reset", "DELETE /containers:3", {"newer"}),
    ],
)
def test_an_engine_killed_in_the_middle_loses_nothing(home: Path, command: str, place: str, found: set[str]) -> None:
    with rig.running(home) as engine:
        labenv(engine, "up", "cut", "--no-check")
        rewrite(engine, "newer")
        kill_after(engine, place, *command.split())
    with rig.running(home) as engine:
        labenv(engine, "up", "cut", "--no-check")
        assert reread(engine) == found
        for save in labenv(engine, "saves", "--json").stdout.split('"name": "')[1:]:
            if not save.startswith("good"):
                labenv(engine, "saves", "--remove", save.partition('"')[0], "-s", "cut")


@pytest.mark.skipif(rig.available() is not None, reason=rig.available() or "")
def test_a_drill_goes_on_after_the_engine_was_killed(home: Path) -> None:
    with rig.running(home) as engine:
        labenv(engine, "up", "cut", "--no-check")
        saved = json.loads(labenv(engine, "drill", "start", "reading-times-out", "--json", "-s", "cut").stdout)["saved"]
        kill_after(engine, "volumes/create:1", "drill", "diagnose", "firewall")
    with rig.running(home) as engine:
        labenv(engine, "up", "cut", "--no-check")
        assert json.loads(labenv(engine, "drill", "status", "--json").stdout)["diagnoses"] == ["firewall"]
        assert json.loads(labenv(engine, "drill", "give-up", "--yes", "--json").stdout)["summary"]["failed"] == 0
        labenv(engine, "saves", "--remove", saved, "-s", "cut")
