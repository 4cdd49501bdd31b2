"""Each drill is a fault that shows, that its mend repairs, and that outlasts a reboot if it says so; and its commands.

Each drill gets an environment of its own, brought up ahead of the tests that ask for it, as in test_mutations.py.
"""

import secrets
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from labenv import drills
from labenv import lab as labs
from labenv.drills import Drill
from tests.e2e.conftest import Cli

LAB = labs.load("lab4b")
TABLE = drills.catalogue(LAB)
AT_ONCE = 2
# What a machine keeps of what was typed or done by name.
TRACES = "grep -rlsF -e {word} /root /home /tmp /var/tmp /var/log /etc /run --exclude-dir=journal; journalctl -q | grep -F {word}"


def proven(drill: Drill) -> list[str]:
    """What is not as the drill says, in an environment of its own."""
    from labenv import drilling
    from labenv.checks.run import run_checks
    from labenv.engine import Engine
    from labenv.engine.channel import Channel
    from labenv.engine.find import connect
    from labenv.events import silent
    from labenv.lifecycle import down, reboot, up
    from labenv.mutations import Mutation
    from labenv.plan import Request

    engine = Engine(connect(silent))
    who = f"d-{secrets.token_hex(4)}"
    wrong: list[str] = []
    try:
        environment = up(engine, Request(who, first="ada"), silent).environment
        if drilling.is_seen(engine, environment, drill):
            wrong.append("the symptom is seen before the fault is in")
        drilling.type_(engine, environment, drill, drill.breaks)
        expected = Mutation(drill.name, drill.title, "", drill.machines, "", drill.trips, ())
        if said := expected.disagreement(run_checks(environment, engine).results):
            wrong.append(f"with the fault: {said}")
        if not drilling.is_seen(engine, environment, drill):
            wrong.append("the symptom is not seen")
        for machine in environment.machines:
            with closing(Channel(engine.api, machine.container)) as channel:
                found = channel.run(TRACES.format(word=drill.name)).stdout.decode()
            if found:
                wrong.append(f"{machine.name} tells of the drill: {found}")
        for name in drill.machines:
            reboot(engine, environment, environment.machine(name), silent)
        if drill.survives_reboot != bool(run_checks(environment, engine).failed):
            wrong.append(f"after a reboot the fault is {'gone' if drill.survives_reboot else 'still there'}")
        drilling.type_(engine, environment, drill, drill.mend)
        after = run_checks(environment, engine)
        wrong += [f"mended: {r.step}/{r.check}: {r.evidence}" for r in after.results if r.status == "fail"]
        if drilling.is_seen(engine, environment, drill):
            wrong.append("the symptom is seen after the fault is mended")
    finally:
        for environment in engine.environments(who):
            down(engine, environment, silent)
    return wrong


@pytest.fixture(scope="session")
def proofs(request: pytest.FixtureRequest, cli: Cli) -> Iterator[dict[str, Future[list[str]]]]:
    """What is wrong with each drill that a test of this run asks for."""
    parameters = [getattr(item, "callspec", None) for item in request.session.items]
    chosen = [each.params["drill"] for each in parameters if each and "drill" in each.params]
    with ProcessPoolExecutor(AT_ONCE, mp_context=get_context("spawn")) as pool:
        yield {drill.name: pool.submit(proven, drill) for drill in chosen}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("drill", TABLE, ids=lambda drill: drill.name)
def test_a_drill_is_as_it_says(proofs: dict[str, Future[list[str]]], drill: Drill) -> None:
    assert proofs[drill.name].result(timeout=1200) == []


@pytest.fixture(scope="module")
def drilled(cli: Cli, new_student: Any) -> Iterator[str]:
    """An environment of the module's own for the commands."""
    name = new_student()
    cli("up", name, "--no-check", "--first", "ada")
    yield name
    cli("down", "-s", name, rc=None)


