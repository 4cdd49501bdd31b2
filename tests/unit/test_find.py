"""Finding an engine, with sockets and settings of the test's own."""

import hashlib
import json
import os
import platform
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from labenv.engine import endpoint
from labenv.engine.find import Connection, connect
from labenv.events import Event, silent
from tests.unit import stand_in
from tests.unit.made_up import computer_at, refused, socket_of

pytestmark = pytest.mark.usefixtures("unconfigured")

# -- where an engine is looked for ------------------------------------------------------------------------------------


def test_the_default_socket_is_used_with_one_question(tmp_path: Path) -> None:
    with stand_in.engine(socket_of(tmp_path)) as asked:
        found = connect(silent, computer=computer_at(tmp_path))
    assert found.source == f"Docker's socket {socket_of(tmp_path)}"
    assert asked == ["/version"]


@pytest.mark.parametrize(
    ("place", "word"),
    [
        ("runtime/docker.sock", "rootless Docker"),
        ("home/.docker/run/docker.sock", "Docker Desktop"),
        ("home/.docker/desktop/docker.sock", "Docker Desktop"),
        ("runtime/podman/podman.sock", "Podman"),
        ("run/podman/podman.sock", "Podman"),
    ],
)
def test_other_usual_sockets_are_found(tmp_path: Path, place: str, word: str) -> None:
    with stand_in.engine(tmp_path / place):
        found = connect(silent, computer=computer_at(tmp_path, XDG_RUNTIME_DIR=str(tmp_path / "runtime")))
    assert found.source.startswith(word)
    assert found.source.endswith(place)


def test_docker_host_goes_before_everything(tmp_path: Path) -> None:
    elsewhere = tmp_path / "else.sock"
    with stand_in.engine(socket_of(tmp_path)), stand_in.engine(elsewhere):
        found = connect(silent, computer=computer_at(tmp_path, DOCKER_HOST=f"unix://{elsewhere}"))
    assert found.source == f"DOCKER_HOST=unix://{elsewhere}"


@pytest.mark.parametrize("host", ["unix:///nowhere/engine.sock", "tcp://127.0.0.1:1", "ssh://me@", "nonsense"])
def test_a_docker_host_without_an_engine_is_refused_by_name(tmp_path: Path, host: str) -> None:
    with stand_in.engine(socket_of(tmp_path)) as asked:
        error = refused(computer_at(tmp_path, DOCKER_HOST=host))
    assert f"DOCKER_HOST={host}" in str(error)
    assert asked == []


def context(config: Path, name: str, host: str, *, current: bool) -> None:
    folder = config / "contexts/meta" / hashlib.sha256(name.encode()).hexdigest()
    folder.mkdir(parents=True)
    meta = {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False}}}
    (folder / "meta.json").write_text(json.dumps(meta))
    (config / "config.json").write_text(json.dumps({"currentContext": name} if current else {}))


def test_the_current_context_is_used(tmp_path: Path) -> None:
    context(tmp_path / "config", "lab", f"unix://{tmp_path}/lab.sock", current=True)
    with stand_in.engine(socket_of(tmp_path)), stand_in.engine(tmp_path / "lab.sock"):
        assert connect(silent, computer=computer_at(tmp_path)).source == "docker context 'lab'"


def test_docker_context_names_one(tmp_path: Path) -> None:
    context(tmp_path / "config", "lab", f"unix://{tmp_path}/lab.sock", current=False)
    with stand_in.engine(tmp_path / "lab.sock"):
        found = connect(silent, computer=computer_at(tmp_path, DOCKER_CONTEXT="lab"))
    assert found.source == "docker context 'lab'"


def test_a_context_without_an_engine_is_refused_by_name(tmp_path: Path) -> None:
    context(tmp_path / "config", "lab", f"unix://{tmp_path}/lab.sock", current=True)
    with stand_in.engine(socket_of(tmp_path)) as asked:
        error = refused(computer_at(tmp_path))
    assert "docker context 'lab', does not exist" in str(error)
    assert "docker context use default" in str(error)
    assert asked == []


def test_a_context_may_lead_over_ssh(tmp_path: Path) -> None:
    context(tmp_path / "config", "lab", "ssh://me@", current=True)
    assert "docker context 'lab', is no address that labenv knows" in str(refused(computer_at(tmp_path)))


def test_an_unknown_context_is_refused_by_name(tmp_path: Path) -> None:
    assert "no docker context 'nix'" in str(refused(computer_at(tmp_path, DOCKER_CONTEXT="nix")))


