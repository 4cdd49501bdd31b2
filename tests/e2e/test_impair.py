"""A bad link: packets are lost between real machines, nothing in the machine tells, and it ends as it should."""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from labenv.engine import Engine, computer_network
from labenv.engine.image_sources import wanted
from tests.e2e.conftest import Cli

TABLE = "nft list table bridge labenv 2>/dev/null"


@pytest.fixture(autouse=True)
def good_links(cli: Cli, finished: dict[str, Any]) -> Iterator[None]:
    """The links of the module's environment are good again after each test."""
    yield
    for name in ("vm2", "vm3"):
        cli("impair", name, "-s", finished["student"], "--clear")


def lost(cli: Cli, student: str, by: str = "vm2", to: str = "vm3", count: int = 20) -> int:
    """How many of so many pings get no answer: by address, as the name server may not be reached."""
    [there] = cli.json("status", "-s", student)["environments"]
    address = next(machine["address"] for machine in there["machines"] if machine["name"] == to)
    said = cli.inside(student, by, f"ping -q -i 0.05 -W 1 -c {count} {address}", rc=None)
    answered = re.search(r"(\d+) received", said)
    assert answered, said
    return count - int(answered[1])


def bad(cli: Cli, student: str) -> dict[str, Any]:
    """What status tells of links that are bad, by machine."""
    [there] = cli.json("status", "-s", student)["environments"]
    return {machine["name"]: machine["impaired"] for machine in there["machines"] if "impaired" in machine}


def rules(engine: Engine, student: str) -> str:
    """The rules about links on the engine's computer."""
    return computer_network.said(engine, student, wanted()["machine"].tag, TABLE, [], "looking")


def test_all_is_lost_to_and_from_one_machine_and_nothing_in_it_tells(cli: Cli, finished: dict[str, Any]) -> None:
    student = finished["student"]
    look = "iptables-save | sed '/^#/d; s/\\[[0-9:]*\\]//'; nft list ruleset | sed 's/packets.*bytes [0-9]*//'; tc qdisc; ip link"
    before = cli.inside(student, "vm2", look)
    document = cli.json("impair", "vm2", "-s", student, "--loss", "100%")
    assert document == {"student": student, "machine": "vm2", "impaired": {"loss": 100.0}}
    assert lost(cli, student, "vm3", "vm2", 5) == 5
    assert lost(cli, student, "vm2", "vm3", 5) == 5
    assert lost(cli, student, "host", "vm3", 5) == 0
    assert cli.inside(student, "vm2", look) == before
    assert bad(cli, student) == {"vm2": {"loss": 100.0}}
    assert "vm2's link is bad: 100 % of the packets are lost." in cli("status", "-s", student).stdout
    assert cli("impair", "vm2", "-s", student, "--clear").stdout == "vm2's link is good.\n"
    assert lost(cli, student, "vm3", "vm2", 5) == 0
    assert not bad(cli, student)


def test_some_is_lost_and_a_second_command_replaces_the_first(cli: Cli, finished: dict[str, Any]) -> None:
    student = finished["student"]
    cli("impair", "vm3", "-s", student, "--loss", "30%")
    assert 40 < lost(cli, student, count=200) < 160  # 51 % of 200, both ways together
    cli("impair", "vm3", "-s", student, "--loss", "0.5%")
    assert lost(cli, student, count=100) < 20
    assert bad(cli, student) == {"vm3": {"loss": 0.5}}


