"""What labenv asks of Swarm: services that are alike each time, and making a swarm in spite of what happens meanwhile.

Swarm itself is in tests/e2e; here a stand-in keeps what it is told.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import docker.errors
import pytest
import requests

from labenv.engine import Engine, swarm
from labenv.environment import Allowance, Belonging, Environment
from labenv.environments.plan import Request
from labenv.environments.room import MEMORY
from labenv.errors import EngineError, LabenvError, UsageError
from labenv.events import silent
from labenv.student import Student
from labenv.swarm import images, init, leases, services, setup, wishes, words
from labenv.swarm.services import Reserve
from labenv.swarm.supervisor import request_as, request_of, told_of
from labenv.swarm.wishes import Wish

ADDRESS = "127.0.0.1"


def refused(status: int, text: str) -> docker.errors.APIError:
    kind = docker.errors.NotFound if status == 404 else docker.errors.APIError
    answer = requests.Response()
    answer.status_code = status
    return kind(text, answer, text)


@dataclass
class Docker:
    """As much of an engine's API as labenv asks of Swarm."""

    states: list[str] = field(default_factory=lambda: ["active"])  # one an answer, the last again and again
    address: str = ADDRESS
    made: dict[str, dict[str, Any]] = field(default_factory=dict)  # services
    kept: dict[str, bytes] = field(default_factory=dict)  # secrets
    done: list[str] = field(default_factory=list)
    states_of_keeper: list[tuple[str, str, str]] = field(default_factory=list)  # id, state, error
    meanwhile: Callable[[], None] = lambda: None
    on_node: int = 0

    def info(self) -> dict[str, Any]:
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        about = {"NodeID": "id1", "NodeAddr": self.address} if state == "active" else {}
        return {"Name": "n1", "Swarm": {"LocalNodeState": state, **about}}

    def inspect_swarm(self) -> dict[str, Any]:
        if self.states[0] != "active":
            raise refused(503, "This node is not a swarm manager.")
        return {"JoinTokens": {"Worker": "SWMTKN-1", "Manager": "SWMTKN-2"}}

    def init_swarm(self, **_: object) -> None:
        self.meanwhile()
        if self.states[0] != "inactive":
            raise refused(503, "This node is already part of a swarm.")
        self.states = ["pending", "pending", "active"]
        self.done.append("init")

    def leave_swarm(self, *, force: bool) -> None:
        assert force
        self.done.append("leave")
        self.states = ["inactive"]

    def containers(self, **_: object) -> list[object]:
        return [object()] * self.on_node

    def secrets(self, *, filters: dict[str, str]) -> list[dict[str, Any]]:
        name = filters.get("name", "")
        return [{"Spec": {"Name": each}, "ID": f"id of {each}"} for each in self.kept if each.startswith(name)]

    def create_secret(self, name: str, content: bytes, labels: dict[str, str]) -> None:
        self.meanwhile()
        if name in self.kept:
            raise refused(409, f"rpc error: name conflicts with an existing object: secret {name} already exists")
        assert labels
        self.kept[name] = content

    def inspect_service(self, name: str) -> dict[str, Any]:
        if name not in self.made:
            raise refused(404, f"service {name} not found")
        return self.made[name]

    def create_service(self, template: Any, name: str, labels: dict[str, str], mode: Any, **more: Any) -> None:
        self.meanwhile()
        if name in self.made:
            raise refused(409, f"rpc error: name conflicts with an existing object: service {name} already exists")
        self._make(1, template, name, labels, mode, more)

    def update_service(
        self, ident: str, version: int, template: Any, name: str, labels: dict[str, str], mode: Any, **more: Any
    ) -> None:
        self.meanwhile()
        if self.made[name]["Version"]["Index"] != version:
            raise refused(500, "rpc error: code = Unknown desc = update out of sequence")
        self._make(version + 1, template, name, labels, mode, more)

    def _make(self, version: int, template: Any, name: str, labels: dict[str, str], mode: Any, more: Any) -> None:
        self.done.append(name)
        spec = {"Labels": labels, "Name": name, "TaskTemplate": template, "Mode": mode, **more}
        self.made[name] = {"ID": f"id of {name}", "Version": {"Index": version}, "Spec": spec}

    def remove_service(self, ident: str) -> None:
        self.made = {name: each for name, each in self.made.items() if ident not in (name, each["ID"])}

    def services(self, *, filters: dict[str, list[str]]) -> list[dict[str, Any]]:
        def fits(labels: dict[str, str]) -> bool:
            wanted = [each.partition("=") for each in filters["label"]]
            return all(key in labels and (not equals or labels[key] == value) for key, equals, value in wanted)

        return [each for each in self.made.values() if fits(each["Spec"]["Labels"])]

    def tasks(self, *, filters: dict[str, list[str]]) -> list[dict[str, Any]]:
        [name] = filters["service"]
        if name not in self.made:
            raise refused(404, f"service {name} not found")
        return [
            {
                "ID": ident,
                "ServiceID": name,
                "Status": {"State": state, "Err": error},
                "DesiredState": "shutdown" if error else "running",
                "CreatedAt": f"{number:03}",
            }
            for number, (ident, state, error) in enumerate(self.states_of_keeper)
        ]

    def inspect_node(self, ident: str) -> dict[str, Any]:
        return self.made[ident]

    def update_node(self, ident: str, version: int, spec: dict[str, Any]) -> None:
        self.meanwhile()
        if self.made[ident]["Version"]["Index"] != version:
            raise refused(500, "rpc error: code = Unknown desc = update out of sequence")
        self.made[ident] = {"Version": {"Index": version + 1}, "Spec": spec}


