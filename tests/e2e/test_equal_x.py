"""Two environments with one X side by side: each whole, neither reaches the other, and tunnels in place of published ports."""

import imaplib
import json
import os
import signal
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from labenv.engine import Engine
from labenv.environments import desktop
from labenv.environments.changing import changing
from labenv.events import silent
from labenv.parallel import Together
from tests.e2e.conftest import Cli


@pytest.fixture(scope="module")
def both(cli: Cli, engine: Engine) -> Iterator[tuple[str, str]]:
    """Two students with the X of the first; the second one's environment passes all checks."""
    first, second = (f"equal-{os.getpid()}-{n}" for n in "ab")
    try:
        there = cli.json("up", first, "--no-check")
        x = there["network"].split(".")[2]
        assert "--shared-x" in cli("up", second, "--net", x, rc=2).stderr
        assert not engine.environments(second)
        made = cli.json("up", second, "--net", x, "--shared-x")
        assert made["network"] == there["network"]
        assert [m["address"] for m in made["machines"]] == [m["address"] for m in there["machines"]]
        assert not any(machine["published"] for machine in made["machines"])
        assert made["check"]["summary"]["failed"] == 0
        assert made["check"]["summary"]["passed"] > 50
        yield first, second
    finally:
        with Together() as pool:
            list(pool.map(lambda name: cli("down", "--yes", "-s", name, rc=None), (first, second)))
        for name in (first, second):
            cli("saves", "--remove", "kept", "-s", name, "--yes", rc=None)


@contextmanager
def running(*words: str) -> Iterator[dict[str, Any]]:
    """A command with --json that stays until Ctrl-C: what it printed."""
    argv = [sys.executable, "-m", "labenv", *words, "--json"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        said = ""
        while not said.endswith("}\n"):
            said += process.stdout.readline()
            while said.count("{") != said.count("}"):
                said += process.stdout.readline()
        try:
            yield json.loads(said)
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0


def test_each_reaches_its_own_machines_at_the_same_addresses_and_nothing_else(
    cli: Cli, engine: Engine, both: tuple[str, str]
) -> None:
    prefix = engine.environments(both[0])[0].student.prefix
    link = {name: cli.inside(name, "vm2", "cat /sys/class/net/eth0/address").strip() for name in both}
    ask = f"nc -w 2 {prefix}.3 25 </dev/null"
    for name in both:
        seen = cli.inside(name, "vm3", f"{ask}; ip neigh show {prefix}.3")
        assert f"vm2.{name}.ops" in seen
        assert link[name] in seen
    lie = f"ip neigh replace {prefix}.3 lladdr {link[both[0]]} dev eth0; {ask}; ip neigh del {prefix}.3 dev eth0"
    assert cli.inside(both[1], "vm3", lie) == ""
    # The computer itself, by the address that the sheet's network and the engine's own have for it, and the other one's pool.
    [pool] = engine.environments(both[1])[0].pools
    gateway = pool.on_engine(f"{prefix}.254")
    script = f"""
        ip address add {pool.on_engine(f"{prefix}.77")}/24 dev eth0
        for a in {prefix}.254 {gateway} {pool.on_engine(f"{prefix}.1")} 172.17.0.1; do ping -c 1 -W 1 $a >/dev/null && echo $a & done; wait
        ip address del {pool.on_engine(f"{prefix}.77")}/24 dev eth0
    """
    assert cli.inside(both[1], "vm3", script, rc=None) == ""


def test_their_desktops_pages_have_networks_of_their_own(engine: Engine, both: tuple[str, str]) -> None:
    """Both come up at the same moment."""

    def lay(name: str) -> str:
        with changing(engine, name, silent) as change:
            desktop._lay_network(engine, change.plan, silent)
        [there] = engine.api.inspect_network(f"labenv-{name}.screen")["IPAM"]["Config"]
        return str(there["Subnet"])

    with Together() as pool:
        links = list(pool.map(lay, both))
    x = engine.environments(both[0])[0].student.x
    assert len(set(links)) == 2
    assert f"198.19.{x}.248/29" in links


def test_a_mail_client_reads_and_sends_through_a_tunnel(cli: Cli, both: tuple[str, str]) -> None:
    refused = cli("client", "-s", both[1], rc=2).stderr
    assert "labenv client --tunnel" in refused
    assert "labenv tunnel" in cli("status").stdout
    with running("client", "--tunnel", "-s", both[1]) as told:
        account = told["account"]
        with smtplib.SMTP(account["smtp"]["host"], account["smtp"]["port"], timeout=20) as smtp:
            assert f"vm2.{both[1]}.ops" in str(smtp.ehlo()[1])
            smtp.sendmail(account["address"], [account["address"]], "Subject: through\n\nthe tunnel\n")
        deadline = time.monotonic() + 20
        while True:
            with imaplib.IMAP4(account["imap"]["host"], account["imap"]["port"]) as imap:
                imap.login(account["user"], account["password"])
                imap.select("INBOX")
                if imap.search(None, 'SUBJECT "through"')[1][0]:
                    break
            assert time.monotonic() < deadline
            time.sleep(0.3)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", account["imap"]["port"]), 5)


def test_a_tunnel_leads_to_any_port_and_says_why_there_is_no_connection(cli: Cli, both: tuple[str, str]) -> None:
    with running("tunnel", "-s", both[1]) as told:
        assert {(each["machine"], each["port"]) for each in told["tunnels"]} == {
            ("host", 53),
            ("vm2", 25),
            ("vm3", 25),
            ("vm3", 143),
        }
    with running("tunnel", "vm2", "22", "-s", both[1]) as told:
        [there] = told["tunnels"]
        with socket.create_connection(("127.0.0.1", there["here"]), 10) as connection:
            assert connection.recv(4) == b"SSH-"
    assert "MACHINE PORT" in cli("tunnel", "vm3", rc=2).stderr


def test_addresses_and_work_stay_through_reboots_saves_and_the_engines_own_restart(
    cli: Cli, engine: Engine, both: tuple[str, str]
) -> None:
    name = both[1]
    before = engine.environments(name)[0].student.x
    cli.inside(name, "vm3", "echo mine >/root/mine; sync")
    cli("reboot", "vm3", "-s", name)
    engine.api.restart(engine.environments(name)[0].machine("vm2").container)
    cli("save", "kept", "-s", name)
    cli("down", "--yes", "-s", name)
    cli("restore", "kept", "-s", name)
    there = engine.environments(name)[0]
    assert (there.student.x, bool(there.pools)) == (before, True)
    assert cli.inside(name, "vm3", "cat /root/mine") == "mine\n"
    assert cli.json("check", "-s", name)["summary"]["failed"] == 0
    assert cli.json("check", "-s", both[0])["summary"]["failed"] == 0


def test_a_save_whose_x_another_environment_has_by_now_comes_back_beside_it_if_that_is_wanted(
    cli: Cli, both: tuple[str, str]
) -> None:
    name, other = both[0], f"{both[0]}-c"
    x = cli.json("status", "-s", name)["environments"][0]["network"].split(".")[2]
    cli("save", "kept", "-s", name)
    cli("down", "--yes", "-s", name)
    cli("up", other, "--net", x, "--shared-x", "--no-check")  # with the addresses themselves, which were free
    try:
        assert f"labenv restore kept -s {name} --shared-x" in cli("restore", "kept", "-s", name, rc=2).stderr
        back = cli("restore", "kept", "-s", name, "--shared-x")
        assert "It publishes no ports: labenv tunnel" in back.stderr
        assert cli.json("check", "18", "-s", name)["summary"]["failed"] == 0
    finally:
        cli("down", "--yes", "-s", other)
