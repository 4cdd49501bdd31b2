"""The commands about drills, in one environment, one drill after the other. Whether each drill is as it says: test_proof."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from labenv.engine import Engine
from labenv.events import silent
from labenv.lab import drills, labs
from labenv.sheet import drill as practice
from tests.e2e.conftest import Cli

LAB = labs.load("lab4b")
TABLE = drills.catalogue(LAB)


@pytest.fixture(scope="module")
def drilled(cli: Cli, new_student: Callable[[], str]) -> Iterator[str]:
    """An environment only for the commands of this module."""
    name = new_student()
    cli("up", name, "--no-check", "--first", "ada")
    yield name
    cli("down", "-s", name, rc=None)
    saves = [save["name"] for save in cli.json("saves", "-s", name)["saves"]]
    cli("saves", "-s", name, "--yes", *(word for save in saves for word in ("--remove", save)))


def test_a_drill_goes_from_the_symptom_to_a_report(cli: Cli, drilled: str, tmp_path: Path) -> None:
    # A backup, which the fault puts out of date: that does not keep the drill going.
    cli.inside(drilled, "host", "mkdir -p /backup/vm3 && echo old >/backup/vm3/vm3.tar")
    begun = cli.json("drill", "start", "reading-times-out", "-s", drilled)
    assert "inbox" in begun["symptom"]
    assert "reading-times-out" not in str(begun)
    assert begun["saved"] in [save["name"] for save in cli.json("saves", "-s", drilled)["saves"]]
    assert "A drill is already running" in cli("drill", "start", "-s", drilled, rc=2).stderr
    for refused in (
        ["restore", begun["saved"]],
        ["reset", "vm3", "--yes"],
        ["solve", "31"],
        ["submit", str(tmp_path / "x.tar.gz")],
    ):
        assert "drill give-up" in cli(*refused, "-s", drilled, rc=2).stderr
    assert cli.json("drill", "diagnose", "imap", "-s", drilled)["touched"] is False
    assert len(cli.json("drill", "hint", "-s", drilled)["hints"]) == 1
    french = replace(cli, environ={"LANGUAGE": "fr"})
    assert "boîte de réception" in french("drill", "status", "-s", drilled).stdout
    assert french.json("drill", "status", "-s", drilled)["symptom"] == begun["symptom"]
    not_over = cli("drill", "check", "-s", drilled, rc=1)
    assert "so the drill continues" in not_over.stdout
    assert "iptables" not in not_over.stdout
    assert cli.json("check", "31", "-s", drilled, rc=1)["summary"]["failed"]
    rule = "iptables -A INPUT -s $(hostname -i | cut -d. -f1-3).0/24 -p tcp --dport 143 -j ACCEPT"
    cli.inside(drilled, "vm3", f"{rule} && service iptables save && echo '# mine' >>/etc/postfix/main.cf")
    assert cli.json("drill", "diagnose", "firewall", "-s", drilled)["touched"] is True
    result = cli.json("drill", "check", "-s", drilled)["result"]
    cli.inside(drilled, "host", "rm -r /backup")
    assert (result["name"], result["mended"], result["hints"], result["looks"]) == ("reading-times-out", True, 1, 1)
    assert result["beyond"] == 1
    assert result["to_diagnosis"] <= result["seconds"]
    assert [entry["layer"] for entry in result["diagnoses"]] == ["imap", "firewall"]
    assert "No drill is running" in cli("drill", "status", "-s", drilled, rc=2).stderr
    assert cli.json("drill", "report", "-s", drilled)["drills"] == [result]
    assert "Le pare-feu de vm3 n'a pas de règle pour le port 143" in french("drill", "report", "-s", drilled).stdout
    cli("drill", "report", "--all", "--csv", str(tmp_path / "class.csv"))
    row = f"{drilled},reading-times-out,1,firewall,mended,{result['begun']},{result['seconds']},"
    assert row in (tmp_path / "class.csv").read_text()


def test_a_drill_ends_whatever_was_done_to_its_machine(cli: Cli, engine: Engine, drilled: str, tmp_path: Path) -> None:
    drill = (LAB.folder / "drills" / "reading-times-out.yaml").read_text()
    before, after = drill.partition("fix: |")[0], drill.partition("symptom:")[2]
    (tmp_path / "for-ever.yaml").write_text(f"{before}fix: test -e /etc/removed-by-the-student\nsymptom:{after}")
    begun = cli.json("drill", "start", "for-ever", "--from", str(tmp_path), "-s", drilled)
    engine.api.kill(f"labenv-{drilled}-vm3")
    assert "vm3 is not running" in cli("drill", "give-up", "--yes", "-s", drilled, rc=3).stderr
    cli("up", drilled, "--no-check")
    assert cli.json("drill", "status", "-s", drilled)["begun"] == begun["begun"]
    told = cli("drill", "give-up", "--yes", "-s", drilled, rc=1)
    assert f"labenv restore {begun['saved']}" in told.stderr
    cli("restore", begun["saved"], "-s", drilled)
    assert cli.json("check", "-s", drilled)["summary"]["failed"] == 0


def test_an_unhealthy_environment_gets_no_drill_and_a_fault_that_fits_nothing_stays_out(
    cli: Cli, drilled: str, tmp_path: Path
) -> None:
    text = (LAB.folder / "drills" / "reading-times-out.yaml").read_text()
    rules = cli.inside(drilled, "vm3", "iptables-save | grep -v '^[#:]'")
    saves = cli.json("saves", "-s", drilled)
    harmless = text.replace("iptables -D INPUT", "true INPUT").replace("service iptables save", "true")
    (tmp_path / "of-a-teacher.yaml").write_text(harmless)
    assert "of-a-teacher" in cli("drill", "list", "--from", str(tmp_path)).stdout
    said = cli("drill", "start", "of-a-teacher", "--from", str(tmp_path), "-s", drilled, rc=2).stderr
    assert "breaks nothing" in said
    cli("drill", "status", "-s", drilled, rc=2)
    assert cli.inside(drilled, "vm3", "iptables-save | grep -v '^[#:]'") == rules
    assert cli.json("saves", "-s", drilled) == saves
    cli.inside(drilled, "vm3", "systemctl stop dovecot")
    assert "all checks pass" in cli("drill", "start", "-s", drilled, rc=2).stderr
    cli.inside(drilled, "vm3", "systemctl start dovecot")


def test_a_drill_that_does_not_fit_what_was_built_is_passed_over(cli: Cli, engine: Engine, drilled: str) -> None:
    def rules() -> str:
        return cli.inside(drilled, "vm3", "iptables-save | grep -v '^[#:]'; cat /etc/sysconfig/iptables.mine")

    cli.inside(drilled, "vm3", "cp /etc/sysconfig/iptables /etc/sysconfig/iptables.mine")
    own = "sed -i 's/-m tcp --dport 143/-m multiport --dports 143/' /etc/sysconfig/iptables"
    cli.inside(drilled, "vm3", f"{own}; systemctl reload iptables")
    before, saves = rules(), cli.json("saves", "-s", drilled)
    said = cli("drill", "start", "reading-times-out", "-s", drilled, rc=2).stderr
    assert "did not work on vm3" in said
    assert (rules(), cli.json("saves", "-s", drilled)) == (before, saves), "nothing is fixed that was not broken"
    [environment] = engine.environments(drilled)
    wanted = [practice.named(name, list(TABLE)) for name in ("reading-times-out", "vm3-takes-no-calls")]
    assert practice.start(engine, environment, wanted, silent).drill == wanted[1]
    assert practice.give_up(engine, environment, silent).report.failed == 0
    cli.inside(drilled, "vm3", "mv /etc/sysconfig/iptables.mine /etc/sysconfig/iptables; systemctl reload iptables")


def test_a_bad_link_is_a_fault_that_nothing_in_the_machines_tells_of(cli: Cli, drilled: str, tmp_path: Path) -> None:
    begun = cli.json("drill", "start", "one-machine-is-silent", "-s", drilled)
    assert "Nothing of vm3 answers" in begun["symptom"]
    assert "impaired" not in str(cli.json("status", "-s", drilled)["environments"]), "the student is to find it"
    assert cli.json("drill", "check", "-s", drilled, rc=1)["result"] is None
    cli("reboot", "vm3", "-s", drilled)
    result = cli.json("drill", "check", "-s", drilled)["result"]
    assert (result["mended"], result["solution"]) == (True, "labenv reboot vm3")

    late = (LAB.folder / "drills" / "one-machine-is-silent.yaml").read_text().replace("down: true", "delay: 9000")
    (tmp_path / "late.yaml").write_text(late)
    there = ("drill", "start", "late", "--from", str(tmp_path), "-s", drilled)
    said = cli(*there, rc=None)
    if "it lacks netem" in said.stderr:
        assert said.returncode == 2
        assert "No drill is running" in cli("drill", "status", "-s", drilled, rc=2).stderr
    else:
        assert said.returncode == 0, said
        assert cli.json("drill", "give-up", "-s", drilled)["checks"]["failed"] == 0


def test_a_start_that_was_killed_is_undone_or_has_started_a_drill(cli: Cli, drilled: str) -> None:
    words = ["drill", "start", "-s", drilled, "--level", "1", "--seed", "week 7"]

    def start(when: str, place: str) -> None:
        """Start a drill that is killed at a change on the engine."""
        command = [sys.executable, "-m", "tests.e2e.killed", when, place, "0", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr

    cli(*words)
    given_up = cli.json("drill", "give-up", "--yes", "-s", drilled)
    assert given_up["result"]["name"] == drills.drawn([d for d in TABLE if d.level == 1], drilled, "week 7")[0].name
    assert (given_up["result"]["mended"], given_up["summary"]["failed"]) == (False, 0)
    saves = cli.json("saves", "-s", drilled)
    # The drill is recorded, then its fault is put in; the files are recorded; the drill runs, and the first record goes.
    for when, place in (("after", "volumes/create:1"), ("before", "volumes/create:2")):
        start(when, place)
        assert "was interrupted" in cli("drill", "status", "-s", drilled, rc=2).stderr
        assert "interrupted; removing its fault" in cli("up", drilled, "--no-check").stderr
        assert cli.json("saves", "-s", drilled) == saves
    start("after", "volumes/create:3")
    assert cli.json("drill", "status", "-s", drilled)["begun"]
    assert cli.json("drill", "give-up", "--yes", "-s", drilled)["summary"]["failed"] == 0


def test_what_a_killed_start_is_still_typing_ends_before_it_is_undone(cli: Cli, drilled: str, tmp_path: Path) -> None:
    text = (LAB.folder / "drills" / "no-inbox-since-the-power-cut.yaml").read_text()
    waits = "systemctl stop dovecot\n  until [ -e /run/go-on ]; do sleep 0.1; done\n  systemctl disable dovecot"
    (tmp_path / "slow.yaml").write_text(text.replace("systemctl disable --now dovecot", waits))
    command = [sys.executable, "-m", "labenv", "drill", "start", "slow", "--from", str(tmp_path), "-s", drilled]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as started:
        await_(lambda: "inactive" in cli.inside(drilled, "vm3", "systemctl is-active dovecot", rc=None))
        started.kill()
    with subprocess.Popen([*command[:3], "save", "undone", "-s", drilled], stderr=subprocess.PIPE, text=True) as saved:
        cli.inside(drilled, "vm3", "touch /run/go-on")
        assert "interrupted; removing its fault" in saved.communicate(timeout=300)[1]
    cli.inside(drilled, "vm3", "rm /run/go-on && systemctl is-enabled dovecot && systemctl is-active dovecot")


def await_(fact: Callable[[], bool], patience: float = 180) -> None:
    """Wait until a condition is true."""
    deadline = time.monotonic() + patience
    while not fact():
        assert time.monotonic() < deadline


def test_a_teachers_folder_is_listed_and_lint_names_the_line_of_a_drill_that_is_wrong(cli: Cli, tmp_path: Path) -> None:
    text = (LAB.folder / "drills" / "reading-times-out.yaml").read_text()
    file = tmp_path / "mine.yaml"
    file.write_text(text.replace("layer: firewall", "layer: ether"))
    assert (
        f"{file}:4: the layer 'ether' is unknown. The layers are: dns ("
        in cli("drill", "lint", str(tmp_path), rc=2).stdout
    )
    file.write_text(text.replace("machines: [vm3]", "machines: [vm9]"))
    assert f"{file}:5: the machine 'vm9' is unknown" in cli("drill", "lint", str(tmp_path), rc=2).stdout
    file.write_text(text)
    assert "1 drill: no errors" in cli("drill", "lint", str(tmp_path)).stdout
    own = Cli({"LABENV_DRILLS": str(tmp_path)})
    names = [drill["name"] for drill in own.json("drill", "list")["drills"]]
    assert "mine" in names
    assert len(names) == len(TABLE) + 1


def test_the_list_gives_no_fault_away_and_holds_three_levels_over_all_layers(cli: Cli) -> None:
    listed = cli("drill", "list", "--json").stdout
    assert not [drill.name for drill in TABLE if drill.title in listed]
    assert len(TABLE) >= 25
    assert {drill.level for drill in TABLE} == {1, 2, 3}
    assert {drill.layer for drill in TABLE} == set(labs.load("lab4b").layers)
