"""`labenv solve`: typing the sheet's solutions leads to the same result as `up`, at every stage, and fixes what is broken."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from labenv.engine import Engine
from labenv.lab import labs
from tests.e2e.conftest import Cli

LAB = labs.load("lab4b")
STAGES = [stage.id for stage in LAB.stages]

# What is in force on a machine, in lines whose order matters only within a firewall chain: what a chain accepts may be in
# any order there as well, as long as the chain has nothing else, and these have nothing else.
STATE = r"""
prefix() { sed "s|^|$1 |"; }
postconf -nx 2>&1 | prefix postconf
doveconf -n 2>&1 | grep -v '^#' | tr '\n' ' ' | sed 's/} /}\n/g' | prefix doveconf
iptables-save -t filter | sed '/^[#*C]/d; s/ \[.*\]//' | prefix 'in force'
sed '/^[#*C]/d; s/ \[.*\]//' /etc/sysconfig/iptables | prefix saved
getent passwd | cut -d : -f 1,6,7 | prefix account
stat -c '%U %a %n' /home/* | prefix home
systemctl list-unit-files --state=enabled,enabled-runtime --no-legend --plain | prefix enabled
systemctl list-units --type=service,socket,target --state=active --no-legend --plain | cut -d ' ' -f 1 | prefix active
systemctl list-units --state=failed --no-legend --plain | prefix failed
"""
ZONES = "for zone in DOMAIN NET.in-addr.arpa; do dig @127.0.0.1 +noall +answer AXFR $zone | sed 's/^/served /'; done"


def state(cli: Cli, student: str) -> dict[str, list[str]]:
    """The effective state of each machine, with the student's own names and numbers removed."""
    [known] = cli.json("status", "-s", student)["environments"]
    prefix = known["network"].removesuffix(".0/24")
    net = ".".join(reversed(prefix.split(".")))
    zones = ZONES.replace("DOMAIN", known["domain"]).replace("NET", net)
    found = {}
    for machine in ("host", "vm2", "vm3"):
        text = cli.inside(student, machine, STATE + (zones if machine == "host" else ""))
        for own, common in ((prefix, "192.168.X"), (net, "X.168.192"), (student, "ID")):
            text = re.sub(rf"\b{re.escape(own)}\b", common, text)
        found[machine] = sorted(" ".join(line.split()) for line in text.splitlines())
        said = {line.split()[0] for line in found[machine]}
        assert said >= {
            "in",
            "saved",
            "account",
            "home",
            "enabled",
            "active",
            "served" if machine == "host" else "postconf",
        }
    return found


@pytest.fixture(scope="module")
def climber(cli: Cli, new_student: Callable[[], str]) -> Iterator[Callable[[str], str]]:
    """An environment from lab4a on, and a function that solves it up to a stage."""
    student = new_student()
    cli("up", student, "--at", "lab4a", "--first", "anna", "--no-check")
    solved: list[str] = []

    def climb(stage: str) -> str:
        for name in STAGES[len(solved) : STAGES.index(stage) + 1]:
            cli("solve", name, "-s", student)
            solved.append(name)
        return student

    yield climb
    cli("down", "-s", student, rc=None)


@pytest.mark.parametrize("stage", STAGES)
def test_solving_up_to_a_stage_leads_where_up_leads(
    cli: Cli, climber: Callable[[str], str], student: str, stage: str
) -> None:
    typed = state(cli, climber(stage))
    cli("up", student, "--at", stage, "--first", "anna", "--no-check")
    assert typed == state(cli, student)


def test_after_the_last_stage_every_check_passes_and_solving_again_changes_nothing(
    cli: Cli, climber: Callable[[str], str]
) -> None:
    student = climber(STAGES[-1])
    assert cli.json("check", "-s", student)["summary"]["failed"] == 0
    files = "cat /etc/postfix/main.cf /etc/resolv.conf /etc/hosts /etc/named.conf /var/named/mydb-* 2>/dev/null; doveconf -n"
    before = state(cli, student), [cli.inside(student, m, files, rc=None) for m in ("host", "vm2", "vm3")]
    cli("solve", "--all", "-s", student)
    assert (state(cli, student), [cli.inside(student, m, files, rc=None) for m in ("host", "vm2", "vm3")]) == before
    assert cli.json("check", "-s", student)["summary"]["failed"] == 0


def test_what_was_solved_survives_a_reboot(cli: Cli, climber: Callable[[str], str]) -> None:
    student = climber(STAGES[-1])
    before = state(cli, student)["vm3"]
    cli("reboot", "vm3", "-s", student)
    assert state(cli, student)["vm3"] == before


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
def test_a_broken_step_is_mended_by_its_solution(
    cli: Cli, climber: Callable[[str], str], step: str, machine: str, fault: str
) -> None:
    student = climber(STAGES[-1])
    cli.inside(student, machine, fault)
    cli("check", step, "-s", student, rc=1)
    cli("solve", step, "-s", student)
    cli("check", step, "-s", student)


def test_after_all_that_the_whole_sheet_mends_the_rest(cli: Cli, climber: Callable[[str], str]) -> None:
    student = climber(STAGES[-1])
    cli("solve", "--all", "-s", student)
    assert cli.json("check", "-s", student)["summary"]["failed"] == 0


def test_it_shows_what_it_types_and_what_comes_back(cli: Cli, climber: Callable[[str], str]) -> None:
    student = climber(STAGES[-1])
    said = cli("solve", "14", "-s", student).stdout
    assert "# Step 14: " in said
    assert f"[root@vm2 ~]# dig MX {student}.ops\n" in said
    assert f"10 vm3.{student}.ops.\n" in said
    assert said.endswith(".4\n")


def test_the_error_of_the_sheet_is_told(cli: Cli, climber: Callable[[str], str]) -> None:
    said = cli("solve", "11b", "--dry-run", "-s", climber(STAGES[-1])).stdout.splitlines()
    assert said == [
        f"# Step 11b: {LAB.steps['11b'].title}",
        f"# Note: {LAB.steps['11b'].note}",
        "[root@vm3 ~]# systemctl restart postfix",
    ]


def test_a_dry_run_types_nothing(cli: Cli, student: str) -> None:
    cli("up", student, "--at", "lab4a", "--no-check")
    before = state(cli, student)
    said = cli("solve", "--all", "--dry-run", "-s", student).stdout
    assert re.findall(r"# Step (\w+):", said) == [s.id for s in LAB.steps.values() if not s.is_for_a_person]
    assert state(cli, student) == before
    document = cli.json("solve", "17", "--dry-run", "-s", student)
    assert next((line["machine"], line["rc"]) for line in document["typed"]) == ("vm2", None)


def test_json_tells_what_was_typed_and_how_it_ended(cli: Cli, climber: Callable[[str], str]) -> None:
    student = climber(STAGES[-1])
    document: dict[str, Any] = cli.json("solve", "13", "-s", student)
    assert (document["student"], document["lab"]) == (student, "lab4b")
    assert {frozenset(line) for line in document["typed"]} == {
        frozenset({"step", "machine", "command", "rc", "output"})
    }
    assert [line["rc"] for line in document["typed"]] == [0, 0, 0]
    assert f"hostmaster.{student}.ops." in document["typed"][-1]["output"]


def test_it_stops_at_the_first_line_that_fails(cli: Cli, climber: Callable[[str], str]) -> None:
    student = climber(STAGES[-1])
    zone = f"/var/named/mydb-for-{student}-ops"
    cli.inside(student, "host", f"cp -p {zone} /root/zone; echo 'nonsense' >>{zone}")
    done = cli("solve", "12", "-s", student, "--json", rc=1)
    typed = json.loads(done.stdout)["typed"]
    assert [line["rc"] for line in typed] == [0, 0, 0, 1]
    assert f"On host this command failed with status 1: named-checkzone {student}.ops {zone}" in done.stderr
    assert "labenv check 12" in done.stderr
    cli.inside(student, "host", f"cp -p /root/zone {zone}")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "Name what to solve"),
        (("17", "--all"), "17 and --all cannot be combined"),
        (("99",), "has no step or stage '99'"),
        (("5",), "only a person can do it"),
    ],
)
def test_what_cannot_be_solved_is_said(
    cli: Cli, climber: Callable[[str], str], arguments: tuple[str, ...], sentence: str
) -> None:
    assert sentence in cli("solve", *arguments, "-s", climber(STAGES[-1]), rc=2).stderr


def test_a_machine_that_does_not_run_is_told_before_anything_is_typed(cli: Cli, engine: Engine, student: str) -> None:
    cli("up", student, "--at", "lab4a", "--no-check")
    engine.api.stop(f"labenv-{student}-vm3", timeout=10)
    said = cli("solve", "9", "-s", student, rc=3)
    assert "vm3 is exited, so nothing was typed" in said.stderr
    assert not said.stdout
    assert cli.inside(student, "vm2", "postconf -h myorigin") == "$myhostname\n"