def test_a_broken_context_file_is_a_sentence(tmp_path: Path) -> None:
    context(tmp_path / "config", "lab", "unix:///x", current=True)
    next((tmp_path / "config").rglob("meta.json")).write_text("{")
    assert "Docker's client settings cannot be read" in str(refused(computer_at(tmp_path)))


# -- what may be wrong with it ----------------------------------------------------------------------------------------


@pytest.fixture
def mute(tmp_path: Path) -> Iterator[Path]:
    """A socket that accepts connections and sends nothing."""
    path = socket_of(tmp_path)
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        yield path


def test_an_engine_that_hangs_does_not_hang_labenv(tmp_path: Path, mute: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "_PROBE", 1)
    began = time.monotonic()
    error = refused(computer_at(tmp_path))
    assert time.monotonic() - began < 3
    assert str(error) == (
        f"Docker's socket {mute} does not answer within 1 seconds.\nRestart the engine: service docker restart"
    )


def test_an_engine_that_takes_no_connection_does_not_hang_labenv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "_PROBE", 1)
    path = socket_of(tmp_path)
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as first:
        listening.bind(str(path))
        listening.listen(0)
        first.connect(str(path))  # the queue is full
        assert "accepts no more connections" in str(refused(computer_at(tmp_path)))


def test_another_engine_is_used_when_nobody_chose_and_it_is_said(
    tmp_path: Path, mute: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "_PROBE", 1)
    said: list[Event] = []
    with stand_in.engine(tmp_path / "run/podman/podman.sock"):
        found = connect(said.append, computer=computer_at(tmp_path))
    assert found.source.startswith("Podman's socket")
    assert [event.kind for event in said] == ["warn"]
    assert f"{mute} does not answer" in said[0].message


def test_a_socket_that_nobody_serves_is_no_engine(tmp_path: Path) -> None:
    path = socket_of(tmp_path)
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(path))
    assert "No container engine is running or installed" in str(refused(computer_at(tmp_path), start=False))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may use every socket")
def test_a_forbidden_socket_gets_the_group_to_join(tmp_path: Path) -> None:
    with stand_in.engine(socket_of(tmp_path)):
        socket_of(tmp_path).chmod(0)
        error = refused(computer_at(tmp_path, uid=os.geteuid()))
    assert "this user may not use it" in str(error)
    assert "sudo usermod -aG" in str(error)


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b'{"Version": "1"}', b'{"ApiVersion": "new"}'])
def test_what_is_no_engine_is_told_so(tmp_path: Path, answer: bytes) -> None:
    with stand_in.engine(tmp_path / "odd.sock", answer):
        error = refused(computer_at(tmp_path, DOCKER_HOST=f"unix://{tmp_path}/odd.sock"))
    assert "answers, but is not a container engine" in str(error)


def test_an_engine_that_is_too_old_is_told_so(tmp_path: Path) -> None:
    with stand_in.engine(socket_of(tmp_path), {**stand_in.VERSION, "Version": "19.03.15", "ApiVersion": "1.40"}):
        error = refused(computer_at(tmp_path))
    assert "(19.03.15) speaks API 1.40. labenv needs Docker 20.10 or newer" in str(error)


def test_windows_containers_are_told_so(tmp_path: Path) -> None:
    with stand_in.engine(socket_of(tmp_path), {**stand_in.VERSION, "Os": "windows"}):
        assert "Switch Docker Desktop to Linux containers" in str(refused(computer_at(tmp_path)))


@pytest.mark.parametrize(
    ("server", "least", "spoken"),
    [("1.41", "1.12", "1.41"), ("1.44", "1.24", "1.44"), ("1.55", "1.40", "1.44"), ("1.60", "1.48", "1.48")],
)
def test_the_api_version_is_one_that_both_sides_know(tmp_path: Path, server: str, least: str, spoken: str) -> None:
    with stand_in.engine(socket_of(tmp_path), {**stand_in.VERSION, "ApiVersion": server, "MinAPIVersion": least}):
        assert connect(silent, computer=computer_at(tmp_path)).client.api.api_version == spoken


def test_an_engine_is_local_on_the_same_kernel_only(tmp_path: Path) -> None:
    def found(kernel: str) -> Connection:
        with stand_in.engine(socket_of(tmp_path), {**stand_in.VERSION, "KernelVersion": kernel}):
            return connect(silent, computer=computer_at(tmp_path))

    assert found(platform.release()).is_local
    assert not found("6.6-linuxkit").is_local
