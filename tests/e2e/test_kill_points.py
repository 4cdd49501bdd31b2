"""Whatever is killed, and whenever: the next command finds the state before or the state after, with all work in it.

Commands are killed right before or right after their n-th change of something on the engine, which is every place where
it matters; the engine is killed there as well, and with it all machines, as in a power cut.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import docker.errors
import pytest

from labenv import lifecycle, saves
from labenv.engine import Engine
from labenv.engine import saves as kept
from labenv.engine.channel import Channel
from labenv.events import silent
from labenv.plan import Request
from tests.e2e import rig
from tests.e2e.conftest import Cli
from tests.e2e.test_second_engine import PLAIN, labenv

MACHINES = ("host", "vm2", "vm3")
# How many changes each makes on the engine; a test fails where a kill came too late to hit anything.
UP, SAVE, RESTORE, RESET, DOWN = 7, 9, 25, 12, 9
_MAIL = "find /home/*/Maildir/new -type f | wc -l"


def killed(when: str, number: int, *arguments: str) -> None:
    """Run the command line, and have it killed at that change."""
    command = [sys.executable, "-m", "tests.e2e.killed", when, str(number), "0", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ | PLAIN, check=False)
    assert done.returncode == -signal.SIGKILL, f"{when} {number} of {arguments}: {done.stdout}{done.stderr}"


def inside(engine: Engine, student: str, machine: str, script: str) -> str:
    with closing(Channel(engine.api, f"labenv-{student}-{machine}")) as channel:
        return channel.run(script, timeout=60).stdout.decode().strip()


def write(engine: Engine, student: str, text: str) -> None:
    for machine in MACHINES:
        inside(engine, student, machine, f"echo {text} >/root/work")


def work(engine: Engine, student: str) -> str:
    """What the machines have in common; fails if they do not agree, as after half a restore."""
    texts = {inside(engine, student, machine, "cat /root/work 2>/dev/null || echo nothing") for machine in MACHINES}
    assert len(texts) == 1, texts
    return texts.pop()


def has_mail(engine: Engine, student: str) -> bool:
    return inside(engine, student, "vm3", _MAIL) not in ("", "0")


def deliver(engine: Engine, student: str) -> None:
    inside(engine, student, "vm3", f"echo precious | mail -s precious {student}@{student}.ops")
    inside(engine, student, "vm3", f"timeout 30 sh -c 'while [ \"$({_MAIL})\" = 0 ]; do :; done'")


def up(engine: Engine, student: str) -> None:
    # What the killed command had asked for last may still be under way; an engine tells of a machine when that is done.
    for container in engine.api.containers(all=True, filters={"label": f"labenv.student={student}"}):
        with suppress(docker.errors.NotFound):
            engine.api.inspect_container(container["Id"])
    lifecycle.up(engine, Request(student), silent)


def clean(engine: Engine, student: str) -> None:
    """Remove all there is of a student, and see that nothing else was left."""
    for environment in engine.environments(student):
        lifecycle.down(engine, environment, silent)
    for save in kept.tidied(engine, student):
        kept.remove(engine, save)
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


def spread(students: list[str], points: list[tuple[str, int]], attempt: Callable[[str, str, int], None]) -> None:
    """Try all kill points, each student's one after the other, the students' at the same time."""
    waiting = iter(points)
    lock = threading.Lock()

    def work_off(student: str) -> None:
        while True:
            with lock:
                point = next(waiting, None)
            if point is None:
                return
            attempt(student, *point)

    with ThreadPoolExecutor(len(students)) as pool:
        list(pool.map(work_off, students))


def test_a_killed_save_is_whole_or_not_there(cli: Cli, engine: Engine, students: list[str]) -> None:
    def attempt(student: str, when: str, number: int) -> None:
        write(engine, student, f"at-{number}")
        killed(when, number, "save", f"at-{number}", "-s", student)
        up(engine, student)
        assert work(engine, student) == f"at-{number}"
        assert has_mail(engine, student)
        if f"at-{number}" not in [save.name for save in kept.found(engine, student)]:
            assert number <= SAVE - 3, "all was saved, and the machines had only to go on"
            saves.save(engine, engine.environments(student)[0], f"at-{number}", silent)

    spread(students, [("before", number) for number in (2, 4, 5, 7, SAVE)], attempt)


def test_a_killed_restore_or_reset_leaves_the_state_before_or_the_one_after(
    cli: Cli, engine: Engine, students: list[str]
) -> None:
    def restore(student: str, when: str, number: int) -> None:
        write(engine, student, "newer")
        killed(when, number, "restore", "good", "-s", student)
        up(engine, student)
        assert work(engine, student) == ("newer" if number <= 13 else "saved")
        assert has_mail(engine, student)

    # It saves nine changes long, switches the machines off, and notes with its 13th what it does.
    spread(students, [("before", number) for number in (6, 10, 13, 14, 16, 17, 18, 20, 22, 24, RESTORE)], restore)

    def reset(student: str, when: str, number: int) -> None:
        write(engine, student, "newer")
        killed(when, number, "reset", "-s", student)
        up(engine, student)
        assert work(engine, student) == "newer"
        assert has_mail(engine, student)

    spread(students, [("before", number) for number in (15, 20, RESTORE)], reset)

    def reset_vm2(student: str, when: str, number: int) -> None:
        write(engine, student, "newer")
        killed(when, number, "reset", "vm2", "-s", student)
        up(engine, student)
        vm2 = inside(engine, student, "vm2", "cat /root/work 2>/dev/null || echo nothing")
        assert vm2 == ("newer" if number < RESET - 1 else "nothing")
        assert inside(engine, student, "vm3", "cat /root/work") == "newer"

    spread(students, [("before", number) for number in (RESET - 1, RESET)], reset_vm2)


def test_a_killed_up_or_down_is_finished_by_the_next_up(
    cli: Cli, engine: Engine, new_student: Callable[[], str]
) -> None:
    def attempt(student: str, when: str, number: int) -> None:
        killed("before", 1 + number % UP, "up", student, "--no-check")
        assert cli.json("up", student)["check"]["summary"]["failed"] == 0
        write(engine, student, "mine")
        deliver(engine, student)
        killed("before", number, "down", "-s", student)
        up(engine, student)
        state = work(engine, student)
        assert state == ("mine" if number <= 4 else "nothing")
        assert has_mail(engine, student) == (state == "mine")
        clean(engine, student)

    spread([new_student() for _ in range(2)], [("before", number) for number in (1, 2, 4, 5, 6, 8, DOWN)], attempt)


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
    """The files of an engine with an environment on it, with work in that, and a save of another state."""
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


@pytest.mark.skipif(rig.available() is not None, reason=rig.available() or "")
@pytest.mark.parametrize(
    ("command", "number", "found"),
    [
        ("save more", 5, {"newer"}),
        ("restore good", 11, {"newer"}),
        ("restore good", 13, {"saved"}),
        ("restore good", 15, {"saved"}),
        ("restore good", 23, {"saved"}),
        ("reset", 16, {"newer"}),
    ],
)
def test_an_engine_killed_in_the_middle_loses_nothing(home: Path, command: str, number: int, found: set[str]) -> None:
    with rig.running(home) as engine:
        labenv(engine, "up", "cut", "--no-check")
        rewrite(engine, "newer")
        victim = [sys.executable, "-m", "tests.e2e.killed", "after", str(number), str(engine.pid), *command.split()]
        done = engine.run([*victim, "-s", "cut"], check=False, env=PLAIN, timeout=300)
        assert done.returncode == 3, done.stdout + done.stderr
        assert "The engine" in done.stderr
        assert "Traceback" not in done.stderr
    with rig.running(home) as engine:
        labenv(engine, "up", "cut", "--no-check")
        assert reread(engine) == found
        for save in labenv(engine, "saves", "--json").stdout.split('"name": "')[1:]:
            if not save.startswith("good"):
                labenv(engine, "saves", "--remove", save.partition('"')[0], "-s", "cut")