def test_a_link_that_is_down_comes_back_although_nobody_does_anything(
    cli: Cli, engine: Engine, finished: dict[str, Any]
) -> None:
    student = finished["student"]
    command = [sys.executable, "-m", "labenv", "impair", "vm3", "-s", student, "--down", "20s", "--loss", "1%"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    down = time.monotonic()
    assert lost(cli, student, count=3) == 3
    assert bad(cli, student)["vm3"].keys() == {"down_until", "loss"}
    assert " UTC, 1 % of the packets are lost" in cli("status", "-s", student).stdout
    time.sleep(max(0.0, down + 20.5 - time.monotonic()))
    assert lost(cli, student, count=10) < 5
    assert bad(cli, student) == {"vm3": {"loss": 1.0}}


def test_a_reboot_has_a_good_link_again(cli: Cli, finished: dict[str, Any]) -> None:
    student = finished["student"]
    cli("impair", "vm3", "-s", student, "--down", "always")
    assert lost(cli, student, count=3) == 3
    cli("reboot", "vm3", "-s", student, "--hard")
    assert lost(cli, student, count=3) == 0
    assert not bad(cli, student)


def test_machines_with_the_same_address_do_not_hit_each_other(
    cli: Cli, engine: Engine, finished: dict[str, Any], new_student: Callable[[], str]
) -> None:
    student, other = finished["student"], new_student()
    number = finished["network"].split(".")[2]
    cli("up", other, "--no-check", "--net", number, "--shared-x")
    before = rules(engine, student)
    cli("impair", "vm3", "-s", other, "--loss", "100%")
    assert lost(cli, other, count=3) == 3
    assert lost(cli, student, count=3) == 0
    cli("down", "-s", other)
    assert rules(engine, student).count("timeout 1d") == before.count("timeout 1d")
    assert lost(cli, student, count=3) == 0


def test_a_kernel_that_cannot_delay_says_so_and_nothing_changes(
    cli: Cli, engine: Engine, finished: dict[str, Any]
) -> None:
    student = finished["student"]
    trial = (
        "ip link add t-netem type dummy && tc qdisc add dev t-netem root netem delay 1ms; echo $?; ip link del t-netem"
    )
    can = computer_network.said(engine, student, wanted()["machine"].tag, trial, [], "trying").splitlines()[-1] == "0"
    if can:
        cli("impair", "vm3", "-s", student, "--delay", "300ms")
        assert float(re.findall(r"/([\d.]+)/", cli.inside(student, "vm2", "ping -q -c 3 vm3"))[0]) > 290
        return
    cli("impair", "vm3", "-s", student, "--loss", "100%")
    said = cli("impair", "vm3", "-s", student, "--delay", "300ms", rc=3).stderr
    assert "The kernel of the engine's computer cannot delay packets: it lacks netem" in said
    assert bad(cli, student) == {"vm3": {"loss": 100.0}}
    assert lost(cli, student, count=3) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["vm2"], "Say either what is wrong with the link"),
        (["vm2", "--loss", "5%", "--clear"], "Say either what is wrong with the link"),
        (["vm2", "--loss", "101%"], "--loss needs a part of all packets, from 0.01% to 100%, and 101% is none"),
        (["vm2", "--loss", "0"], "--loss needs a part of all packets"),
        (["vm2", "--loss", "some"], "some is none"),
        (["vm2", "--delay", "0ms"], "--delay needs a time from 1ms to 10s"),
        (["vm2", "--delay", "1h"], "--delay needs a time from 1ms to 10s"),
        (["vm2", "--down", "0"], "--down needs a time such as 30s, 5m or 1h, and 0 is none"),
        (["vm2", "--down", "25h"], "--down is for a day (24h) at most"),
        (["vm9", "--loss", "5%"], "has no machine 'vm9'"),
    ],
)
def test_what_cannot_be_is_a_sentence(cli: Cli, finished: dict[str, Any], arguments: list[str], said: str) -> None:
    assert said in cli("impair", "-s", finished["student"], *arguments, rc=2).stderr


def test_a_machine_that_is_off_has_no_link(cli: Cli, engine: Engine, finished: dict[str, Any]) -> None:
    student = finished["student"]
    engine.stop(f"labenv-{student}-vm2", hard=True)
    assert "vm2 is exited, so its link is of no use" in cli("impair", "vm2", "-s", student, "--loss", "5%", rc=3).stderr
    cli("up", student, "--no-check")
