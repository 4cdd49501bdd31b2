"""Replay: clean machines judge what was handed in as the student's own do, and no program of the student's has a say there."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from labenv.checks.run import run_checks
from labenv.classroom.handins import handin, pieces, submit
from labenv.classroom.handins.pieces import Account, Carried, Pieces, Place
from labenv.classroom.replay import clean, replay
from labenv.engine import Engine
from labenv.environments import machines
from labenv.events import silent
from labenv.lab import labs, mutations
from tests.e2e.conftest import Cli

LAB = labs.load("lab4b")
CI = Path(__file__).parents[2] / "docs" / "ci"
# Faults and right variants that do not meet: of files, rights, tables, accounts, units, saved rules, folders.
TYPED = (
    "smtp-rule-not-saved",
    "mailbox-command-typographic-quotes",
    "account-expired",
    "maildir-on-vm2",
    "zone-not-readable",
    "inet-protocols-all",
)


def statuses(report: dict[str, Any]) -> dict[str, str]:
    """The worst of each step's checks, as far as clean machines judge it; a warning is a pass."""
    there: dict[str, set[str]] = {}
    for result in report["results"]:
        if not LAB.steps[result["step"]].is_for_a_person and result["step"] not in replay.transient(LAB):
            there.setdefault(result["step"], set()).add(result["status"])
    return {step: next((s for s in ("fail", "skip") if s in seen), "pass") for step, seen in there.items()}


