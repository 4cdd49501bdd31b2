"""`up` is a decision table, and `down` leaves nothing behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import docker.errors
import pexpect
import pytest

from labenv import places
from labenv.engine import Engine, turns
from labenv.engine.find import connect
from labenv.engine.images import Images
from labenv.engine.labels import LABEL
from labenv.environments.plan import Request
from labenv.environments.up import up
from labenv.events import silent
from labenv.student import derive_x
from tests.e2e.conftest import Cli, mounted


def container_ids(engine: Engine, student: str) -> set[str]:
    return {c["Id"] for c in engine.api.containers(all=True, filters={"label": f"{LABEL}={student}"})}


def test_a_second_up_changes_nothing(cli: Cli, engine: Engine, student: str) -> None:
    first = cli.json("up", student, "--no-check")
    before = container_ids(engine, student)
    again = cli.json("up", student, "--no-check")
    assert first["changes"] == ["made host", "made vm2", "made vm3"]
    assert again["changes"] == []
    assert again["drifted"] == []
    assert container_ids(engine, student) == before
    assert first["password"] == again["password"]
    assert first["machines"] == again["machines"]


class Watched(Engine):
    """Notes when each machine was started."""

    def __init__(self) -> None:
        super().__init__(connect(silent))
        self.asked: list[float] = []

    def start(self, container: str) -> None:
        self.asked.append(time.time())
        super().start(container)


def test_a_machine_starts_when_the_one_before_has_its_network(
    engine: Engine, student: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine.facts.podman or engine.facts.version >= (28, 0):
        pytest.skip("this engine does not sleep where starts meet")
    monkeypatch.setattr(turns, "_PATIENCE", 10.0)
    watched, began = Watched(), int(time.time())
    up(watched, Request(student), silent)
    own = {"type": "network", "event": "connect", "network": f"labenv-{student}"}
    told = engine.api.events(decode=True, since=began, until=int(time.time()) + 1, filters=own)
    connected = sorted(event["timeNano"] / 1e9 for event in told)
    asked = sorted(watched.asked)
    assert len(asked) == len(connected) == 3
    for network, start in zip(connected, asked[1:], strict=False):
        assert start >= network


def test_an_engine_that_tells_of_no_events_brings_all_up_one_by_one(
    student: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched()
    monkeypatch.setattr(watched.api, "events", lambda **_: threading.Event().wait())
    monkeypatch.setattr(turns, "_PATIENCE", 1.0)
    assert up(watched, Request(student), silent).changes == ("made host", "made vm2", "made vm3")
    if not (watched.facts.podman or watched.facts.version >= (28, 0)):
        first, second, third = sorted(watched.asked)
        assert second - first > 0.5  # half of it is for a thread that the machine let wait
        assert third - second > 0.5


def test_a_stopped_a_paused_and_a_missing_machine_come_back(cli: Cli, engine: Engine, student: str) -> None:
    cli("up", student, "--no-check")
    cli.inside(student, "vm2", "echo precious > /root/work")
    engine.api.stop(f"labenv-{student}-vm2")
    engine.api.pause(f"labenv-{student}-host")
    engine.api.remove_container(f"labenv-{student}-vm3", force=True)
    states = {m["name"]: m["state"] for m in cli.json("status", "-s", student)["environments"][0]["machines"]}
    assert states == {"host": "paused", "vm2": "exited", "vm3": "missing"}
    assert set(cli.json("up", student)["changes"]) == {"unpaused host", "started vm2", "made vm3"}
    assert cli.inside(student, "vm2", "cat /root/work") == "precious\n"


def test_a_lost_network_is_made_again_and_the_work_kept(cli: Cli, engine: Engine, student: str) -> None:
    cli("up", student, "--no-check")
    cli.inside(student, "vm3", "echo precious > /root/work")
    for machine in ("host", "vm2", "vm3"):
        engine.api.stop(f"labenv-{student}-{machine}")
        engine.api.disconnect_container_from_network(f"labenv-{student}-{machine}", f"labenv-{student}", force=True)
    engine.api.remove_network(f"labenv-{student}")
    cli("up", student)
    assert cli.inside(student, "vm3", "cat /root/work") == "precious\n"


@pytest.mark.parametrize("after", [0.3, 0.5, 0.7, 0.9, 1.2])
def test_an_up_that_was_killed_is_finished_by_the_next(cli: Cli, student: str, after: float) -> None:
    with subprocess.Popen([sys.executable, "-m", "labenv", "up", student], stderr=subprocess.DEVNULL) as victim:
        time.sleep(after)  # the moment is the point of the test
        victim.send_signal(signal.SIGKILL)
    document = cli.json("up", student)
    assert document["check"]["summary"]["failed"] == 0


def test_two_at_once_give_one_environment(cli: Cli, engine: Engine, student: str) -> None:
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: cli.json("up", student, "--no-check"), range(2)))
    assert sorted(len(document["changes"]) for document in both) == [0, 3]
    assert len(container_ids(engine, student)) == 3


def test_down_leaves_nothing_behind(cli: Cli, engine: Engine, student: str) -> None:
    cli("up", student, "--no-check")
    volumes = mounted(engine, student)
    cli("down", "-s", student)
    assert not container_ids(engine, student)
    assert not engine.api.networks(filters={"label": f"{LABEL}={student}"})
    there = {volume["Name"] for volume in engine.api.volumes()["Volumes"] or []}
    assert not [name for name in there if name in volumes or student in name]
    assert not list(places.runtime().glob(f"{student}*"))
    from labenv.engine.recipe import ident

    assert not [
        p for m in ("host", "vm2", "vm3") for p in Path("/sys/fs/cgroup").glob(f"**/labenv/{ident(student, m)}")
    ]


def test_a_dry_run_of_down_removes_nothing(cli: Cli, engine: Engine, student: str) -> None:
    cli("up", student, "--no-check")
    said = cli("down", "-s", student, "--dry-run").stderr
    assert f"labenv-{student}-vm3" in said
    assert "It was never saved." in said
    assert len(container_ids(engine, student)) == 3


def test_down_asks_names_what_is_lost_and_takes_enter_for_no(cli: Cli, engine: Engine, student: str) -> None:
    cli("up", student, "--no-check")
    cli("save", "before-tea", "-s", student)
    cli("tick", "6", "-s", student)
    environ = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    for answer, removed in (("", False), ("n", False), ("y", True)):
        asked: Any = pexpect.spawn(
            sys.executable, ["-m", "labenv", "down", "-s", student], env=environ, timeout=60, encoding="utf-8"
        )
        asked.expect(r"\[y/N\]: ")
        assert "all work since the save before-tea of" in " ".join(asked.before.split())
        assert "Also: 1 ticked step." in asked.before
        asked.sendline(answer)
        asked.expect(pexpect.EOF)
        assert ("Nothing was removed." in asked.before) is not removed
        assert len(container_ids(engine, student)) == (0 if removed else 3)
    cli("saves", "--remove", "before-tea", "-s", student)


def test_options_that_contradict_what_is_there_are_refused(cli: Cli, engine: Engine, student: str) -> None:
    network = cli.json("up", student, "--no-check", "--at", "lab4a")["network"]
    before = container_ids(engine, student)
    other = "3" if network != "192.168.3.0/24" else "4"
    for option, value in (("--at", "done"), ("--net", other), ("--first", "zoe")):
        said = cli("up", student, option, value, rc=2).stderr
        assert option in said
        # Another stage is a matter of a reset, which saves the work first.
        way_out = f"labenv reset --at {value} -s {student}" if option == "--at" else f"labenv down -s {student}"
        assert way_out in said
    assert container_ids(engine, student) == before


def test_what_was_broken_off_before_a_machine_ran_contradicts_nothing(cli: Cli, engine: Engine, student: str) -> None:
    cli("up", student, "--no-check", "--at", "lab4a")
    for container in container_ids(engine, student):
        engine.api.remove_container(container, force=True)
    made = cli.json("up", student, "--no-check", "--at", "imap", "--first", "zoe")
    assert (made["stage"], made["first"]) == ("imap", "zoe")


def test_ctrl_c_while_images_are_built_leaves_nothing(
    engine: Engine, new_student: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken_off(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Images, "ensure", broken_off)
    student = new_student()
    with pytest.raises(KeyboardInterrupt):
        up(engine, Request(student), silent)
    assert not engine.environments(student)


def test_a_taken_network_is_said_and_another_found(cli: Cli, engine: Engine, new_student: Callable[[], str]) -> None:
    student = new_student()
    wanted = derive_x(student)
    try:
        squatter = engine.api.create_network(
            f"squatter-{student}", ipam={"Config": [{"Subnet": f"192.168.{wanted}.0/24"}]}
        )
    except docker.errors.APIError:
        pytest.skip(f"192.168.{wanted}.0/24 is in use here")
    try:
        done = cli("up", student, "--no-check", "--json")
        assert f"192.168.{wanted}.0/24 is taken" in done.stderr
        assert f"squatter-{student}" in done.stderr
        refused = cli("up", new_student(), "--net", str(wanted), rc=2)
        assert f"squatter-{student}" in refused.stderr
    finally:
        engine.api.remove_network(squatter["Id"])


def test_several_labs_at_once_all_answer(cli: Cli, new_student: Callable[[], str]) -> None:
    students = [new_student() for _ in range(4)]
    with ThreadPoolExecutor(len(students)) as pool:
        documents = list(pool.map(lambda s: cli.json("up", s, "--no-check"), students))
    assert len({document["network"] for document in documents}) == len(students)
    for name in students:
        cli("down", "-s", name)
