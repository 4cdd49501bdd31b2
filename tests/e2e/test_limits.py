"""What one environment may use is limited, and the others do not notice that it tries to use more."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from labenv.computer import slowness
from labenv.engine import Engine
from labenv.engine.find import connect
from labenv.environment import container_name
from labenv.environments import plan
from labenv.environments.up import up
from labenv.events import silent
from labenv.lab import labs, topology
from tests.e2e import rig
from tests.e2e.conftest import Cli, take_down
from tests.e2e.test_second_engine import labenv

MACHINES = ("host", "vm2", "vm3")
SMALL = """
    mem_limit: 192m
    pids_limit: 300
    cpu_shares: 128
    tmpfs: ["/run:size=32m"]
    storage_opt:
      size: 3g
"""
BOMB = "bomb() { bomb | bomb & bomb; }; bomb"
HOG = "while :; do tail /dev/zero; done"
FLOOD = "yes flood | logger & yes flood | logger -p mail.info & wait"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped topology with limits of its own for each machine of the student."""
    text = topology.file_of(labs.load("lab4b")).read_text(encoding="utf-8")
    for name in MACHINES:
        text = text.replace(f"\n  {name}:\n", f"\n  {name}:{SMALL}")
    file = tmp_path_factory.mktemp("limits") / "small.yaml"
    file.write_text(text)
    return file


def host_config(engine: Engine, student: str, machine: str) -> dict[str, Any]:
    found: dict[str, Any] = engine.api.inspect_container(container_name(student, machine))["HostConfig"]
    return found


def asked(engine: Engine, student: str, machine: str) -> tuple[int, int, int]:
    """The limits of a machine on memory and processes, and its weight."""
    config = host_config(engine, student, machine)
    return config["Memory"], config["PidsLimit"], config["CpuShares"]


@pytest.fixture(scope="module")
def greedy(cli: Cli, new_student: Callable[[], str], small: Path) -> Iterator[str]:
    """An environment with small limits."""
    student = new_student()
    cli("up", student, "--no-check", "--topology", str(small))
    yield student
    cli("down", "-s", student, rc=None)


def test_a_machine_has_the_limits_of_its_topology(cli: Cli, engine: Engine, greedy: str) -> None:
    has = engine.facts.limits
    if not {"memory", "processes", "processor time"} <= has:
        pytest.skip("this engine cannot limit machines")
    assert asked(engine, greedy, "vm2") == (192 << 20, 300, 128)
    assert not host_config(engine, greedy, "vm2")["MemorySwap"] > 192 << 20
    sizes = cli.inside(greedy, "vm2", "df --output=size -B1 /run /run/lock").split()
    assert sizes[1:] == [str(32 << 20), str(4 << 20)]


def test_the_limits_of_an_older_machine_are_set_while_it_runs(cli: Cli, engine: Engine, student: str) -> None:
    if "memory" not in engine.facts.limits:
        pytest.skip("this engine cannot limit machines")
    before = Engine(connect(silent))
    before._facts = replace(engine.facts, limits=frozenset())  # as labenv did before it had limits
    up(before, plan.Request(student), silent)
    assert asked(engine, student, "vm2")[0] == 0
    booted = cli.inside(student, "vm2", "cat /proc/1/stat | cut -d' ' -f22")
    done = cli.json("up", student, "--no-check")
    assert (done["changes"], done["drifted"]) == ([f"limited {name}" for name in MACHINES], [])
    assert asked(engine, student, "vm2") == (1 << 30, 2048, 1024)
    assert cli.inside(student, "vm2", "cat /proc/1/stat | cut -d' ' -f22") == booted, "it was not restarted"
    assert cli.json("up", student, "--no-check")["changes"] == []


def test_root_in_a_machine_cannot_raise_its_limits(cli: Cli, engine: Engine, greedy: str) -> None:
    if engine.facts.cgroup != "2" or not engine.facts.limits or not engine.facts.delegates:
        pytest.skip("on cgroup v1 a machine sees no controller")
    least = cli.inside(
        greedy,
        "vm2",
        """
        find /sys/fs/cgroup -name pids.max -o -name memory.max | while read -r file; do echo max >$file; done 2>/dev/null
        folder=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/1/cgroup)
        while [ $folder != /sys/fs ]; do
            cat $folder/pids.max $folder/memory.max 2>/dev/null
            folder=${folder%/*}
        done
        """,
    ).split()
    assert {"300", str(192 << 20)} <= set(least), least