@pytest.fixture(scope="module")
def handed_in(
    cli: Cli, engine: Engine, new_student: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """A submission of an environment with faults in many places, and what the checks said there."""
    name = new_student()
    cli("up", name, "--no-check")
    there = engine.environments(name)[0]
    for mutation in (*mutations.faults(LAB), *mutations.variants(LAB)):
        if mutation.id in TYPED:
            for machine in mutation.machines:
                cli.inside(name, machine, mutation.script(there.student))
    file = tmp_path_factory.mktemp("replay") / f"{name}.tar.gz"
    told = cli("submit", str(file), "-s", name).stderr
    assert "accounts with hashes of passwords" in told
    assert file.stat().st_mode & 0o777 == 0o600
    with tarfile.open(file) as archive:
        report = json.load(archive.extractfile("check.json"))  # type: ignore[arg-type]
    return file, report  # the environment goes on running: replay leaves it alone


def test_clean_machines_judge_as_the_students_own(
    cli: Cli, engine: Engine, handed_in: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    file, own = handed_in
    before = engine.environments(file.name.partition(".")[0])
    results, junit, html = (tmp_path / name for name in ("results.json", "junit.xml", "report.html"))
    written = ("--results", str(results), "--junit", str(junit), "--html", str(html))
    told = cli.json("replay", str(file), *written, rc=1)["replayed"][0]
    assert statuses(told) == statuses(own)
    assert "fail" in statuses(told).values()
    assert told["transient"] == ["8"]
    assert told["refused"] == []
    assert engine.environments(file.name.partition(".")[0]) == before
    assert before
    graded = json.loads(results.read_text())
    assert {test["number"]: test["tags"] for test in graded["tests"]}["8"] == ["log"]
    assert 0 < graded["score"] < sum(test["max_score"] for test in graded["tests"])
    assert "<failure" in junit.read_text()
    assert "judged on clean machines" in html.read_text()


def test_nothing_of_an_attackers_runs_on_a_clean_machine(
    engine: Engine, handed_in: tuple[Path, dict[str, Any]]
) -> None:
    given = replay.read(handed_in[0])
    vm3 = given.pieces["vm3"]
    root = Place(0o4755, "root", "root")
    evil = (
        Carried(
            "/etc/systemd/system/rsyslog.service.d/a.conf", root, "[Service]\nExecStartPre=/usr/bin/touch /pwned\n"
        ),
        Carried("/etc/systemd/system/evil.service", root, "[Service]\nExecStart=/usr/bin/touch /pwned\n"),
        Carried("/etc/pam.d/dovecot", root, "auth optional pam_exec.so /usr/bin/touch /pwned\n"),
        Carried("/etc/cron.d/evil", root, "* * * * * root /usr/bin/touch /pwned\n"),
        Carried("/etc/postfix/postfix-script", root, "#!/bin/sh\ntouch /pwned\n"),
        Carried("/etc/aliases", root, 'root: "|/usr/bin/touch /pwned"\nsmith: asmith15\n'),
        Carried(
            "/etc/postfix/main.cf", root, "debugger_command = touch /pwned\nmailbox_command = sh -c 'touch /pwned'\n"
        ),
        Carried(
            "/etc/sysconfig/iptables",
            root,
            "*filter\n-A INPUT -M /usr/bin/touch -m pwned -j ACCEPT\n$(touch /pwned)\nCOMMIT\n",
        ),
        Carried(
            "/etc/dovecot/conf.d/99-evil.conf", root, "service evil {\n  executable = script /usr/bin/touch /pwned\n}\n"
        ),
    )
    paths = {file.path for file in evil}
    hostile = replace(
        vm3,
        files=(*(file for file in vm3.files if file.path not in paths), *evil),
        accounts=(*vm3.accounts, Account("root2", "lab", 0, 0, "", "/root", "/bin/bash", None, None)),
        links=dict(vm3.links or {}) | {"multi-user.target.wants/evil.service": "/etc/systemd/system/evil.service"},
    )
    made, refused = clean.plan(
        engine, given.student, LAB, handin.wanted(LAB), {**given.pieces, "vm3": hostile}, next(clean.free_ids(engine))
    )
    for word in (
        "ExecStartPre=",
        "evil.service",
        "pam.d",
        "cron.d",
        "postfix-script",
        "aliases",
        "debugger_command",
        "root2",
    ):
        assert any(word in said for said in refused), word
    with clean.machines(engine, made, silent) as there, engine.shell(there.machine("vm3")) as shell:
        assert shell.run("echo x | mail -s x root; postqueue -f; ls /pwned /etc/systemd/system/evil.service").rc == 2
        assert shell.run("getent passwd root2").rc == 2
        assert (
            shell.run(f"find {' '.join(sorted(paths))} -perm /6111 2>/dev/null").text == "/etc/postfix/postfix-script\n"
        )
        assert shell.run("grep -c pwned /etc/postfix/postfix-script").rc == 1
        assert "asmith15" in shell.run("cat /etc/aliases").text
        assert shell.run("cat /etc/shadow").text.count("$6$") >= 2
        report = run_checks(engine, there, steps=["42"])
    assert {result.status for result in report.results} <= {"pass", "warn", "fail"}
    assert not [each for each in engine.environments() if each.student.id == made.student.id]


def test_machines_that_an_interrupted_replay_left_are_removed_by_the_next(
    engine: Engine, handed_in: tuple[Path, dict[str, Any]]
) -> None:
    given = replay.read(handed_in[0])
    made, _ = clean.plan(engine, given.student, LAB, handin.wanted(LAB), {}, next(clean.free_ids(engine)))
    with machines.making_networks(engine, made) as coming:  # and is killed
        machines.make(engine, made, [made.topology.nodes[0]], silent, coming)
    assert [each.replays for each in engine.environments(made.student.id)] == [given.student.id]
    with clean.machines(engine, made, silent) as there:
        assert {machine.state for machine in there.machines} == {"running"}
    assert not engine.environments(made.student.id)


def test_what_cannot_be_replayed_is_said_and_stops_no_other(
    cli: Cli, handed_in: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    file, _ = handed_in
    with tarfile.open(file) as archive:
        members = {m.name: archive.extractfile(m).read() for m in archive if m.name.partition("/")[0] != pieces.FOLDER}  # type: ignore[union-attr]
    about = json.loads(members.pop("manifest.json"))
    submit.write(tmp_path / "older.tar.gz", members, about)
    submit.write(tmp_path / "webmail.tar.gz", members, about | {"lab": "lab6"})
    (tmp_path / "none.tar.gz").write_bytes(b"no archive")
    bad = members | {"replay/vm3.json": Pieces((Carried("/etc/aliases", Place(0, "a b", ""), ""),)).to_json()}
    submit.write(tmp_path / "bad.tar.gz", bad, about)
    done = cli("replay", str(tmp_path), rc=2)
    assert (
        "older.tar.gz: nothing in it can be replayed: it was made by a labenv that packed nothing for replay"
        in done.stderr
    )
    assert "webmail.tar.gz: lab6 cannot be judged on clean machines: its pages " in done.stderr
    assert "none.tar.gz: it is no gzip" in done.stderr or "none.tar.gz: " in done.stderr
    assert "bad.tar.gz: what it has for replay does not have the form" in done.stderr


def scripts() -> dict[str, list[str]]:
    """The commands of the CI files in the documentation, as their servers run them: each line of a list ends the job if it fails."""
    github = yaml.safe_load((CI / "github.yml").read_text(encoding="utf-8"))
    gitlab = yaml.safe_load((CI / "gitlab.yml").read_text(encoding="utf-8"))
    steps = [step["run"] for step in github["jobs"]["grade"]["steps"] if "run" in step and "if" not in step]
    return {"github": steps, "gitlab": gitlab["grade"]["script"]}


@pytest.fixture(scope="module")
def new_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH with a new Python: there is no index here, so it finds labenv where this one has it, and pip sees that it is installed."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=True)
    place = next((folder / "lib").glob("python3*")) / "site-packages" / "labenv.pth"
    place.write_text("\n".join(sys.path), encoding="utf-8")
    return f"{folder}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}"


@pytest.mark.parametrize("server", ["github", "gitlab"])
def test_the_ci_files_grade_a_repository_with_a_hand_in(
    server: str, handed_in: tuple[Path, dict[str, Any]], new_python: str, tmp_path: Path
) -> None:
    shutil.copy(handed_in[0], tmp_path / "handin.tar.gz")
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join(scripts()[server])],
        cwd=tmp_path,
        env=os.environ | {"PATH": new_python},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr  # a check fails, and no more than that
    results = json.loads((tmp_path / "results.json").read_text())
    assert 0 < results["score"] < 36
    assert any(test.get("status") == "failed" for test in results["tests"])
    suites = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert int(suites.get("failures", "0")) == sum(test.get("status") == "failed" for test in results["tests"])
    assert (tmp_path / "report.html").read_text().startswith("<!")