def engine(docker: Docker) -> Engine:
    class Alone(Engine):
        """An engine that says nothing about itself but what is asked here."""

        def __init__(self) -> None:
            self.api = cast(Any, docker)
            self.is_distant = False

        @property
        def facts(self) -> Any:
            return SimpleNamespace(podman=False, rootless=False)

    return Alone()


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(init, "_POLL", 0.01)
    return tmp_path / "labenv"


@pytest.fixture
def daemon() -> Docker:
    return Docker()


@pytest.fixture
def manager(daemon: Docker) -> Engine:
    setup.prepare(ADDRESS)
    return engine(daemon)


def request(profiles: tuple[str, ...] = (), **more: Any) -> Request:
    belongs = Belonging("ops", Allowance(512 << 20, 100))
    wanted = Request("anna", 90, None, None, "lab3", profiles=frozenset(profiles), belongs=belongs)
    return replace(wanted, **more)


def test_an_environment_that_went_on_to_another_lab_is_brought_up_as_that_lab() -> None:
    there = Environment(Student("ana", 77, "ana", ""), "lab6", "lab4b", (), "")
    met = request_as(request(), there)
    assert (met.lab, met.stage, met.x, met.first) == ("lab6", "lab4b", 77, None)
    assert (met.student_id, met.belongs) == (request().student_id, request().belongs)


def test_a_supervisor_never_differs_between_two_calls(manager: Engine, daemon: Docker) -> None:
    for profiles in (("outside", "x", "y", "z"), ("z", "y", "x", "outside")):
        made = services.supervisor("sha256:1", request(), Reserve(), "labenv.has-1", services.secrets(manager))
        again = services.supervisor("sha256:1", request(), Reserve(), "labenv.has-1", services.secrets(manager))
        assert made == again
        assert json.loads(made.environment[words.WORK]) == told_of(request())
        assert told_of(request(profiles))["profiles"] == ["outside", "x", "y", "z"]
    assert swarm.ensure(manager, made)
    assert not swarm.ensure(manager, again)
    assert daemon.done == ["labenv-supervisor-anna"]
    assert swarm.ensure(manager, replace(again, image="sha256:2"))
    assert daemon.made["labenv-supervisor-anna"]["Version"]["Index"] == 2


def test_what_a_supervisor_is_told_is_what_was_asked_for() -> None:
    for wanted in (request(), request(("outside",), stage="base", x=None, first="maria")):
        told = json.loads(json.dumps(told_of(wanted)))
        assert request_of(told) == wanted


