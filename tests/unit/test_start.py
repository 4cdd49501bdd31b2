"""Starting and installing an engine, with programs of the test's own, and the way out where that is impossible."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labenv.engine import start
from labenv.engine.advice import NoEngineError, for_none
from labenv.engine.find import connect
from labenv.events import Event, silent
from tests.unit import stand_in
from tests.unit.made_up import computer_at, debian, program, refused, socket_of

pytestmark = pytest.mark.usefixtures("unconfigured")

STAND_IN = Path(stand_in.__file__)


@pytest.fixture
def dockerd(tmp_path: Path) -> Iterator[str]:
    """A dockerd that leaves its process id; ended after the test."""
    pid = tmp_path / "dockerd.pid"
    yield f"#!/bin/sh\necho $$ > {pid}\nexec {shlex.join([sys.executable, str(STAND_IN), str(socket_of(tmp_path))])}\n"
    if pid.exists():
        os.kill(int(pid.read_text()), signal.SIGTERM)


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
    assert "installed but not running" in str(refused(computer_at(tmp_path), start=False))
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


@pytest.mark.parametrize("now", ["6052 (python3) S 1", "6052 (dockerd) Z 1", ""])
def test_what_a_killed_engine_left_does_not_hinder_the_next_whoever_has_its_number(
    tmp_path: Path, dockerd: str, now: str
) -> None:
    left = [tmp_path / "var/run/docker.pid", tmp_path / "var/run/docker/containerd/containerd.pid"]
    program(tmp_path / "usr/sbin/dockerd", dockerd.replace("\n", f"\n[ ! -e {left[0]} ] || exit 1\n", 1))
    left[1].parent.mkdir(parents=True)
    for file in left:
        file.write_text("6052")
    (tmp_path / "proc/6052").mkdir(parents=True)
    (tmp_path / "proc/6052/stat").write_text(now)
    said: list[Event] = []
    connect(said.append, computer=computer_at(tmp_path))
    assert [event.kind for event in said] == ["note", "note", "start", "done"]
    assert said[0].message == f"{left[0]} was left by a dockerd that has ended; removed it"
    assert not any(file.exists() for file in left)


def test_an_engine_that_another_command_is_starting_is_waited_for(tmp_path: Path, dockerd: str) -> None:
    program(tmp_path / "usr/sbin/dockerd", "#!/bin/sh\necho pid file found; exit 1\n")
    (tmp_path / "var/run").mkdir(parents=True)
    (tmp_path / "var/run/docker.pid").write_text("6052\n")
    (tmp_path / "proc/6052").mkdir(parents=True)
    (tmp_path / "proc/6052/stat").write_text("6052 (dockerd) S 1")
    program(tmp_path / "other", dockerd)
    with subprocess.Popen(["/bin/sh", "-c", f"sleep 1; exec {tmp_path}/other"]):
        assert connect(silent, computer=computer_at(tmp_path)).version["Version"] == stand_in.VERSION["Version"]
        os.kill(int((tmp_path / "dockerd.pid").read_text()), signal.SIGTERM)
        (tmp_path / "dockerd.pid").unlink()


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
    """A Debian whose apt-get records its arguments and installs a dockerd; returns the record."""
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
    assert error.what == "Docker Desktop is installed but not running."
    assert "open -a Docker" in error.mend


def test_wsl_may_use_docker_desktop(tmp_path: Path) -> None:
    debian(tmp_path)
    (tmp_path / "proc/sys/kernel").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/osrelease").write_text("5.15.0-microsoft-standard-WSL2\n")
    assert "WSL integration" in for_none(computer_at(tmp_path, uid=1000)).mend
