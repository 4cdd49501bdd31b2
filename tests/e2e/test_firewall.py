"""Saved firewall rules on trial: real packets on a real kernel, in a container beside the environment's machines."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from labenv.checks.firewall import decides, parse
from labenv.checks.run import run_checks
from labenv.engine import Engine, trial
from labenv.engine.labels import LABEL, MACHINE
from labenv.engine.trial import Packet, Verdict
from labenv.environment import Environment, SavedRules
from labenv.errors import EngineError
from tests.e2e.conftest import Cli

SAVED = SavedRules().path
HEAD = """\
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT
"""


@pytest.fixture
def there(engine: Engine, finished: dict[str, Any]) -> Environment:
    return engine.environments(finished["student"])[0]


@pytest.fixture
def tried(engine: Engine, there: Environment) -> Callable[..., Verdict]:
    def work(rules: str, *packets: tuple[str, int] | tuple[str, int, str, str]) -> Verdict:
        return trial.tried(
            engine, there.student.id, there.machine("vm3"), rules.encode(), [Packet(*each) for each in packets]
        )

    return work


def words(verdict: Verdict) -> list[str]:
    assert not verdict.complaint
    return [fate.word for fate in verdict.fates]


@pytest.mark.parametrize(
    ("rule", "inside", "outside"),
    [
        ("-p tcp --dport 143 -s {lan}.0/24 -j ACCEPT", "in", "dropped"),
        ("! -s {lan}.0/24 -p tcp --dport 143 -j REJECT", "dropped", "rejected"),
        ("-p tcp -s 203.0.113.0/24 -j REJECT --reject-with tcp-reset", "dropped", "rejected"),
        ("-m iprange --src-range {lan}.1-{lan}.9 -p tcp -m multiport --dports 25,143 -j ACCEPT", "in", "dropped"),
        (
            "-p tcp --sport 1024: --dport 143 -m hashlimit --hashlimit-upto 9/sec --hashlimit-name a -j ACCEPT",
            "in",
            "in",
        ),
        ("-i eth1 -p tcp --dport 143 -j ACCEPT", "dropped", "dropped"),
        ("-p udp --dport 143 -j ACCEPT", "dropped", "dropped"),
        ("-m mac --mac-source 02:00:00:00:00:01 -p tcp --syn -m recent --set -j ACCEPT", "in", "in"),
    ],
)
def test_the_kernel_judges_every_match(
    tried: Callable[..., Verdict], there: Environment, rule: str, inside: str, outside: str
) -> None:
    lan = there.student.prefix
    rules = f"{HEAD}-A INPUT {rule.format(lan=lan)}\nCOMMIT\n"
    assert words(tried(rules, (f"{lan}.1", 143), ("203.0.113.1", 143))) == [inside, outside]


def test_the_way_back_counts_too(tried: Callable[..., Verdict], there: Environment) -> None:
    rules = f"{HEAD}-A INPUT -p tcp -j ACCEPT\n-A OUTPUT -p tcp --sport 143 -j DROP\nCOMMIT\n"
    [fate] = tried(rules, (f"{there.student.prefix}.1", 143)).fates
    assert fate.word == "dropped"
    rule = decides(parse(fate.before), parse(fate.after))
    assert str(rule) == "filter OUTPUT, rule 1, -A OUTPUT -p tcp -m tcp --sport 143 -j DROP"


@pytest.mark.parametrize(
    ("rule", "fates"),
    [
        ("-A INPUT -p udp --dport 53 -j ACCEPT", ["in", "dropped"]),
        ("-A INPUT -p tcp --dport 53 -j ACCEPT", ["dropped", "in"]),
        ("-A INPUT -p udp --dport 53 -j REJECT", ["rejected", "dropped"]),
        ("-A INPUT -m multiport -p udp --dports 53,67 -j ACCEPT\n-A OUTPUT -p udp -j DROP", ["dropped", "dropped"]),
    ],
)
def test_datagrams_are_told_from_connections(
    tried: Callable[..., Verdict], there: Environment, rule: str, fates: list[str]
) -> None:
    asker = there.machine("host").address
    verdict = tried(f"{HEAD}{rule}\nCOMMIT\n", (asker, 53, "", "udp"), (asker, 53, "", "tcp"))
    assert words(verdict) == fates


def test_rules_that_cannot_be_loaded_say_in_which_line(tried: Callable[..., Verdict]) -> None:
    assert "line: 6" in tried(f"{HEAD}-A INPUT -p tcp --dprot 143 -j ACCEPT\nCOMMIT\n", ("192.0.2.1", 143)).complaint
    assert "line: 6" in tried(f"{HEAD}-A INPUT -m set --match-set lan src -j ACCEPT\nCOMMIT\n").complaint
    assert "line 1" in tried(HEAD.replace("\n", "\r\n")).complaint


def test_trials_at_a_time_do_not_disturb_each_other(tried: Callable[..., Verdict], there: Environment) -> None:
    lan = there.student.prefix

    def one(port: int) -> list[str]:
        rules = f"{HEAD}-A INPUT -p tcp --dport {port} -j ACCEPT\nCOMMIT\n"
        return words(tried(rules, (f"{lan}.1", 25), (f"{lan}.1", 143)))

    with ThreadPoolExecutor(4) as pool:
        ports = [25, 143] * 4
        assert list(pool.map(one, ports)) == [["in", "dropped"] if port == 25 else ["dropped", "in"] for port in ports]


def test_one_container_serves_all_checks_of_an_environment(cli: Cli, engine: Engine, student: str) -> None:
    def helpers() -> list[dict[str, Any]]:
        found = engine.api.containers(all=True, filters={"label": f"{LABEL}={student}"})
        return [container for container in found if MACHINE not in container["Labels"]]

    cli("up", student, "--no-check")
    cli("check", "-s", student, "31", "41")
    assert not helpers(), "rules that are saved as they are in force need no trial"

    cli.inside(student, "vm3", f"sed -i /143/d {SAVED}")
    made = set()
    for _ in range(2):
        results = cli.json("check", "-s", student, "31", rc=1)["results"]
        [failed] = [result for result in results if result["status"] == "fail"]
        assert "at boot vm3 would drop port 143 from host (filter INPUT, policy DROP" in failed["evidence"]
        [helper] = helpers()
        made.add(helper["Id"])
    assert len(made) == 1
    config = engine.api.inspect_container(helper["Id"])["HostConfig"]
    assert not config["Privileged"]
    assert [name.removeprefix("CAP_") for name in config["CapAdd"]] == ["NET_ADMIN", "NET_RAW"]
    assert config["NetworkMode"] == "none"
    assert 0 < config["Memory"] <= 64 << 20
    assert "firewall-trial" not in json.dumps(cli.json("status", "-s", student))
    cli("down", "-s", student)
    assert not helpers()


def test_rules_that_cannot_be_tried_are_a_doubt(
    cli: Cli, engine: Engine, there: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> Verdict:
        raise EngineError("The engine refused.")

    monkeypatch.setattr(trial, "tried", refused)
    cli.inside(
        there.student.id,
        "vm3",
        f"cp -p {SAVED} /root/saved; sed -i '1i # by hand' {SAVED}; sed -i s/lo/lo+/ {SAVED}",
    )
    results = run_checks(engine, there, steps=["31", "41"]).results
    cli.inside(there.student.id, "vm3", f"mv /root/saved {SAVED}")
    assert {(r.step, r.check): r.evidence for r in results if r.status not in ("pass", "skip")} == dict.fromkeys(
        [("31", "firewall_is_saved"), ("41", "smtp_listens_and_stays_open")],
        f"{SAVED} on vm3 could not be tried: The engine refused. (better: what is saved is in force too)",
    )
