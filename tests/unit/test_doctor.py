"""What doctor says about computers made up for it, and about this one."""

import os
import socket
from pathlib import Path

import pytest

from labenv import doctor
from labenv.computer import Computer
from labenv.doctor import findings
from labenv.engine.recipe import Facts
from labenv.environments import room
from labenv.events import silent
from tests.unit import stand_in

pytestmark = pytest.mark.usefixtures("unconfigured")

GIB = 1 << 30


def computer(root: Path, files: dict[str, str], uid: int = 1000) -> Computer:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return Computer(root, {"PATH": "/usr/bin"}, uid)


# -- the judgements ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("free", "status"), [(20 * GIB, "ok"), (2 * GIB, "warn"), (GIB // 2, "fail")])
def test_disk(free: int, status: str) -> None:
    found = findings.disk("/var/lib/docker", free)
    assert found.status == status
    assert f"{free / GIB:.1f} GiB are free" in found.sentence
    assert bool(found.mend) == (status != "ok")


@pytest.mark.parametrize(("kib", "status"), [(4_000_000, "ok"), (200_000, "warn"), (50_000, "fail")])
def test_memory(tmp_path: Path, kib: int, status: str) -> None:
    found = findings.memory(computer(tmp_path, {"proc/meminfo": f"MemTotal: 9999999 kB\nMemAvailable: {kib} kB\n"}))
    assert found
    assert found.status == status


@pytest.mark.parametrize(
    ("facts", "status", "word"),
    [
        (Facts((20, 10), cgroup="1", hybrid=True), "ok", "v1 with v2 beside it"),
        (Facts((20, 10), cgroup="1"), "warn", "unified_cgroup_hierarchy=1"),
        (Facts((28, 5)), "ok", "writable cgroups"),
        (Facts((28, 5), userns=True, driver="systemd"), "ok", "user namespace"),
        (Facts((28, 5), userns=True), "fail", "native.cgroupdriver=systemd"),
        (Facts((28, 5), rootless=True), "ok", "rootless"),
        (Facts((28, 5), rootless=True, cgroup="1"), "fail", "unified_cgroup_hierarchy=1"),
        (Facts((5, 4), podman=True), "ok", "podman"),
    ],
)
def test_how_systemd_will_run(facts: Facts, status: str, word: str) -> None:
    found = findings.systemd(facts)
    assert found.status == status
    assert word in found.sentence + found.mend


def inotify(here: Computer, running: int | None) -> findings.Finding | None:
    supply = room.inotify(here, running)
    return findings.enough(supply, here) if supply else None


def processes(root: Path, instances: int) -> None:
    for pid in ("1", "77"):
        fds = root / "proc" / pid / "fd"
        fds.mkdir(parents=True)
        (fds / "0").symlink_to("/dev/null")
        for number in range(1, instances + 1):
            (fds / str(number)).symlink_to("anon_inode:inotify")


@pytest.mark.skipif(os.geteuid() != 0, reason="the test's own processes stand for root's")
@pytest.mark.parametrize(
    ("each", "status", "left"), [(10, "ok", 36), (54, "warn", 6), (60, "fail", 2), (70, "fail", 0)]
)
def test_root_counts_inotify_instances(tmp_path: Path, each: int, status: str, left: int) -> None:
    processes(tmp_path, each)
    here = computer(tmp_path, {"proc/sys/fs/inotify/max_user_instances": "128\n"}, uid=0)
    found = inotify(here, None)
    assert found
    assert found.status == status
    assert f"{2 * each} are in use; the rest is enough for {left} more machines" in found.sentence
    if status != "ok":
        assert found.mend.startswith("sysctl -w fs.inotify.max_user_instances=1024")


def test_others_estimate_inotify_instances(tmp_path: Path) -> None:
    here = computer(tmp_path, {"proc/sys/fs/inotify/max_user_instances": "128\n"})
    found = inotify(here, 37)
    assert found
    assert found.status == "fail"
    assert "about 123 are in use" in found.sentence
    assert "exit code 255" in found.sentence
    assert found.mend.startswith("sudo sysctl -w ")
    assert inotify(here, None) is None


def test_bridges_that_are_filtered_are_told_of(tmp_path: Path) -> None:
    switch = "proc/sys/net/bridge/bridge-nf-call-iptables"
    found = findings.bridges(computer(tmp_path, {switch: "1\n"}))
    assert found
    assert (found.status, "sysctl -w net.bridge" in found.mend) == ("warn", True)
    assert findings.bridges(computer(tmp_path, {switch: "0\n"})) is None


def test_where_there_is_no_proc_nothing_is_said(tmp_path: Path) -> None:
    elsewhere = Computer(tmp_path, {}, 0, "darwin")
    assert findings.memory(elsewhere) is None
    assert inotify(elsewhere, 3) is None
    assert list(room.others(elsewhere)) == []
    assert findings.firewall(elsewhere, "6.1") is None


def test_ports_of_others_are_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        number = other.getsockname()[1]
        found = findings.ports({number: 90})
        assert found.status == "warn"
        assert found.sentence == f"Another program uses port {number} of 127.0.0.1."
        assert "X = 90" in found.mend
    assert findings.ports({number: 90}).status == "ok"


@pytest.mark.parametrize(
    ("files", "status", "word"),
    [
        ({"proc/kallsyms": "0000 T nft_do_chain\n"}, "ok", "has nf_tables"),
        (
            {"proc/kallsyms": "0000 T x\n", "lib/modules/6.1/modules.dep": "net/nf_tables.ko:\n"},
            "ok",
            "loads nf_tables",
        ),
        ({"proc/kallsyms": "0000 T x\n", "lib/modules/6.2/modules.dep": ""}, "warn", "reboot"),
        ({"proc/kallsyms": "0000 T x\n"}, "warn", "lack nf_tables"),
    ],
)
def test_the_kernels_firewall(tmp_path: Path, files: dict[str, str], status: str, word: str) -> None:
    found = findings.firewall(computer(tmp_path, files), "6.1")
    assert found
    assert found.status == status
    assert word in found.sentence + found.mend


# -- the whole --------------------------------------------------------------------------------------------------------


def test_without_an_engine_the_way_out_and_what_can_be_told(tmp_path: Path) -> None:
    files = {"etc/os-release": "ID=debian\n", "proc/meminfo": "MemAvailable: 4000000 kB\n"}
    found = doctor.examine(silent, computer(tmp_path, files))
    assert [(finding.topic, finding.status) for finding in found] == [("engine", "fail"), ("memory", "ok")]
    assert "No container engine is running or installed" in found[0].sentence
    assert "apt-get install" in found[0].mend
    assert found[0].to_dict().keys() == {"topic", "status", "sentence", "mend"}


def test_an_engine_that_breaks_in_the_middle_is_a_finding(tmp_path: Path) -> None:
    with stand_in.engine(tmp_path / "var/run/docker.sock"):
        found = doctor.examine(silent, Computer(tmp_path, {"PATH": "/usr/bin"}, 1000))
    assert [(finding.topic, finding.status) for finding in found] == [("engine", "fail")]
    assert "shutting down" in found[0].sentence


def test_runs_of_taken_networks_are_drawn_together() -> None:
    taken = {0: "a", 1: "a", 2: "a", 7: "a", 8: "b"}
    assert doctor._spelled(taken) == "0-2 (a), 7 (a), 8 (b)"
