"""Which limits a machine gets, on which engine; what the kernel counts for all machines."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from labenv.computer import Computer
from labenv.engine import limits, recipe
from labenv.engine.labels import belonging_in, environment_labels
from labenv.engine.recipe import Facts
from labenv.environment import ALONE, Allowance, Belonging, Environment
from labenv.environments import plan, render, room
from labenv.errors import UsageError
from labenv.lab import labs, topology
from labenv.lab.topology import Limits
from labenv.student import Student

ANNA = Student("anna", 90, "smith", "secret")
ALL = frozenset(limits.NAMES)
KERNEL = {"MemoryLimit": True, "SwapLimit": True, "PidsLimit": True, "CPUShares": True}


def loaded(tmp_path: Path, keys: str) -> Limits:
    """The limits of host in the shipped topology with these keys added."""
    text = topology.file_of(labs.load("lab4b")).read_text().replace("    image: host\n", f"    image: host\n{keys}", 1)
    file = tmp_path / f"{len(list(tmp_path.iterdir()))}.yaml"
    file.write_text(text)
    return topology.load(file, ANNA).nodes[0].limits


def test_a_topology_sets_limits_in_the_words_of_compose(tmp_path: Path) -> None:
    keys = "    mem_limit: 512m\n    pids_limit: 400\n    cpu_shares: 2048\n    storage_opt: {size: 2gb}\n"
    assert loaded(tmp_path, keys) == Limits(512 << 20, 400, 2048, 2 << 30)
    assert loaded(tmp_path, '    tmpfs: ["/run:size=100000000"]\n') == Limits(run=100_000_000)
    assert loaded(tmp_path, "") == Limits()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("mem_limit: much", "'much' is not a limit"),
        ("mem_limit: 0", "'0' is not a limit"),
        ("mem_limit: -1", "'-1' is not a limit"),
        ("mem_limit: 10m", "at least 64m"),
        ("pids_limit: -1", "'-1' is not a limit"),
        ("pids_limit: true", "'True' is not a limit"),
        ("cpu_shares: 99999999999999999999", "is not a limit"),
        ("storage_opt: {}", "'None' is not a limit"),
        ("storage_opt: {colour: red}", "'colour'"),
        ("tmpfs: [/tmp]", "size of /run"),
        ("tmpfs: [/run:size=1m, /x:size=1m]", "size of /run"),
    ],
)
def test_what_is_no_limit_is_refused_with_its_key(tmp_path: Path, keys: str, said: str) -> None:
    with pytest.raises(UsageError, match=r"services\.host") as error:
        loaded(tmp_path, f"    {keys}\n")
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("info", "lacking"),
    [
        (KERNEL, [limits.DISK]),
        (KERNEL | {"Driver": "overlay2", "DriverStatus": [["Backing Filesystem", "extfs"]]}, [limits.DISK]),
        (KERNEL | {"Driver": "btrfs"}, []),
        (KERNEL | {"SwapLimit": False, "Driver": "zfs"}, ["swap"]),
        ({"Driver": "zfs"}, ["memory", "processes", "processor time"]),
    ],
)
def test_an_engine_says_what_it_can_limit(info: dict[str, Any], lacking: list[str]) -> None:
    assert limits.lacking(limits.held(info)) == lacking


def test_only_what_the_engine_can_limit_is_asked_for() -> None:
    assert "memswap_limit" not in limits.keys(Limits(), {"memory"})
    assert set(limits.keys(Limits(), ())) == {"logging"}
    assert limits.keys(Limits(), ALL) == {
        "mem_limit": 1 << 30,
        "memswap_limit": 1 << 30,
        "pids_limit": 2048,
        "cpu_shares": 1024,
        "storage_opt": {"size": str(4 << 30)},
        "logging": {"driver": "json-file", "options": {"max-size": "1m", "max-file": "1"}},
    }


def test_an_engine_that_cannot_limit_the_disk_after_all_gets_another_recipe() -> None:
    ways = recipe.candidates(Facts((20, 10), limits=ALL))
    assert [way.limits for way in ways] == [ALL, ALL - {limits.DISK}]
    assert len(recipe.candidates(Facts((20, 10), limits=ALL - {limits.DISK}))) == 1


@pytest.mark.parametrize("driver", ["cgroupfs", "systemd"])
def test_on_v2_nothing_above_what_a_machine_can_write_is_given_to_it(driver: str) -> None:
    node = topology.of(labs.load("lab4b"), ANNA).nodes[0]
    keys = recipe.service_keys(recipe.choose(Facts((20, 10), driver=driver)), "anna", node)
    whole, own = keys["volumes"]
    assert whole == "/sys/fs/cgroup:/sys/fs/cgroup:ro"
    folder = Path(own.removesuffix(":rw").split(":")[0])
    assert recipe.ident("anna", "host") in folder.parent.name, "the level with the limits is the machine's own"
    assert folder.name in keys["cgroup_parent"]


def test_without_nsdelegate_a_writable_cgroup_has_no_protected_limits() -> None:
    assert recipe.raisable(Facts((28, 0), limits=ALL, delegates=False))
    assert not recipe.raisable(Facts((28, 0), limits=ALL))
    assert not recipe.raisable(Facts((27, 0), limits=ALL, delegates=False)), "the level above has them"
    assert not recipe.raisable(Facts((28, 0), cgroup="1", limits=ALL, delegates=False))


# -- what the kernel counts -------------------------------------------------------------------------------------------


def test_what_machines_share_is_read_from_the_kernel(tmp_path: Path) -> None:
    files = {
        "proc/sys/fs/file-nr": "3500\t0\t100000\n",
        "proc/loadavg": "0.1 0.2 0.3 2/548 12345\n",
        "proc/sys/kernel/pid_max": "32768\n",
        "proc/key-users": "    0:    18 17/17 12/1000000 670/25000000\n 1000: 5 5/5 150/200 100/20000\n",
        "proc/net/stat/arp_cache": "entries allocs\n0000002b 1\n0000002b 2\n",
        "proc/sys/net/ipv4/neigh/default/gc_thresh3": "1024\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = {supply.sysctl: supply for supply in room.others(Computer(tmp_path, {}, 0))}
    assert {name: (supply.used, supply.limit) for name, supply in found.items()} == {
        "fs.file-max": (3500, 100000),
        "kernel.pid_max": (548, 32768),
        "kernel.keys.root_maxkeys": (12, 1000000),
        "net.ipv4.neigh.default.gc_thresh3": (43, 1024),
    }
    [keys] = [s for s in room.others(Computer(tmp_path, {}, 1000), 1000) if "keys" in s.sysctl]
    assert (keys.sysctl, keys.room) == ("kernel.keys.maxkeys", 50)


def test_a_raised_limit_is_enough_for_what_was_asked() -> None:
    assert room.Supply("x", "x", 100, 128, 3).enough(9) == 1024
    assert room.Supply("x", "x", 1000, 1024, 3).enough(90) == 2048


@pytest.mark.skipif(not shutil.which("unshare") or os.geteuid() != 0, reason="needs a user namespace of its own")
@pytest.mark.parametrize(("most", "there"), [(8, False), (9, True)])
def test_inotify_instances_are_tried_for_real(most: int, there: bool) -> None:
    code = "from labenv.environments import room; print(room.instances_left(9), room.instances_left(9))"
    script = f'echo {most} >/proc/sys/user/max_inotify_instances && exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "sh", "-euc", script, "sh", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(there)] * 2


def test_the_rendered_compose_file_has_the_limits_too() -> None:
    made = plan._plan_at(plan.Request("asmith15"), 90, "secret")
    service = render.document(made, recipe.choose(Facts((20, 10), limits=ALL)), lambda _: {})["services"]["vm2"]
    assert limits.keys(Limits(), ALL).items() <= service.items()
    assert service["tmpfs"] == [f"/run:size={64 << 20}", f"/run/lock:size={4 << 20}"]


@pytest.mark.parametrize(
    ("engine", "traces"),
    [
        (Facts((20, 10)), False),
        (Facts((20, 10), apparmor=True), True),
        (Facts((28, 0)), False),
        (Facts((28, 0), userns=True), True),
        (Facts((28, 0), rootless=True), True),
    ],
)
def test_a_machine_of_a_class_traces_only_where_it_is_confined(engine: Facts, traces: bool) -> None:
    node = topology.of(labs.load("lab4b"), ANNA).nodes[0]
    way = recipe.choose(engine)
    assert ("SYS_PTRACE" in recipe.service_keys(way, "anna", node, shared=True)["cap_add"]) == traces
    assert "SYS_PTRACE" in recipe.service_keys(way, "anna", node)["cap_add"]
    assert "SYS_PTRACE" not in recipe.service_keys(way, "anna", node, foreign=True, shared=True)["cap_add"]


def test_an_engine_says_whether_it_has_apparmor() -> None:
    said = {"SecurityOptions": ["name=apparmor", "name=seccomp,profile=builtin"]}
    assert recipe.facts({"Version": "28.0.4"}, said, hybrid=False).apparmor
    assert not recipe.facts({"Version": "28.0.4"}, {"SecurityOptions": None}, hybrid=False).apparmor


def test_a_class_gives_its_machines_other_limits_and_leaves_the_rest() -> None:
    there = topology.of(labs.load("lab4b"), ANNA)
    [usual, *_] = there.nodes
    [one, *_] = there.allowing(256 << 20, 0).nodes
    assert one.limits == replace(usual.limits, memory=256 << 20)
    assert there.allowing(0, 0) == there


def test_what_a_class_allows_is_read_back_from_the_labels() -> None:
    allowed = Environment(ANNA, "lab4b", "done", (), "", belongs=Belonging("ops345", Allowance(256 << 20, 500)))
    assert belonging_in(environment_labels(allowed)) == allowed.belongs
    assert "labenv.allowance" not in environment_labels(replace(allowed, belongs=Belonging("ops345")))
    assert belonging_in({}) == ALONE