def test_a_supervisor_reserves_what_its_environment_needs_where_the_images_are(manager: Engine, daemon: Docker) -> None:
    made = services.supervisor("sha256:1", request(), Reserve(), "labenv.has-1", services.secrets(manager))
    assert made.constraints == ["node.labels.labenv.has-1==yes"]
    assert made.memory >= MEMORY
    assert 0 < made.processors < 1
    given = services.supervisor(
        "sha256:1", request(), Reserve(300 << 20, 0.5), "labenv.has-1", services.secrets(manager)
    )
    assert (given.memory, given.processors) == (300 << 20, 0.5)
    swarm.ensure(manager, given)
    template = daemon.made["labenv-supervisor-anna"]["Spec"]["TaskTemplate"]
    assert template["Resources"]["Reservations"] == {"MemoryBytes": 300 << 20, "NanoCPUs": 500_000_000}
    assert template["Placement"]["Constraints"] == given.constraints
    assert [each["Target"] for each in template["Networks"]] == ["host"]
    container = template["ContainerSpec"]
    assert container["Image"] == "sha256:1"
    assert {each["File"]["Name"] for each in container["Secrets"]} == {words.CERTIFICATE, words.TOKEN}
    assert {each["File"]["Mode"] for each in container["Secrets"]} == {0o400}
    assert container["StopGracePeriod"] >= 60 * 1_000_000_000
    assert "Privileged" not in json.dumps(template)
    token = setup.content(words.TOKEN)
    assert token.decode() not in json.dumps(daemon.made, default=str), "who may list services sees no token"
    assert token in daemon.kept.values()


def test_the_keeper_runs_here_as_this_user_and_alone_has_the_key(manager: Engine, state: Path) -> None:
    keeper, warden = services.keeper(manager, "sha256:1"), services.warden(manager, "sha256:1")
    assert keeper.constraints == ["node.id==id1"]
    assert keeper.user == f"{os.geteuid()}:{os.getegid()}"
    assert keeper.binds == {str(state): "/state/labenv"}
    assert set(keeper.secrets.values()) == {words.CERTIFICATE, words.TOKEN, words.KEY}
    assert set(warden.secrets.values()) == {words.CERTIFICATE, words.TOKEN}
    assert warden.replicas is None
    assert warden.environment[words.EVERY] == "300"
    assert warden.environment[words.KEEPER] == f"https://{ADDRESS}:{words.PORT}"
    assert services.keeper(manager, "sha256:1") == keeper


def test_the_keeper_has_the_places_of_all_classes_and_the_wardens_push_as_often_as_one_wants(
    manager: Engine, daemon: Docker, tmp_path: Path
) -> None:
    there = tmp_path / "a place"
    there.mkdir()
    (tmp_path / "s3.json").write_text('{"region": "x"}')
    wishes.keep("ops", Wish(f"file://{there}", "", 600))
    wishes.keep("sec", Wish("s3://bucket/x", str(tmp_path / "s3.json"), 90))
    wishes.keep("net", Wish())
    keeper = services.keeper(manager, "sha256:1")
    assert json.loads(keeper.environment[words.PLACES]) == [f"file://{there}", "s3://bucket/x"]
    assert keeper.binds[str(there)] == str(there)
    [secret] = [name for name, file in keeper.secrets.items() if file == f"{words.PLACE}-1"]
    assert daemon.kept[secret] == b'{"region": "x"}'
    assert services.warden(manager, "sha256:1").environment[words.EVERY] == "90"
    assert services.keeper(manager, "sha256:1") == keeper
    there.rmdir()
    with pytest.raises(UsageError, match=f"copies of the class ops is no folder here: {there}. Make it"):
        services.keeper(manager, "sha256:1")
    there.mkdir()
    (tmp_path / "s3.json").unlink()
    with pytest.raises(
        UsageError, match=r"s3\.json, the settings of the place for copies of the class sec, cannot be read"
    ):
        services.keeper(manager, "sha256:1")


def test_a_secret_stands_for_its_content(manager: Engine, daemon: Docker) -> None:
    first = setup.keep(manager, words.PLACE, b"one")
    assert setup.keep(manager, words.PLACE, b"one") == first
    assert setup.keep(manager, words.PLACE, b"two") != first
    assert list(daemon.kept.values()) == [b"one", b"two"]


