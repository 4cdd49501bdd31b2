"""A federated class: one world outside for all, by which students write to each other, and in no other way."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from labenv.classroom.federation import world
from labenv.classroom.folder.load import load
from labenv.classroom.folder.model import Class
from labenv.engine import Engine, lent
from labenv.environments.plan import WORLD
from labenv.events import silent
from tests.e2e.conftest import Cli

_WAIT = 30


@dataclass
class Federation:
    """A class of three whose environments are finished."""

    cli: Cli
    engine: Engine
    of: Class
    x: dict[str, int]

    @property
    def students(self) -> list[str]:
        return sorted(self.x)

    @property
    def outside(self) -> str:
        machine = world.outside(self.engine, self.of.id)
        assert machine
        return machine.container

    def abroad(self, script: str) -> str:
        """What a command in the world outside prints."""
        with self.engine.shell(self.outside) as shell:
            return shell.run(script).text

    def matrix(self, *options: str, rc: int = 0) -> Any:
        return self.cli.json("class", "matrix", "-c", f"{self.of.folder}", *options, rc=rc)

    def log(self, student: str, machine: str, pattern: str) -> str:
        """The first line of a maillog that matches, once there is one."""
        deadline = time.monotonic() + _WAIT
        while not (found := re.search(f"^.*(?:{pattern}).*$", self.read(student, machine), re.MULTILINE)):
            assert time.monotonic() < deadline, f"no line fits {pattern} on {machine} of {student}"
            time.sleep(0.1)
        return found[0]

    def read(self, student: str, machine: str) -> str:
        return self.cli.inside(student, machine, "cat /var/log/maillog")


@pytest.fixture(scope="module")
def federation(
    cli: Cli, engine: Engine, new_student: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Federation]:
    students = [new_student() for _ in range(3)]
    folder = tmp_path_factory.mktemp("class")
    (folder / "class.yaml").write_text(
        f"name: Three who write\nid: {students[0]}-class\nfederate: true\nlabs:\n  - lab: lab4b\n    at: done\n"
    )
    (folder / "roster.csv").write_text("id\n" + "\n".join(students) + "\n")
    of = load(folder)
    try:
        cli("class", "up", "-c", f"{folder}", "--no-check")
        there = {each.student.id: each.student.x for each in world.members(engine, of.id)}
        yield Federation(cli, engine, of, there)
    finally:
        world.remove(engine, of.id, silent)


def test_everybody_reaches_everybody_and_nothing_stays_of_it(federation: Federation) -> None:
    a, b, c = federation.students
    seen = federation.matrix("--html", f"{federation.of.folder / 'matrix.html'}")
    assert seen["summary"]["delivered"] == seen["summary"]["pairs"] == 6
    assert {(pair["from"], pair["to"]) for pair in seen["pairs"]} == {
        (sender, to) for sender in (a, b, c) for to in (a, b, c) if sender != to
    }
    assert seen["students"][0] == {"student": a, "exchanger": f"vm3.{a}.ops", "troubles": []}
    for who in federation.students:
        for machine in ("vm2", "vm3"):
            left = "grep -c labenv-check /var/log/maillog; mailq; grep -rl labenv-check /home/*/Maildir/new /home/*/Maildir/cur /var/spool/mail"
            assert federation.cli.inside(who, machine, left, rc=None).splitlines()[:2] == ["0", "Mail queue is empty"]
    page = (federation.of.folder / "matrix.html").read_text()
    assert page.count('class="delivered" title=') == 6
    assert "Everybody reaches everybody." in page


def test_mail_goes_by_the_mx_of_the_other_and_no_server_relays_for_a_stranger(federation: Federation) -> None:
    a, b, _ = federation.students
    cli = federation.cli
    cli.inside(a, "vm2", f"echo hello | mail -s greetings {b}@{b}.ops; echo hello | mail -s lost nobody@nowhere.ops")
    sent = federation.log(a, "vm3", rf"postfix/smtp\[.*to=<{b}@{b}\.ops>")
    assert f"relay=vm3.{b}.ops[192.168.{federation.x[b]}.4]:25" in sent
    assert "status=sent" in sent
    link = next(e.student.wan for e in world.members(federation.engine, federation.of.id) if e.student.id == a)
    assert f"client=unknown[{link}.1]" in federation.log(b, "vm3", r"client=unknown")
    federation.log(b, "vm3", rf"lda\({b}\).*saved mail to INBOX")
    assert "status=bounced (Host or domain name not found" in federation.log(a, "vm3", r"to=<nobody@nowhere\.ops>")
    talk = f"(sleep 1; printf 'HELO x\\r\\nMAIL FROM:<>\\r\\nRCPT TO:<info@example.org>\\r\\n'; sleep 1) | nc -w 5 vm3.{b}.ops 25"
    assert "454 4.7.1 <info@example.org>: Relay access denied" in cli.inside(a, "vm2", talk, rc=None)


def test_the_world_outside_gets_answers_and_strangers_do_not(federation: Federation) -> None:
    a, b, _ = federation.students
    x, cli = federation.x[b], federation.cli
    assert f"allow-query {{ 127.0.0.1; 192.168.{x}.0/24; }};" in cli.inside(b, "host", "cat /etc/named.conf")
    assert federation.abroad(f"dig +short MX {b}.ops") == f"10 vm3.{b}.ops.\n"
    assert cli.inside(a, "vm2", f"dig +short MX {b}.ops") == f"10 vm3.{b}.ops.\n", "by the student's own name server"
    asked = f"dig +tries=1 +time=2 @192.168.{x}.1 {b}.ops"
    for machine in ("vm2", "host"):
        assert "no servers could be reached" in cli.inside(a, machine, asked, rc=None)
    ports = " ".join(f"192.168.{x}.{last}/{port}" for last in (1, 3, 4) for port in (22, 53, 143))
    public = f"198.18.{x}.1/53 198.18.{x}.1/25 100.64.{x}.1/53 100.64.{x}.4/143"
    tried = f'for to in {ports} {public}; do nc -z -w 2 ${{to%/*}} ${{to#*/}} 2>/dev/null && echo "$to"; done; true'
    assert cli.inside(a, "host", tried) == ""
    assert cli.inside(a, "vm2", f"ping -c 1 -W 1 192.168.{x}.4 >/dev/null", rc=1) == ""


def test_nobody_sends_under_an_address_of_somebody_else_and_nothing_reaches_the_real_world(
    federation: Federation,
) -> None:
    a, b, c = federation.students
    links = {e.student.id: e.student.wan for e in world.members(federation.engine, federation.of.id)}
    to = f"100.64.{federation.x[b]}.4 25"
    federation.cli.inside(a, "host", f"nc -z -w 2 {to}")
    spoofed = f"ip address add {links[c]}.1/32 dev lo; nc -z -w 2 -s {links[c]}.1 {to}; echo $?; ip address del {links[c]}.1/32 dev lo"
    assert federation.cli.inside(a, "host", spoofed).strip() == "1"
    assert f"unknown[{links[c]}.1]" not in federation.read(b, "vm3")
    for address in ("8.8.8.8", "203.0.113.9"):
        assert federation.abroad(f"nc -z -w 2 {address} 53 2>/dev/null; echo $?").strip() == "1"


def test_a_mistake_is_named_once_and_leaves_the_others_alone(federation: Federation) -> None:
    a, b, c = federation.students
    federation.cli.inside(b, "host", "systemctl stop named")
    try:
        seen = federation.matrix(rc=1)
        screen = federation.cli("class", "matrix", "-c", f"{federation.of.folder}", "--only", f"{a},{b}", rc=1).stdout
    finally:
        federation.cli.inside(b, "host", "systemctl start named")
    delivered = {(pair["from"], pair["to"]) for pair in seen["pairs"] if pair["delivered"]}
    assert delivered == {(a, c), (c, a)}
    assert not any(pair["found"] for pair in seen["pairs"] if pair["to"] == b)
    troubles = {each["student"]: each["troubles"] for each in seen["students"]}
    assert troubles[a] == troubles[c] == []
    assert [words.partition(":")[0] for words in troubles[b]] == ["gets no mail", "sends no mail"]
    assert screen.count(f"{b} gets no mail: the name server of {b}.ops does not answer for it") == 1
    assert federation.matrix()["summary"]["delivered"] == 6


def test_checks_pass_as_with_a_world_outside_of_ones_own(federation: Federation) -> None:
    a, *_ = federation.students
    report = federation.cli.json("check", "-s", a)
    assert report["summary"]["failed"] == 0
    reference = [each["status"] for each in report["results"] if each["step"] == "4"]
    assert set(reference) == {"pass"}, "what is done at myseneca.ca can be judged"


def test_an_environment_that_is_made_again_is_on_its_link_and_one_that_left_is_forgotten(
    federation: Federation,
) -> None:
    a, b, c = federation.students
    engine, of = federation.engine, federation.of
    federation.cli("reset", "-s", c, "--yes")
    federation.cli("saves", "-s", c, "--remove", "before-reset-1")
    federation.cli("class", "matrix", "-c", f"{of.folder}", "--only", f"{a},{c}")
    federation.cli("class", "down", "-c", f"{of.folder}", "--only", b, "--yes")
    assert b not in federation.abroad("cat /var/named/ops; ls /var/mail/myseneca.ca")
    assert "NXDOMAIN" in federation.cli.inside(a, "vm2", f"dig {b}.ops")
    assert world.settle(engine, of, silent) == ()
    federation.cli("class", "down", "-c", f"{of.folder}", "--yes")
    assert lent.machines(engine, of.id) == {}
    assert not [network for network in engine.networks() if of.id in network["Name"]]


def test_the_world_outside_alone_is_removed_too_and_what_is_left_of_it(
    cli: Cli, engine: Engine, new_student: Callable[[], str], tmp_path: Path
) -> None:
    """As an interrupted `class up` leaves it."""
    mark = new_student()
    (tmp_path / "class.yaml").write_text(f"name: Nobody yet\nid: {mark}\nfederate: true\nlabs:\n  - lab: lab4b\n")
    (tmp_path / "roster.csv").write_text(f"id\n{mark}\n")
    of, down = load(tmp_path), ("class", "down", "-c", f"{tmp_path}")
    world.settle(engine, of, silent)
    assert "Would remove the world outside of Nobody yet." in cli(*down, "--dry-run").stderr
    assert cli.json(*down, "--dry-run")["outside"] is True
    assert f"no environment of {mark}" in cli(*down, "--yes", "--only", mark, rc=3).stderr
    engine.remove_machine(lent.machines(engine, of.id)[WORLD].container)
    assert lent.found(engine, of.id) == [WORLD], "its network"
    assert "Removed the world outside of Nobody yet" in cli(*down, "--yes", "--save").stdout
    assert lent.found(engine, of.id) == []
    assert "has no environment" in cli(*down, "--yes", rc=3).stderr
