"""On an engine with cgroup v2 and without a network: a bundle is enough, and failures are reported and repaired."""

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from playwright.sync_api import BrowserContext, expect

from labenv.engine.image_sources import wanted
from tests.e2e import rig
from tests.e2e.pages import Served, opened, terminal

pytest_plugins = ["tests.e2e.pages"]
pytestmark = pytest.mark.skipif(rig.available() is not None, reason=rig.available() or "")

LABENV = (sys.executable, "-m", "labenv")
OPEN_FILES = "16384\n"
PLAIN = {"NO_COLOR": "1", "COLUMNS": "200"}


def labenv(engine: rig.Engine, *arguments: str, rc: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command line beside that engine; fail the test with its output if it does not end with `rc`."""
    done = engine.run([*LABENV, *arguments], check=False, timeout=300, env=PLAIN)
    screen = f"labenv {' '.join(arguments)} → {done.returncode}\n{done.stdout}{done.stderr}"
    assert done.returncode == rc, screen
    assert "Traceback" not in screen, screen
    return done


def containers(engine: rig.Engine) -> str:
    return engine.run(["docker", "ps", "--all", "--quiet"]).stdout


def limits(engine: rig.Engine, machine: str) -> str:
    """How many files processes of a machine may open at most (getrlimit(2)); systemd takes all for itself."""
    return labenv(engine, "exec", machine, "--", "awk", "/open files/ {print $5}", "/proc/1/limits").stdout


def networks(engine: rig.Engine) -> str:
    return engine.run(["docker", "network", "ls", "--quiet", "--filter", "label=labenv.student"]).stdout


@pytest.fixture
def student() -> str:
    return f"t-{secrets.token_hex(4)}"


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rig")


@pytest.fixture(scope="module")
def offline(workdir: Path, bundle: Path) -> Iterator[rig.Engine]:
    """The engine with the bundle imported, and an environment at stage done that has passed its checks.

    Its default number of open files is what some distributions had: more than this kernel grants, and far too many.
    """
    with rig.cgroup2_engine(workdir, nofile=1_073_741_816) as engine:
        labenv(engine, "images", "import", str(bundle))
        assert "checks passed" in labenv(engine, "up", "away").stdout
        yield engine


@pytest.fixture(scope="module")
def home(workdir: Path, bundle: Path) -> Iterator[Path]:
    """The files of an engine that has the images, and is started again by each test."""
    with rig.new_home(workdir) as home:
        with rig.running(home) as engine:
            labenv(engine, "images", "import", str(bundle))
        yield home


def test_without_images_and_network_up_names_the_way_out(workdir: Path) -> None:
    with rig.cgroup2_engine(workdir) as engine:
        said = labenv(engine, "up", "away", "--no-check", rc=3).stderr
        assert "labenv images import FILE" in said
        assert containers(engine) + networks(engine) == ""
        assert engine.run(["docker", "images", "--quiet"]).stdout == ""


def test_a_lab_from_a_bundle_works_without_a_network(offline: rig.Engine) -> None:
    assert offline.run(["ip", "route", "show", "default"]).stdout == ""
    assert "All checks pass" in labenv(offline, "check").stdout


def test_a_machine_comes_back_from_a_reboot_there(offline: rig.Engine) -> None:
    boot_id = ("exec", "vm3", "--", "systemctl", "show", "--property=UserspaceTimestamp")
    before = labenv(offline, *boot_id).stdout
    labenv(offline, "reboot", "vm3")
    assert labenv(offline, *boot_id).stdout != before
    assert "All checks pass" in labenv(offline, "check").stdout


def test_systemd_runs_there_with_no_power_over_the_host(offline: rig.Engine) -> None:
    for machine in ("host", "vm2", "vm3"):
        script = "cat /proc/1/comm; systemctl is-system-running --wait; awk '/CapEff/{print $2}' /proc/1/status"
        name, state, held = labenv(offline, "exec", machine, "--", "sh", "-c", script).stdout.split()
        assert (name, state) == ("systemd", "running")
        assert limits(offline, machine) == OPEN_FILES
        assert not int(held, 16) & 1 << 21, "CAP_SYS_ADMIN"


def test_only_its_own_cgroup_is_writable_there(offline: rig.Engine) -> None:
    script = """own=$(sed -n 's/^0:://p' /proc/1/cgroup | cut -d/ -f3)
        for folder in $(find /sys/fs/cgroup -type d); do
            mkdir $folder/evil 2>/dev/null && rmdir $folder/evil && echo $own $folder
        done; true"""
    for machine in ("vm2", "vm3"):
        written = [
            line.split() for line in labenv(offline, "exec", machine, "--", "sh", "-c", script).stdout.splitlines()
        ]
        assert written, "systemd needs a cgroup of its own"
        assert all(folder.startswith(f"/sys/fs/cgroup/labenv/{own}/machine") for own, folder in written)


def test_a_wall_that_something_removed_is_built_again_by_the_next_up_which_says_if_it_cannot(
    offline: rig.Engine,
) -> None:
    stands = [sys.executable, "-c", "from labenv.engine import wall; print(wall.stands())"]
    tag = wanted()["machine"].tag  # whose nft builds the wall
    nft = [
        "docker",
        "run",
        "--rm",
        "--ulimit=nofile=1024",
        "--network=host",
        "--cap-add=NET_ADMIN",
        "--entrypoint=nft",
        tag,
    ]
    remove = [*nft, "delete", "table", "inet", "labenv"]
    assert offline.run(stands).stdout == "True\n"
    offline.run(remove)
    assert offline.run(stands).stdout == "False\n"
    assert "Something has removed labenv's rules" in labenv(offline, "doctor").stdout
    labenv(offline, "up", "away", "--no-check")
    assert offline.run(stands).stdout == "True\n"
    assert "This computer is closed to the labs' networks" in labenv(offline, "doctor").stdout
    offline.run(remove)
    kept = offline.run(["docker", "image", "inspect", "--format={{.Id}}", tag]).stdout.strip()
    made = offline.run(
        ["docker", "create", "--ulimit=nofile=1024", "--entrypoint=rm", tag, "/usr/sbin/nft"]
    ).stdout.strip()
    offline.run(["docker", "start", "--attach", made])
    offline.run(["docker", "commit", made, tag])
    offline.run(["docker", "rm", made])
    try:
        said = labenv(offline, "up", "away", "--no-check").stderr
    finally:
        offline.run(["docker", "tag", kept, tag])
    assert "a machine can reach the engine's computer" in said
    assert "labenv doctor --rules | nft -f -" in said
    labenv(offline, "up", "away")
    assert offline.run(stands).stdout == "True\n"


def test_down_leaves_nothing_there(offline: rig.Engine, student: str) -> None:
    labenv(offline, "up", student, "--no-check")
    labenv(offline, "down", "-s", student)
    labenv(offline, "down", "-s", "away")
    assert containers(offline) + networks(offline) == ""
    assert offline.run(["find", "/sys/fs/cgroup", "-name", "*labenv*"]).stdout == ""


@pytest.mark.parametrize(("event", "count"), [("create", 1), ("create", 3), ("start", 1), ("start", 3)])
def test_an_engine_that_dies_in_the_middle_is_said_and_the_next_up_finishes(
    home: Path, student: str, event: str, count: int
) -> None:
    with rig.running(home) as engine:
        client = docker.DockerClient(engine.docker_host)
        moments = client.events(decode=True, filters={"type": "container", "event": event})
        with subprocess.Popen(
            engine.inside([*LABENV, "up", student]),
            env=engine.environment | PLAIN,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as interrupted:
            for _ in range(count):
                next(moments)
            os.kill(engine.pid, signal.SIGKILL)
            said = interrupted.communicate(timeout=120)[1]
        client.close()
    assert interrupted.returncode == 3, said
    assert "The engine stopped answering while" in said
    assert "Traceback" not in said
    with rig.running(home, nofile=1024) as engine:
        assert "checks passed" in labenv(engine, "up", student).stdout
        assert limits(engine, "vm3") == OPEN_FILES
        labenv(engine, "down", "-s", student)
        assert containers(engine) + networks(engine) == ""


def test_a_page_says_that_the_engine_is_gone_and_goes_on_by_itself_once_it_is_back(
    home: Path, student: str, context: BrowserContext
) -> None:
    with rig.running(home) as engine:
        labenv(engine, "up", student, "--at", "domain", "--no-check")
        served = Served(student, environ=engine.environment)
        served.start()
        page = opened(context, served)
        page.evaluate("window.before = true")
        ahead = page.get_by_label("Next", exact=True)
        expect(ahead).to_contain_text("Step 17")
    try:
        expect(ahead).to_contain_text("engine")
        with rig.running(home) as engine:
            labenv(engine, "up", student, "--no-check")
            expect(ahead).to_contain_text("Step 17")
            terminal(page, "vm2")
            assert page.evaluate("window.before")  # nobody has read the page again
            labenv(engine, "down", "-s", student)
    finally:
        served.stop()


def test_a_full_disk_is_said_and_the_next_command_goes_on(home: Path, student: str, bundle: Path) -> None:
    with rig.running(home, megabytes=900) as engine:
        filler = engine.data / "filler"

        def fill(kilobytes: int) -> None:
            """Leave that much space."""
            room = int(engine.run(["df", "--output=avail", str(engine.data)]).stdout.split()[1])
            engine.run(["fallocate", "--length", f"{room - kilobytes}KiB", str(filler)])

        fill(200_000)
        assert "The disk is full" in labenv(engine, "images", "import", str(bundle), rc=3).stderr
        assert engine.run(["docker", "images", "--all", "--quiet"]).stdout == ""
        engine.run(["rm", str(filler)])
        labenv(engine, "images", "import", str(bundle))
        for room in (0, 100):  # too little to make a machine, and to start one
            fill(room)
            assert "The disk is full" in labenv(engine, "up", student, "--no-check", rc=3).stderr
            engine.run(["rm", str(filler)])
            assert containers(engine) + networks(engine) == ""
        labenv(engine, "up", student, "--no-check")
        for command in (["up", student, "--no-check"], ["down", "-s", student]):
            fill(0)
            engine.run(["docker", "kill", f"labenv-{student}-vm2", f"labenv-{student}-vm3"])  # as its list never says
            assert "The disk is full" in labenv(engine, "up", student, "--no-check", rc=3).stderr
            engine.run(["rm", str(filler)])
            labenv(engine, *command)
        assert containers(engine) + networks(engine) == ""
        labenv(engine, "images", "remove")
        assert engine.run(["docker", "images", "--all", "--quiet"]).stdout == ""