def test_two_that_keep_the_same_secret_at_once_are_right_both(manager: Engine, daemon: Docker) -> None:
    name = setup.keep(manager, words.PLACE, b"one")
    content = daemon.kept.pop(name)

    def other() -> None:
        daemon.kept[name] = content

    daemon.meanwhile = other
    assert setup.keep(manager, words.PLACE, b"one") == name


def test_two_that_make_the_same_service_at_once_are_right_both(manager: Engine, daemon: Docker) -> None:
    wanted = services.warden(manager, "sha256:1")
    swarm.ensure(manager, wanted)
    made = daemon.made.pop(wanted.name)

    def other() -> None:
        daemon.made[wanted.name] = made

    daemon.meanwhile = other
    assert not swarm.ensure(manager, wanted)

    def newer() -> None:
        daemon.made[wanted.name]["Version"]["Index"] += 1
        daemon.meanwhile = lambda: None

    daemon.meanwhile = newer
    assert swarm.ensure(manager, replace(wanted, image="sha256:2"))


def test_a_node_that_changes_meanwhile_gets_its_label_nevertheless(manager: Engine, daemon: Docker) -> None:
    daemon.made["id1"] = {"Version": {"Index": 1}, "Spec": {"Labels": {"a": "b"}, "Availability": "active"}}
    node = swarm.Node("id1", "n1", ADDRESS, "ready", "active", True, "28", 2, 1 << 30)

    def newer() -> None:
        daemon.made["id1"]["Version"]["Index"] += 1
        daemon.meanwhile = lambda: None

    daemon.meanwhile = newer
    swarm.set_label(manager, node, "c", "d")
    daemon.meanwhile = newer
    swarm.set_availability(manager, node, "drain")
    assert daemon.made["id1"]["Spec"] == {"Labels": {"a": "b", "c": "d"}, "Availability": "drain"}

    def always() -> None:
        daemon.made["id1"]["Version"]["Index"] += 1

    daemon.meanwhile = always
    with pytest.raises(EngineError, match="out of sequence"):
        swarm.set_label(manager, node, "c", "e")


def test_whose_a_supervisor_is_stands_on_it(manager: Engine) -> None:
    assert services.classes(manager) == {}
    swarm.ensure(manager, services.supervisor("sha256:1", request(), Reserve(), "l", services.secrets(manager)))
    other = request(student_id="bob", belongs=Belonging("sec", Allowance()))
    swarm.ensure(manager, services.supervisor("sha256:1", other, Reserve(), "l", services.secrets(manager)))
    swarm.ensure(manager, services.warden(manager, "sha256:1"))
    assert services.classes(manager) == {"anna": "ops", "bob": "sec"}
    assert services.students(manager, "ops") == {"anna": "id of labenv-supervisor-anna"}


def test_a_service_that_does_not_exist_has_no_tasks(manager: Engine) -> None:
    assert swarm.tasks(manager, service="labenv-supervisor-zoe") == []


# Making a swarm.


@pytest.fixture
def ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """labenv's own image is there, and the keeper listens as soon as it runs."""
    monkeypatch.setattr(images, "ready", lambda *_: "sha256:1")
    monkeypatch.setattr(socket, "create_connection", lambda *_: SimpleNamespace(close=lambda: None))


def running(daemon: Docker, *before: tuple[str, str, str]) -> Docker:
    daemon.states_of_keeper = [*before, ("now", "running", "")]
    return daemon


@pytest.mark.usefixtures("ready")
def test_typed_again_it_says_the_same_and_changes_nothing() -> None:
    daemon = running(Docker(states=["inactive"]))
    made = init.init(engine(daemon), "", silent)
    assert made.is_new
    assert (made.address, made.token) == (ADDRESS, "SWMTKN-1")
    assert daemon.done == ["init", words.KEEPER_SERVICE, words.WARDEN_SERVICE]
    again = init.init(engine(daemon), "", silent)
    assert again == replace(made, is_new=False)
    assert len(daemon.done) == 3


