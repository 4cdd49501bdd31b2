"""Finding, starting and installing an engine, on sockets and programs of the test's own."""

import hashlib
import json
import os
import platform
import signal
import socket
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labenv.computer import Computer
from labenv.engine import endpoint, start
from labenv.engine.advice import NoEngineError, for_none
from labenv.engine.find import Connection, connect
from labenv.errors import EngineError
from labenv.events import Event, silent
from tests.unit import stand_in

STAND_IN = Path(stand_in.__file__)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def computer_at(root: Path, *, uid: int = 0, platform: str = "linux", **environ: str) -> Computer:
    return Computer(root, {"PATH": "/usr/bin", "HOME": str(root / "home"), **environ}, uid, platform)


def socket_of(root: Path) -> Path:
    return root / "var/run/docker.sock"


def refused(computer: Computer, **options: Any) -> EngineError:
    with pytest.raises(EngineError) as caught:
        connect(silent, computer=computer, **options)
    assert caught.value.exit_code == 3
    return caught.value


def program(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def debian(root: Path) -> None:
    (root / "etc").mkdir(parents=True)
    (root / "etc/os-release").write_text('PRETTY_NAME="Debian GNU/Linux 12"\nID=debian\n')


@pytest.fixture
def dockerd(tmp_path: Path) -> Iterator[str]:
    """A dockerd that leaves its process id; ended after the test."""
    pid = tmp_path / "dockerd.pid"
    yield f"#!/bin/sh\necho $$ > {pid}\nexec {sys.executable} {STAND_IN} {socket_of(tmp_path)}\n"
    if pid.exists():
        os.kill(int(pid.read_text()), signal.SIGTERM)


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


@pytest.mark.parametrize("host", ["unix:///nowhere/engine.sock", "tcp://127.0.0.1:1", "ssh://me@there", "nonsense"])
def test_a_docker_host_without_an_engine_is_refused_by_name(tmp_path: Path, host: str) -> None:
    with stand_in.engine(socket_of(tmp_path)) as asked:
        error = refused(computer_at(tmp_path, DOCKER_HOST=host))
    assert f"DOCKER_HOST={host}" in str(error)
    assert asked == []


def test_ssh_gets_the_tunnel_to_type(tmp_path: Path) -> None:
    error = refused(computer_at(tmp_path, DOCKER_HOST="ssh://me@there"))
    assert "ssh -nNT -L /tmp/engine.sock:/var/run/docker.sock me@there" in str(error)


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
    assert "docker context 'lab', is not there" in str(error)
    assert "docker context use default" in str(error)
    assert asked == []


def test_an_unknown_context_is_refused_by_name(tmp_path: Path) -> None:
    assert "no docker context 'nix'" in str(refused(computer_at(tmp_path, DOCKER_CONTEXT="nix")))


def test_a_broken_context_file_is_a_sentence(tmp_path: Path) -> None:
    context(tmp_path / "config", "lab", "unix:///x", current=True)
    next((tmp_path / "config").rglob("meta.json")).write_text("{")
    assert "Docker's client settings cannot be read" in str(refused(computer_at(tmp_path)))


# -- what may be wrong with it ----------------------------------------------------------------------------------------


@pytest.fixture
def mute(tmp_path: Path) -> Iterator[Path]:
    """A socket that takes connections and says nothing."""
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
        f"Docker's socket {mute} gives no answer within 1 seconds.\nRestart the engine: service docker restart"
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
        assert "takes no more connections" in str(refused(computer_at(tmp_path)))


def test_another_engine_is_used_when_nobody_chose_and_it_is_said(
    tmp_path: Path, mute: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "_PROBE", 1)
    said: list[Event] = []
    with stand_in.engine(tmp_path / "run/podman/podman.sock"):
        found = connect(said.append, computer=computer_at(tmp_path))
    assert found.source.startswith("Podman's socket")
    assert [event.kind for event in said] == ["warn"]
    assert f"{mute} gives no answer" in said[0].message


def test_a_socket_that_nobody_serves_is_no_engine(tmp_path: Path) -> None:
    path = socket_of(tmp_path)
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(path))
    assert "none is installed" in str(refused(computer_at(tmp_path), start=False))


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
    assert "answers, but not as a container engine does" in str(error)


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


# -- starting and installing ------------------------------------------------------------------------------------------


