"""`labenv solve`: what it types, says and refuses, and that it fixes what is broken. Where it leads at each stage: test_proof."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from labenv.engine import Engine
from labenv.lab import labs
from labenv.proof.force import Facts, in_force
from tests.e2e.conftest import Cli

LAB = labs.load("lab4b")

# Whose files solving again must not touch, whatever is in force.
FILES = (
    "cat /etc/postfix/main.cf /etc/resolv.conf /etc/hosts /etc/named.conf /var/named/mydb-* 2>/dev/null; doveconf -n"
)


@pytest.fixture(scope="module")
def solved(cli: Cli, new_student: Callable[[], str]) -> Iterator[str]:
    """The student of an environment from lab4a on, in which the whole sheet was solved."""
    student = new_student()
    cli("up", student, "--at", "lab4a", "--first", "anna", "--no-check")
    cli("solve", "--all", "-s", student)
    yield student
    cli("down", "-s", student, rc=None)


def state(engine: Engine, student: str) -> Facts:
    """What is in force on each machine, as the lab itself tells it."""
    return in_force(engine, LAB, engine.environments(student)[0])


@pytest.mark.soak
def test_after_the_whole_sheet_every_check_passes_and_solving_again_changes_nothing(
    cli: Cli, engine: Engine, solved: str
) -> None:
    assert cli.json("check", "-s", solved)["summary"]["failed"] == 0
    before = state(engine, solved), [cli.inside(solved, m, FILES, rc=None) for m in ("host", "vm2", "vm3")]
    cli("solve", "--all", "-s", solved)
    assert (state(engine, solved), [cli.inside(solved, m, FILES, rc=None) for m in ("host", "vm2", "vm3")]) == before
    assert cli.json("check", "-s", solved)["summary"]["failed"] == 0


def test_what_was_solved_survives_a_reboot(cli: Cli, engine: Engine, solved: str) -> None:
    before = state(engine, solved).of["vm3"]
    cli("reboot", "vm3", "-s", solved)
    assert state(engine, solved).of["vm3"] == before


BROKEN = [
    ("0", "vm2", "systemctl disable --now postfix"),
    ("0", "vm3", "echo 'nameserver 10.102.100.21' >/etc/resolv.conf"),
    ("9", "vm3", "echo 'myorigin = $myhostname' >>/etc/postfix/main.cf"),
    ("11", "vm2", "postconf -e 'mydestination = $mydomain, $myhostname'; systemctl restart postfix"),
    ("12", "host", "sed -i 's/MX *10 /MX /' /var/named/mydb-for-*-ops"),
    ("13", "host", "systemctl disable --now named"),
    ("17", "vm2", "postconf -e 'relayhost = vm3.<yourdomain>.ops'; systemctl restart postfix"),
    ("17", "vm3", "postconf -e 'relayhost = vm2'; systemctl restart postfix"),
    ("19", "vm3", "postconf -e 'mynetworks = 0.0.0.0/0'"),
    ("22", "vm3", "postconf -X mailbox_command; postconf -e 'home_mailbox = Maildir/'"),
    ("23", "vm3", "sed -i 's/^mail_location.*/mail_location = mbox:~\\/mail/' /etc/dovecot/conf.d/10-mail.conf"),
    (
        "28",
        "vm3",
        "sed -i 's/^protocols.*/protocols = imap pop3/' /etc/dovecot/dovecot.conf; systemctl restart dovecot",
    ),
    ("29", "vm3", "systemctl disable --now dovecot"),
    ("31", "vm3", "iptables -I INPUT -p tcp --dport 143 -j ACCEPT"),
    ("31", "vm3", "sed -i '/dport 143/d' /etc/sysconfig/iptables"),
    ("33", "vm3", "sed -i 's/^disable_plaintext_auth/#&/' /etc/dovecot/conf.d/10-auth.conf"),
    ("34", "vm3", "printf 'ssl = required' >/etc/dovecot/conf.d/10-ssl.conf"),
    ("41", "vm2", "iptables -I INPUT -p tcp --dport 25 -j DROP; service iptables save"),
    ("42", "vm3", "userdel -r anna"),
    ("42", "vm2", "useradd anna"),
    ("21", "vm3", "yum -y remove dovecot"),
]


@pytest.mark.parametrize(("step", "machine", "fault"), BROKEN)
def test_a_broken_step_is_mended_by_its_solution(cli: Cli, solved: str, step: str, machine: str, fault: str) -> None:
    cli.inside(solved, machine, fault)
    cli("check", step, "-s", solved, rc=1)
    cli("solve", step, "-s", solved)
    cli("check", step, "-s", solved)


def test_after_all_that_the_whole_sheet_mends_the_rest(cli: Cli, solved: str) -> None:
    cli("solve", "--all", "-s", solved)
    assert cli.json("check", "-s", solved)["summary"]["failed"] == 0


def test_it_shows_what_it_types_and_what_comes_back(cli: Cli, solved: str) -> None:
    said = cli("solve", "14", "-s", solved).stdout
    assert "# Step 14: " in said
    assert f"[root@vm2 ~]# dig MX {solved}.ops\n" in said
    assert f"10 vm3.{solved}.ops.\n" in said
    assert said.endswith(".4\n")


def test_the_error_of_the_sheet_is_told(cli: Cli, solved: str) -> None:
    said = cli("solve", "11b", "--dry-run", "-s", solved).stdout.splitlines()
    assert said == [
        f"# Step 11b: {LAB.steps['11b'].title}",
        f"# Note: {LAB.steps['11b'].note}",
        "[root@vm3 ~]# systemctl restart postfix",
    ]


def test_a_dry_run_types_nothing(cli: Cli, engine: Engine, student: str) -> None:
    cli("up", student, "--at", "lab4a", "--no-check")
    before = state(engine, student)
    said = cli("solve", "--all", "--dry-run", "-s", student).stdout
    assert re.findall(r"# Step (\w+):", said) == [s.id for s in LAB.steps.values() if not s.is_for_a_person]
    assert state(engine, student) == before
    document = cli.json("solve", "17", "--dry-run", "-s", student)
    assert next((line["machine"], line["rc"]) for line in document["typed"]) == ("vm2", None)


def test_json_tells_what_was_typed_and_how_it_ended(cli: Cli, solved: str) -> None:
    document: dict[str, Any] = cli.json("solve", "13", "-s", solved)
    assert (document["student"], document["lab"]) == (solved, "lab4b")
    assert {frozenset(line) for line in document["typed"]} == {
        frozenset({"step", "machine", "command", "rc", "output"})
    }
    assert [line["rc"] for line in document["typed"]] == [0, 0, 0]
    assert f"hostmaster.{solved}.ops." in document["typed"][-1]["output"]


def test_it_stops_at_the_first_line_that_fails(cli: Cli, solved: str) -> None:
    zone = f"/var/named/mydb-for-{solved}-ops"
    cli.inside(solved, "host", f"cp -p {zone} /root/zone; echo 'nonsense' >>{zone}")
    done = cli("solve", "12", "-s", solved, "--json", rc=1)
    typed = json.loads(done.stdout)["typed"]
    assert [line["rc"] for line in typed] == [0, 0, 0, 1]
    assert f"On host this command failed with status 1: named-checkzone {solved}.ops {zone}" in done.stderr
    assert "labenv check 12" in done.stderr
    cli.inside(solved, "host", f"cp -p /root/zone {zone}")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "Name what to solve"),
        (("17", "--all"), "17 and --all cannot be combined"),
        (("99",), "has no step or stage '99'"),
        (("5",), "only a person can do it"),
    ],
)
def test_what_cannot_be_solved_is_said(cli: Cli, solved: str, arguments: tuple[str, ...], sentence: str) -> None:
    assert sentence in cli("solve", *arguments, "-s", solved, rc=2).stderr


def test_a_machine_that_does_not_run_is_told_before_anything_is_typed(cli: Cli, engine: Engine, student: str) -> None:
    cli("up", student, "--at", "lab4a", "--no-check")
    engine.api.stop(f"labenv-{student}-vm3", timeout=10)
    said = cli("solve", "9", "-s", student, rc=3)
    assert "vm3 is exited, so nothing was typed" in said.stderr
    assert not said.stdout
    assert cli.inside(student, "vm2", "postconf -h myorigin") == "$myhostname\n"