def test_a_drill_goes_from_the_symptom_to_a_report(cli: Cli, drilled: str) -> None:
    begun = cli.json("drill", "start", "reading-times-out", "-s", drilled)
    assert "inbox" in begun["symptom"]
    assert "reading-times-out" not in str(begun)
    assert "A drill runs already" in cli("drill", "start", "-s", drilled, rc=2).stderr
    assert cli.json("drill", "diagnose", "imap", "-s", drilled)["touched"] is False
    assert len(cli.json("drill", "hint", "-s", drilled)["hints"]) == 1
    assert cli.json("drill", "check", "-s", drilled, rc=1)["over"] is False
    assert cli.json("check", "-s", drilled, rc=1)["summary"]["failed"]
    rule = "iptables -A INPUT -s $(hostname -i | cut -d. -f1-3).0/24 -p tcp --dport 143 -j ACCEPT"
    cli.inside(drilled, "vm3", f"{rule} && service iptables save && echo '# mine' >>/etc/postfix/main.cf")
    assert cli.json("drill", "diagnose", "firewall", "-s", drilled)["touched"] is True
    result = cli.json("drill", "check", "-s", drilled)["result"]
    assert (result["name"], result["mended"], result["hints"], result["beyond"]) == ("reading-times-out", True, 1, 1)
    assert result["to_diagnosis"] <= result["seconds"]
    assert [entry["layer"] for entry in result["diagnoses"]] == ["imap", "firewall"]
    assert "No drill runs" in cli("drill", "status", "-s", drilled, rc=2).stderr
    assert cli.json("drill", "report", "-s", drilled)["drills"] == [result]


def test_giving_up_mends_and_tells(cli: Cli, drilled: str) -> None:
    first = cli.json("drill", "start", "--level", "1", "--seed", "week 7", "-s", drilled)
    given_up = cli.json("drill", "give-up", "--yes", "-s", drilled)
    assert (given_up["result"]["mended"], given_up["summary"]["failed"]) == (False, 0)
    again = cli.json("drill", "start", "--level", "1", "--seed", "week 7", "-s", drilled)
    assert again["symptom"] == first["symptom"]
    cli("drill", "give-up", "--yes", "-s", drilled)


def test_an_unhealthy_environment_gets_no_drill_and_a_fault_that_fits_nothing_stays_out(
    cli: Cli, drilled: str, tmp_path: Path
) -> None:
    text = (LAB.folder / "drills" / "reading-times-out.yaml").read_text()
    rules = cli.inside(drilled, "vm3", "iptables-save | grep -v '^[#:]'")
    harmless = text.replace("iptables -D INPUT", "true INPUT").replace("service iptables save", "true")
    (tmp_path / "of-a-teacher.yaml").write_text(harmless)
    assert "of-a-teacher" in cli("drill", "list", "--from", str(tmp_path)).stdout
    said = cli("drill", "start", "of-a-teacher", "--from", str(tmp_path), "-s", drilled, rc=2).stderr
    assert "breaks nothing" in said
    cli("drill", "status", "-s", drilled, rc=2)
    assert cli.inside(drilled, "vm3", "iptables-save | grep -v '^[#:]'") == rules
    cli.inside(drilled, "vm3", "systemctl stop dovecot")
    assert "every check holds" in cli("drill", "start", "-s", drilled, rc=2).stderr
    cli.inside(drilled, "vm3", "systemctl start dovecot")


def test_lint_names_the_line_of_a_drill_that_is_wrong(cli: Cli, tmp_path: Path) -> None:
    text = (LAB.folder / "drills" / "reading-times-out.yaml").read_text()
    file = tmp_path / "mine.yaml"
    file.write_text(text.replace("layer: firewall", "layer: ether"))
    assert f"{file}:4: layer: 'ether'" in cli("drill", "lint", str(tmp_path), rc=2).stdout
    file.write_text(text.replace("machines: [vm3]", "machines: [vm9]"))
    assert f"{file}:5: the machine 'vm9' is unknown" in cli("drill", "lint", str(tmp_path), rc=2).stdout
    file.write_text(text)
    assert "1 drills: nothing is wrong" in cli("drill", "lint", str(tmp_path)).stdout