def test_an_installed_engine_is_started_and_outlives_the_command(tmp_path: Path, dockerd: str) -> None:
    program(tmp_path / "usr/sbin/dockerd", dockerd)
    said: list[Event] = []
    found = connect(said.append, computer=computer_at(tmp_path))
    assert found.version["Version"] == stand_in.VERSION["Version"]
    assert [event.kind for event in said] == ["start", "done"]
    process = int((tmp_path / "dockerd.pid").read_text())
    assert os.getsid(process) == process  # a session of its own: no signal of this terminal reaches it


def test_a_started_engine_finds_what_lies_in_sbin(tmp_path: Path) -> None:
    program(tmp_path / "usr/sbin/dockerd", "#!/bin/sh\necho PATH is $PATH; exit 1\n")
    assert "PATH is /usr/bin:/usr/local/sbin:/usr/sbin:/sbin" in str(refused(computer_at(tmp_path)))


def test_nothing_is_started_when_not_asked_to(tmp_path: Path, dockerd: str) -> None:
    program(tmp_path / "usr/sbin/dockerd", dockerd)
    assert "installed but does not run" in str(refused(computer_at(tmp_path), start=False))
    assert not (tmp_path / "dockerd.pid").exists()


def test_an_engine_that_dies_is_given_up_at_once_with_its_last_words(tmp_path: Path) -> None:
    program(tmp_path / "usr/sbin/dockerd", "#!/bin/sh\necho no room for the graph; exit 3\n")
    began = time.monotonic()
    error = refused(computer_at(tmp_path))
    assert time.monotonic() - began < 5
    assert "ended with status 3" in str(error)
    assert "    no room for the graph" in str(error)