@pytest.mark.usefixtures("ready")
@pytest.mark.parametrize("number", range(8))
def test_interrupted_between_two_steps_it_is_finished_by_the_next(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = running(Docker(states=["inactive"]))
    left = [number]

    def interrupted() -> None:
        left[0] -= 1
        if left[0] < 0:
            daemon.meanwhile = lambda: None
            raise KeyboardInterrupt

    daemon.meanwhile = interrupted
    try:
        init.init(engine(daemon), "", silent)
    except KeyboardInterrupt:
        pass
    else:
        assert number > 4, "each step can be interrupted"
    daemon.meanwhile = lambda: None
    made = init.init(engine(daemon), "", silent)
    assert made.address == ADDRESS
    assert sorted(daemon.made) == [words.KEEPER_SERVICE, words.WARDEN_SERVICE]


@pytest.mark.usefixtures("ready")
@pytest.mark.parametrize("states", [["pending", "pending", "active"], ["pending", "inactive", "inactive"]])
def test_a_swarm_that_is_just_made_is_waited_for(states: list[str]) -> None:
    daemon = running(Docker(states=states))
    made = init.init(engine(daemon), "", silent)
    assert made.is_new == ("inactive" in states)
    assert sorted(daemon.made) == [words.KEEPER_SERVICE, words.WARDEN_SERVICE]


@pytest.mark.usefixtures("ready")
def test_of_two_inits_at_once_one_makes_the_swarm_and_both_are_right() -> None:
    daemon = running(Docker(states=["inactive"]))

    def other() -> None:
        daemon.states = ["pending", "active"]
        daemon.meanwhile = lambda: None

    daemon.meanwhile = other
    made = init.init(engine(daemon), "", silent)
    assert not made.is_new
    assert made.address == ADDRESS


@pytest.mark.usefixtures("ready")
def test_what_is_no_manager_is_told_so() -> None:
    daemon = Docker(states=["locked"])
    with pytest.raises(UsageError, match=r"in a swarm already, which it does not manage \(its state there is locked\)"):
        init.init(engine(daemon), "", silent)
    assert daemon.done == []


@pytest.mark.usefixtures("ready")
@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("could not choose an IP address to advertise since this system has multiple addresses", "--address ADDRESS"),
        ("firewall backend nftables does not support swarm", "Docker has no swarm mode while it uses nftables itself"),
        ("something else", "making the swarm: something else"),
    ],
)
def test_what_docker_refuses_is_said_with_a_way_out(said: str, told: str) -> None:
    daemon = Docker(states=["inactive"])

    def refuse() -> None:
        raise refused(500, said)

    daemon.meanwhile = refuse
    with pytest.raises(LabenvError, match=told):
        init.init(engine(daemon), "", silent)


@pytest.mark.usefixtures("ready")
def test_what_once_kept_the_keeper_from_starting_is_old() -> None:
    old = tuple((f"old{number}", "failed", "port is taken") for number in range(5))
    daemon = running(Docker(), *old)
    daemon.made[words.KEEPER_SERVICE] = {"ID": "x", "Version": {"Index": 1}, "Spec": {"Labels": {}}}
    daemon.states_of_keeper[-1] = ("now", "starting", "")
    looks: list[int] = []

    def tasks(*, filters: dict[str, list[str]]) -> list[dict[str, Any]]:
        looks.append(1)
        if len(looks) == 3:
            daemon.states_of_keeper[-1] = ("now", "running", "")
        return Docker.tasks(daemon, filters=filters)

    daemon.tasks = tasks  # type: ignore[method-assign]
    init.init(engine(daemon), "", silent)
    assert len(looks) == 3


@pytest.mark.usefixtures("ready")
def test_a_keeper_that_does_not_start_says_why() -> None:
    daemon = Docker()
    count = iter(range(100))

    def tasks(*, filters: dict[str, list[str]]) -> list[dict[str, Any]]:
        daemon.states_of_keeper.append((f"id{next(count)}", "failed", "task: non-zero exit (1)"))
        return Docker.tasks(daemon, filters=filters)

    daemon.tasks = tasks  # type: ignore[method-assign]
    with pytest.raises(EngineError, match=r"cannot be started: task: non-zero exit \(1\)\. Is port 23764 free here"):
        init.init(engine(daemon), "", silent)