def test_a_bomb_a_hog_and_a_flood_leave_another_environment_alone(
    cli: Cli, engine: Engine, student: str, small: Path, finished: dict[str, Any]
) -> None:
    if not {"memory", "processes"} <= engine.facts.limits:
        pytest.skip("this engine cannot limit machines: a bomb would hit everybody")
    # An environment of this test's own: were it one of the module's, a second try would find the bomb of the first.
    cli("up", student, "--no-check", "--topology", str(small))
    for machine, evil in zip(MACHINES, (BOMB, HOG, FLOOD), strict=True):
        # At most two minutes, whatever happens to this test.
        cli.inside(student, machine, f"setsid timeout --signal=KILL 120 bash -c '{evil}' >/dev/null 2>&1 </dev/null &")
    deadline = time.monotonic() + 30 * slowness()
    while _tasks(engine, student, "host") < 290:
        assert time.monotonic() < deadline, "the bomb does not explode"
    done = cli("check", "-s", finished["student"])
    assert "All checks pass" in done.stdout
    assert _tasks(engine, student, "host") <= 300
    assert host_config(engine, student, "vm3")["LogConfig"]["Config"]["max-size"] == "1m", "of what a machine prints"
    began = time.monotonic()
    cli("down", "-s", student)
    assert time.monotonic() - began < 30 * slowness()


def _tasks(engine: Engine, student: str, machine: str) -> int:
    return len(engine.processes(container_name(student, machine)))


# -- what the kernel counts for all together --------------------------------------------------------------------------

SYSCTL = Path("/proc/sys/fs/inotify/max_user_instances")
# The file says 20 in there, and writing it changes nothing anywhere else. On a mount that is read-only, root cannot raise it.
PRESENTED = 'mount --bind "$1" {0} && {1} && shift && exec "$@"'
needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare"), reason="only root can show a process another sysctl"
)


def presented(tmp_path: Path, then: str, *arguments: str) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Run labenv where the kernel seems to have 20 inotify instances; returns what it said, and the file in the kernel's place."""
    file = tmp_path / "max_user_instances"
    file.write_text("20\n")
    command = ["unshare", "--mount", "sh", "-euc", PRESENTED.format(SYSCTL, then), "sh", str(file)]
    done = subprocess.run(
        [*command, sys.executable, "-m", "labenv", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"NO_COLOR": "1"},
        check=False,
    )
    return done, file


@needs_root
def test_where_machines_would_get_no_inotify_instance_none_is_made(
    engine: Engine, new_student: Callable[[], str], tmp_path: Path
) -> None:
    if not engine.is_local:
        pytest.skip("the engine has another kernel")
    students = [new_student() for _ in range(3)]
    done, _ = presented(tmp_path, f"mount -o remount,bind,ro {SYSCTL}", "up", *students, "--no-check")
    assert done.returncode == 3, done.stderr
    assert "There is no room for 9 more machines, so none was made." in done.stderr
    assert "sysctl -w fs.inotify.max_user_instances=1024" in done.stderr
    assert done.stderr.count("no room") == 1, "said once, not for each student"
    assert not [student for student in students if engine.environments(student)]


@needs_root
def test_root_raises_the_limit_and_says_how_to_keep_it(
    cli: Cli, engine: Engine, new_student: Callable[[], str], tmp_path: Path
) -> None:
    if not engine.is_local:
        pytest.skip("the engine has another kernel")
    students = [new_student() for _ in range(2)]
    done, file = presented(tmp_path, "true", "up", *students, "--no-check")
    for student in students:
        take_down(cli, engine, student)
    assert done.returncode == 0, done.stderr
    assert "raised fs.inotify.max_user_instances from 20 to 1024 for 6 more machines" in done.stderr
    assert "tee -a /etc/sysctl.d/60-labenv.conf" in done.stderr
    assert file.read_text() == "1024\n"


