"""Several networks with a router between them, on other addresses than the course's, in a lab that labenv does not ship."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from labenv.engine import Engine
from tests.e2e.conftest import Cli, take_down
from tests.e2e.routed_lab import written

ONE_PING = "ping -c 1 -W 2"


@dataclass(frozen=True)
class Routed:
    """Two networks with a router, at a stage at which web is there."""

    cli: Cli
    student: str
    x: int
    folder: Path
    status: dict[str, Any]

    def run(self, machine: str, script: str, rc: int | None = 0) -> str:
        return self.cli.inside(self.student, machine, script, rc=rc)

    def refuse(self, machine: str, there: str, gateway: str) -> None:
        """Try to reach an address through a gateway; fail the test if that is possible."""
        self.run(machine, f"ip route add {there} via {gateway}")
        self.run(machine, f"{ONE_PING} {there}", rc=1)
        self.run(machine, f"ip route delete {there}")

    @property
    def web(self) -> str:
        return f"172.16.{self.x}.10"


@pytest.fixture(scope="module")
def routed(
    cli: Cli, engine: Engine, new_student: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Routed]:
    """Brought up before there is a web, solved as far as that goes, and set to the stage at which it is there."""
    folder = written(tmp_path_factory.mktemp("routed") / "routed")
    assert "no errors" in cli("lab", "lint", str(folder)).stdout
    cli("lab", "trust", str(folder))
    student = new_student()
    before = cli.json("up", student, "--lab", str(folder), "--at", "cabled", "--no-check")
    assert [machine["name"] for machine in before["machines"]] == ["client", "router"], "web comes at a later stage"
    assert cli.json("check", "1", "-s", student, rc=1)["results"][0]["status"] == "fail"
    cli("solve", "1", "-s", student)
    assert cli.json("check", "1", "-s", student)["results"][0]["status"] == "pass"
    assert "Its machines are: client, router." in cli("reset", "web", "-s", student, rc=2).stderr
    status = cli.json("reset", "--at", "served", "-s", student, "--yes")
    assert "no web at stage cabled" in cli("reset", "web", "--at", "cabled", "-s", student, rc=2).stderr
    yield Routed(cli, student, int(before["network"].split(".")[1]), folder, status)
    cli("saves", "--remove", "before-reset-1", "-s", student, "--yes", rc=None)
    take_down(cli, engine, student)


def test_the_first_network_is_the_machines_own(routed: Routed) -> None:
    x = routed.x
    assert routed.status["network"] == f"10.{x}.1.0/24"
    addresses = {machine["name"]: machine["address"] for machine in routed.status["machines"]}
    assert addresses == {"client": f"10.{x}.1.10", "router": f"10.{x}.1.1", "web": routed.web}
    assert f"inet 10.{x}.1.1/24 " in routed.run("router", "ip -4 -o address show eth0")
    assert f"inet 172.16.{x}.1/24 " in routed.run("router", "ip -4 -o address show eth1")
    assert "routed has no desktop" in routed.cli("desktop", "-s", routed.student, rc=2).stderr


def test_the_router_leads_from_one_network_to_the_other_and_nothing_else_does(routed: Routed) -> None:
    x = routed.x
    assert f"default via 10.{x}.1.1 " in routed.run("client", "ip route")
    assert f"10.{x}.1.1 " in routed.run("client", f"traceroute -n -m 3 -w 2 {routed.web}")
    routed.run("web", f"{ONE_PING} 10.{x}.1.10")
    routed.run("router", "iptables -I FORWARD -j DROP")
    routed.run("client", f"{ONE_PING} {routed.web}", rc=1)
    # Neither does the engine's computer, which has an address on each network.
    for machine, there, gateway in (
        ("client", routed.web, f"10.{x}.1.254"),
        ("web", f"10.{x}.1.10", f"172.16.{x}.254"),
    ):
        routed.refuse(machine, there, gateway)
    routed.run("router", "iptables -D FORWARD -j DROP")
    routed.run("client", f"{ONE_PING} {routed.web}")


def test_a_lost_router_comes_back_on_both_networks_and_a_save_keeps_them(routed: Routed, engine: Engine) -> None:
    cli, student = routed.cli, routed.student
    assert cli.json("up", student, "--no-check")["changes"] == []
    engine.api.remove_container(f"labenv-{student}-router", force=True)
    assert cli.json("up", student, "--no-check")["changes"] == ["made router"]
    routed.run("client", f"{ONE_PING} {routed.web}")
    engine.api.stop(f"labenv-{student}-router", timeout=5)
    engine.api.disconnect_container_from_network(f"labenv-{student}-router", f"labenv-{student}.servers", force=True)
    changes = cli.json("up", student, "--no-check")["changes"]
    assert changes == ["attached router to the network servers", "started router"]
    routed.run("client", f"{ONE_PING} {routed.web}")
    cli("save", "both", "-s", student)
    cli("restore", "both", "-s", student)
    routed.run("client", f"{ONE_PING} {routed.web}")
    for name in ("both", "before-restore-1"):
        cli("saves", "--remove", name, "-s", student, "--yes")


def test_the_rendered_compose_file_has_both_networks(routed: Routed, tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    routed.cli("render", str(folder), "-s", "t-plain", "--net", "200", "--lab", str(routed.folder))
    tree = yaml.safe_load((folder / "compose.yaml").read_text())
    assert list(tree["networks"]) == ["office", "servers"]
    options = [network["driver_opts"] for network in tree["networks"].values()]
    assert all(each["com.docker.network.bridge.enable_ip_masquerade"] == "false" for each in options)
    assert tree["services"]["router"]["networks"] == {
        "office": {"ipv4_address": "10.200.1.1"},
        "servers": {"ipv4_address": "172.16.200.1"},
    }
    assert tree["services"]["web"]["networks"] == {"servers": {"ipv4_address": "172.16.200.10"}}