def test_a_node_with_environments_is_drained_before_it_leaves() -> None:
    daemon = Docker(on_node=2)
    daemon.inspect_swarm = lambda: (_ for _ in ()).throw(refused(503, "no manager"))  # type: ignore[method-assign]
    for leaves in (init.leaving, lambda it: init.leave(it, silent)):
        with pytest.raises(UsageError, match=r"This node has 2 environments.* labenv swarm drain n1"):
            leaves(engine(daemon))
    assert daemon.done == []
    daemon.on_node = 0
    assert init.leaving(engine(daemon)) == "have this server leave its swarm"
    init.leave(engine(daemon), silent)
    assert daemon.done == ["leave"]


def test_a_manager_ends_what_there_is_and_forgets_the_swarm(manager: Engine, daemon: Docker) -> None:
    swarm.ensure(manager, services.warden(manager, "sha256:1"))
    swarm.ensure(manager, services.supervisor("sha256:1", request(), Reserve(), "l", services.secrets(manager)))
    assert "push and remove 1 environment, end 2 services" in init.leaving(manager)
    init.leave(manager, silent)
    assert daemon.made == {}
    assert daemon.done[-1] == "leave"
    assert not leases.is_kept()
    with pytest.raises(EngineError, match="This engine is in no swarm"):
        init.leaving(manager)


# What waits between `begin` and `end`.


@pytest.fixture
def shell(tmp_path: Path) -> Callable[[str], "subprocess.Popen[str]"]:
    """Runs a supervisor's shell, with a python3 that does what it is told and writes down what it was asked for."""

    def run(begin: str) -> "subprocess.Popen[str]":
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        (folder / "python3").write_text(
            f'#!/bin/sh\ntrap "" TERM\necho "$3" >> {tmp_path}/asked\n[ "$3" = end ] && exit 0\n{begin}\n'
        )
        (folder / "python3").chmod(0o755)
        (folder / "sleep").symlink_to(shutil.which("sleep") or "")
        (tmp_path / "slots").mkdir(exist_ok=True)
        script = services._SUPERVISE.replace("idles=15", "idles=0.5").replace("/slots/", f"{tmp_path}/slots/")
        return subprocess.Popen(["sh", "-c", script], env={"PATH": f"{folder}:/usr/bin:/bin"}, text=True)

    return run


def asked(tmp_path: Path, count: int = 1) -> list[str]:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if (tmp_path / "asked").exists() and len(lines := (tmp_path / "asked").read_text().split()) >= count:
            return lines
        time.sleep(0.02)
    return pytest.fail("nothing was asked")


def test_what_is_up_ends_when_swarm_says_so(shell: Any, tmp_path: Path) -> None:
    running = shell("exit 0")
    asked(tmp_path)
    time.sleep(0.5)
    assert running.poll() is None
    running.send_signal(signal.SIGTERM)
    assert running.wait(20) == 0
    assert asked(tmp_path, 2) == ["begin", "end"]


@pytest.mark.parametrize("rc", [0, 1])
def test_what_has_begun_is_finished_before_it_ends(shell: Any, tmp_path: Path, rc: int) -> None:
    running = shell(f"sleep 1; echo finished >> {tmp_path}/asked; exit {rc}")
    asked(tmp_path)
    running.send_signal(signal.SIGTERM)
    running.send_signal(signal.SIGTERM)
    assert running.wait(20) == 0
    assert asked(tmp_path, 3) == ["begin", "finished", "end"]


def test_what_cannot_begin_is_tried_again_by_swarm(shell: Any, tmp_path: Path) -> None:
    running = shell("exit 3")
    assert running.wait(20) == 1
    assert asked(tmp_path) == ["begin"]


def test_a_signal_at_any_moment_ends_it(shell: Any, tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / "asked").unlink(missing_ok=True)
        shutil.rmtree(tmp_path / "bin", ignore_errors=True)
        running = shell("exit 0")
        asked(tmp_path)
        time.sleep(number * 0.004)
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 0
        assert asked(tmp_path, 2) == ["begin", "end"]