# -- a full disk ------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(rig.available() is not None, reason=rig.available() or "")
def test_a_machine_that_fills_the_disk_is_named_and_nothing_is_lost(
    bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with rig.cgroup2_engine(tmp_path_factory.mktemp("rig"), megabytes=900) as engine:
        labenv(engine, "images", "import", str(bundle))
        said = labenv(engine, "up", "filler", "--at", "lab4a", "--no-check").stderr
        assert "This engine cannot limit memory, processes, processor time and disk space" in said
        labenv(engine, "exec", "vm3", "--", "sh", "-c", "echo mine >/root/work")
        labenv(engine, "exec", "vm2", "--", "sh", "-c", "cat /dev/zero >/var/large; true")
        named = re.compile(r"The disk is full where the engine keeps its data .* filler uses 0\.\d GB \(vm2 0\.\d GB\)")
        assert named.search(labenv(engine, "status").stderr)
        assert named.search(labenv(engine, "doctor", rc=3).stdout)
        for command, code in (
            (["check"], 1),
            (["solve", "17"], 1),
            (["save", "much"], 3),
            (["reset", "vm3"], 3),
            (["up", "other", "--no-check"], 3),
        ):
            assert named.search(labenv(engine, *command, rc=code).stderr), command
        labenv(engine, "exec", "vm2", "--", "rm", "/var/large")
        assert "The disk" not in labenv(engine, "up", "filler").stderr, "all checks pass again"
        labenv(engine, "save", "much")
        assert labenv(engine, "exec", "vm3", "--", "cat", "/root/work").stdout == "mine\n"


@pytest.mark.skipif(rig.available() is not None, reason=rig.available() or "")
@pytest.mark.skipif(not shutil.which("mkfs.btrfs"), reason="needs a file system with quotas: install btrfs-progs")
def test_where_the_storage_driver_can_a_machine_fills_its_own_share_only(
    bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("limits") / "share.yaml"
    text = topology.file_of(labs.load("lab4b")).read_text(encoding="utf-8")
    file.write_text(text.replace("\n  vm2:\n", "\n  vm2:\n    storage_opt: {size: 600m}\n"))
    with rig.new_home(tmp_path_factory.mktemp("rig")) as home, disk_with_quotas(home), rig.running(home) as engine:
        labenv(engine, "images", "import", str(bundle))
        labenv(engine, "up", "share", "--no-check", "--topology", str(file))
        said = labenv(engine, "exec", "vm2", "--", "sh", "-c", "cat /dev/zero >/var/large; true").stderr
        assert "Disk quota exceeded" in said
        assert int(labenv(engine, "exec", "vm2", "--", "stat", "-c", "%s", "/var/large").stdout) < 600 << 20
        labenv(engine, "exec", "vm3", "--", "sh", "-c", "head -c 1000000 /dev/zero >/root/work; sync")


@contextlib.contextmanager
def disk_with_quotas(home: Path) -> Iterator[None]:
    """A file as a disk for the data of the rig's engine, with a file system for which Docker's driver knows quotas."""
    image, data = home / "disk", home / "data"
    with image.open("wb") as file:
        file.truncate(2 << 30)
    subprocess.run(["mkfs.btrfs", "--quiet", str(image)], check=True, capture_output=True)
    data.mkdir()
    subprocess.run(["mount", "-o", "loop", str(image), str(data)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(data)], check=True)


@needs_root
def test_edits_wait_in_the_machines_while_the_disk_of_the_history_is_full(
    cli: Cli, student: str, tmp_path: Path
) -> None:
    small = tmp_path / "state"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(small)], check=True)
    try:
        here = Cli({"XDG_STATE_HOME": str(small)})
        here("up", student, "--at", "lab4a", "--no-check")
        assert "start" in here("history", "-s", student).stdout
        filler = small / "filler"
        with contextlib.suppress(OSError):
            filler.write_bytes(bytes(8_000_000))
        here.inside(student, "vm2", "echo '# mine' >>/etc/postfix/main.cf")
        said = here("check", "-s", student, rc=1).stderr
        assert "The disk is full: free some space." in said
        assert f"The disk is full where labenv keeps histories ({small}/labenv)" in said
        here("save", "much", "-s", student)
        filler.unlink()
        assert "# mine" in here("history", "-s", student, "--patch").stdout
        here("down", "-s", student)
    finally:
        subprocess.run(["umount", str(small)], check=True)