def test_an_engine_that_never_answers_is_given_up_and_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "_PATIENCE", 0.3)
    program(tmp_path / "usr/sbin/dockerd", f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 60\n")
    assert "after 0 seconds" in str(refused(computer_at(tmp_path)))
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_the_next_way_is_taken_when_the_service_fails(tmp_path: Path, dockerd: str) -> None:
    program(tmp_path / "usr/sbin/dockerd", dockerd)
    program(tmp_path / "usr/sbin/service", "#!/bin/sh\necho ulimit refused; exit 2\n")
    program(tmp_path / "etc/init.d/docker", "")
    said: list[Event] = []
    connect(said.append, computer=computer_at(tmp_path))
    assert [event.kind for event in said] == ["start", "warn", "start", "done"]
    assert "ulimit refused" in said[1].message


def test_the_ways_depend_on_the_computer(tmp_path: Path) -> None:
    def commands(**options: Any) -> list[str]:
        return [" ".join(way.command) for way in start.ways(computer_at(tmp_path, **options))]

    assert commands() == []
    podman = f"{tmp_path}/usr/bin/podman"
    program(Path(podman), "")
    by_hand = f"{podman} system service --time=0 unix://{tmp_path}/run/podman/podman.sock"
    assert commands() == [by_hand]
    assert commands(uid=1000) == []  # without a runtime folder there is no place for its socket
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    assert commands() == ["systemctl start podman.socket", by_hand]
    assert commands(uid=1000, XDG_RUNTIME_DIR="/r")[0] == "systemctl --user start podman.socket"
    program(tmp_path / "usr/sbin/dockerd", "")
    assert commands() == ["systemctl start docker"]
    assert commands(uid=1000) == []
    program(tmp_path / "home/.config/systemd/user/docker.service", "")
    assert commands(uid=1000, XDG_RUNTIME_DIR="/r") == ["systemctl --user start docker"]
    assert commands(platform="darwin") == []


@pytest.fixture
def archive(tmp_path: Path, dockerd: str) -> Path:
    """A Debian whose apt-get notes what it is asked and installs a dockerd; returns its notes."""
    debian(tmp_path)
    notes = tmp_path / "apt.log"
    (tmp_path / "dockerd").write_text(dockerd)
    program(
        tmp_path / "usr/bin/apt-get",
        f"#!/bin/sh\necho $DEBIAN_FRONTEND $@ >> {notes}\necho working\n"
        f"case $* in *install*) mkdir -p {tmp_path}/usr/sbin; install -m755 {tmp_path}/dockerd {tmp_path}/usr/sbin/;; esac\n",
    )
    return notes


def test_debian_gets_docker_installed_said_first_unasked_without_a_terminal(tmp_path: Path, archive: Path) -> None:
    said: list[Event] = []
    connect(said.append, interactive=False, confirm=lambda _: pytest.fail("asked"), computer=computer_at(tmp_path))
    asked = archive.read_text().splitlines()
    assert asked[0].endswith("update")
    assert asked[1].endswith("install -y --no-install-recommends docker.io iptables")
    assert all(line.startswith("noninteractive ") for line in asked)
    assert said[0].kind == "note"
    assert said[0].message == (
        "no container engine is installed; labenv needs docker.io and iptables from Debian GNU/Linux 12"
    )
    assert [event.kind for event in said[1:]] == ["start", "log", "log", "done", "start", "done"]


def test_in_a_terminal_yes_installs(tmp_path: Path, archive: Path) -> None:
    questions: list[str] = []

    def yes(question: str) -> bool:
        questions.append(question)
        return True

    connect(silent, interactive=True, confirm=yes, computer=computer_at(tmp_path))
    assert questions == ["Install docker.io and iptables with apt-get?"]


@pytest.mark.parametrize("confirm", [None, lambda _: False])
def test_in_a_terminal_nothing_is_installed_without_a_yes(tmp_path: Path, archive: Path, confirm: Any) -> None:
    error = refused(computer_at(tmp_path), interactive=True, confirm=confirm)
    assert "apt-get install -y --no-install-recommends docker.io iptables" in str(error)
    assert not archive.exists()


def test_a_failing_installation_shows_its_last_lines(tmp_path: Path) -> None:
    debian(tmp_path)
    program(tmp_path / "usr/bin/apt-get", "#!/bin/sh\necho E: no space left on device; exit 100\n")
    error = refused(computer_at(tmp_path), interactive=False)
    assert "failed with status 100" in str(error)
    assert "    E: no space left on device" in str(error)


def test_apparmor_brings_its_parser(tmp_path: Path, archive: Path) -> None:
    (tmp_path / "sys/module/apparmor/parameters").mkdir(parents=True)
    (tmp_path / "sys/module/apparmor/parameters/enabled").write_text("Y\n")
    connect(silent, interactive=False, computer=computer_at(tmp_path))
    assert archive.read_text().splitlines()[1].endswith("docker.io iptables apparmor")


# -- the way out ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("release", "commands"),
    [
        ("ID=debian", ["sudo apt-get update && sudo apt-get install -y --no-install-recommends docker.io iptables"]),
        ("ID=linuxmint\nID_LIKE='ubuntu debian'", ["sudo apt-get install", "sudo service docker start"]),
        ("ID=fedora", ["sudo dnf install -y moby-engine", "sudo usermod -aG docker"]),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"', ["sudo dnf install -y podman", "podman.sock"]),
        ("ID=arch", ["sudo pacman -S --needed docker"]),
        ("ID=nixos", ["docs.docker.com/engine/install"]),
    ],
)
def test_each_distribution_has_its_commands(tmp_path: Path, release: str, commands: list[str]) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text(release + "\n")
    error = for_none(computer_at(tmp_path, uid=1000))
    assert all(command in error.mend for command in commands)


def test_with_systemd_the_engine_is_enabled(tmp_path: Path) -> None:
    debian(tmp_path)
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    assert "sudo systemctl enable --now docker" in for_none(computer_at(tmp_path, uid=1000)).mend


def test_root_needs_no_sudo_and_joins_no_group(tmp_path: Path) -> None:
    debian(tmp_path)
    mend = for_none(computer_at(tmp_path)).mend
    assert "sudo" not in mend
    assert "usermod" not in mend


def test_macos_is_sent_to_docker_desktop(tmp_path: Path) -> None:
    mac = computer_at(tmp_path, uid=501, platform="darwin")
    assert "brew install --cask docker-desktop" in str(refused(mac))
    (tmp_path / "Applications/Docker.app").mkdir(parents=True)
    error = refused(mac)
    assert isinstance(error, NoEngineError)
    assert error.what == "Docker Desktop is installed but does not run."
    assert "open -a Docker" in error.mend


def test_wsl_may_use_docker_desktop(tmp_path: Path) -> None:
    debian(tmp_path)
    (tmp_path / "proc/sys/kernel").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/osrelease").write_text("5.15.0-microsoft-standard-WSL2\n")
    assert "WSL integration" in for_none(computer_at(tmp_path, uid=1000)).mend
