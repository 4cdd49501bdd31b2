"""Lab 4a: its sheet as data, what its checks read, and that it ends where Lab 4b begins."""

import io
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest

from labenv.classroom.handins.claims import Files
from labenv.errors import UsageError
from labenv.lab import labs, templates, topology
from labenv.lab.mutations import faults, variants
from labenv.lab.overlay import Item, as_tar, overlay
from labenv.labs.lab4a.checks import mailboxes
from labenv.labs.lab4a.claims import contradictions
from labenv.student import Student

ANNA = Student("anna", 7, "anna", "abcdefgh")
LAB = labs.load("lab4a")
# What is no part of the state that a lab leaves to the next: what labenv records, what a person reads and writes, and what only the
# next lab needs: an address for its checks, and files that a package of its brings.
APART = re.compile(
    r"/etc/labenv/(history|letters)|/root/logbook\.md|/var/log/maillog|/var/spool/mail/anna|.*ifcfg-lo:neighbour"
    r"|/etc/named\.conf\.original|/var/named/named\.localhost|/usr/share/dovecot/.*"
)


def laid(name: str, machine: str, stage: str) -> dict[str, Item]:
    lab = labs.load(name)
    whole = topology.load_for(lab, None, ANNA)
    node = next(node for node in whole.nodes if node.name == machine)
    return {item.path: item for item in overlay(lab, whole, node, ANNA, stage)}


def meaning(item: Item) -> tuple[str, int, int]:
    """A file without what its program passes over: comments, blanks, and the serial of a zone, which grows with each edit."""
    text = re.sub(r"(^|\s)(#|//|;).*", "", item.content.decode(), flags=re.MULTILINE)
    text = re.sub(r"\b20180429\d\d\b", "SERIAL", text)
    return re.sub(r"\s|\);?|\(", "", text), item.mode, item.uid


@pytest.mark.parametrize("machine", ["host", "vm2", "vm3"])
def test_it_ends_where_lab_4b_begins(machine: str) -> None:
    ends, begins = laid("lab4a", machine, "done"), laid("lab4b", machine, "lab4a")
    here, there = (
        {path: meaning(i) for path, i in files.items() if not APART.fullmatch(path)} for files in (ends, begins)
    )
    assert here == there
    assert LAB.image_of(machine, "", "done") in ("", labs.load("lab4b").image_of(machine, "host", "lab4a"))


def test_every_row_of_the_sheet_is_there_in_its_order() -> None:
    assert list(LAB.steps) == [str(number) for number in range(1, 51)]
    assert [step.id for step in LAB.steps.values() if step.stage == "done" and not step.is_for_a_person] == [
        "42", "43", "44", "45", "48"
    ]  # fmt: skip


def test_each_error_of_the_sheet_is_told_at_its_step() -> None:
    told = {step.id for step in LAB.steps.values() if step.note}
    assert told == {"2", "4", "7", "10", "20", "24", "29", "31", "36", "39", "42", "46"}


def test_titles_and_hints_are_said_once() -> None:
    said = [text for step in LAB.steps.values() for text in (step.title, *step.hints, step.note) if text]
    assert len(said) == len(set(said))


def test_each_check_is_seen_to_fail_by_a_fault_of_its_own() -> None:
    modules = (LAB.folder / "checks").glob("test_*.py")
    bound = re.compile(r'^@step\("(\w+)".*\)\ndef test_(\w+)', re.MULTILINE)
    checks = {
        f"{step}/{name}" for module in modules for step, name in bound.findall(module.read_text(encoding="utf-8"))
    }
    judged = {check for check in checks if not LAB.steps[check.partition("/")[0]].is_for_a_person}
    alone = {step for step in LAB.steps if sum(check.startswith(f"{step}/") for check in judged) == 1}
    tripped = {name.partition("@")[0] for fault in faults(LAB) for name in fault.trips}
    assert {
        check for check in judged if check not in tripped and not {check.partition("/")[0]} & tripped & alone
    } == set()
    assert (len(faults(LAB)) >= 40, len(variants(LAB)) >= 20) == (True, True)


def test_postfix_begins_as_its_package_brings_it_and_is_edited_stage_by_stage() -> None:
    def serves(machine: str, stage: str) -> bool:
        return b"\ninet_interfaces = all\n" in laid("lab4a", machine, stage)["/etc/postfix/main.cf"].content

    assert [serves("vm2", stage.id) for stage in LAB.stages] == [False, False, False, True, True]
    assert [serves("vm3", stage.id) for stage in LAB.stages] == [False, False, False, False, True]
    assert laid("lab4a", "vm2", "lab3")["/etc/postfix/main.cf"] == laid("lab3", "vm2", "done")["/etc/postfix/main.cf"]


def test_templates_may_include_those_of_the_labs_before_and_no_others(tmp_path: Path) -> None:
    for name, text in {"first": "{{ word }}\n", "second": "{% set word = 'here' %}\n{% include 'own.j2' %}\n"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{'own' if name == 'first' else 'more'}.j2").write_text(text, encoding="utf-8")
    assert templates.file(tmp_path / "second", "more.j2", tmp_path / "first") == "here\n"
    with pytest.raises(UsageError, match=r"own\.j2"):
        templates.file(tmp_path / "second", "more.j2")


def test_the_students_mailbox_is_the_students() -> None:
    box = laid("lab4a", "vm2", "mua")["/var/spool/mail/anna"]
    with tarfile.open(fileobj=io.BytesIO(as_tar([box, Item("/etc/motd", b"", 0o644)]))) as packed:
        assert [(entry.uid, entry.gid) for entry in packed] == [(1000, 1000), (0, 0)]
    assert "/var/spool/mail/anna" not in laid("lab4a", "vm2", "lab3")


def test_vm1_comes_along_and_is_made_for_nobody_else() -> None:
    whole = topology.load_for(LAB, None, ANNA)
    assert {node.name: node.profile for node in whole.nodes if node.name.startswith("vm")} == {
        "vm1": "term", "vm2": "", "vm3": ""
    }  # fmt: skip


SAID = """\
=== anna /var/spool/mail/anna
---
From: root <root@VM2.anna.ops>
Subject: first
Status: RO
Message-Id: <1@vm2.anna.ops>
---
From: root@vm2.anna.ops
Subject: labenv check: local
Message-ID: <labenv-check-0123.local@anna.ops>
=== root /home/anna/mbox
---
From: "A: B" <b@example.com>
In-Reply-To: <2@vm2.anna.ops>
"""


def test_mailboxes_are_read_without_labenvs_own_messages() -> None:
    spool, mbox = mailboxes.read(SAID)
    assert (spool.path, spool.owner, [one.status for one in spool.letters]) == ("/var/spool/mail/anna", "anna", ["RO"])
    assert (mbox.owner, mbox.letters[0].sender) == ("root", "b@example.com")
    assert spool.letters[0].sender == "root@vm2.anna.ops"
    assert "in-reply-to" in mbox.letters[0].fields


@pytest.mark.parametrize("said", ["", "nonsense", "=== \n---\n", "---\nFrom\n", "=== a b\nFrom: x\n---\n\x00:\n"])
def test_nonsense_is_no_mailbox_with_messages_of_anybody(said: str) -> None:
    assert [one.sender for box in mailboxes.read(said) for one in box.letters if one.sender] == []


class Packed:
    """An archive with the files of both machines as the lab lays them at its end, of which some are changed."""

    def __init__(self, **changed: str) -> None:
        there = {
            (machine, path): item for machine in ("vm2", "vm3") for path, item in laid("lab4a", machine, "done").items()
        }
        self.members = {f"config/{machine}{path}": item.content.decode() for (machine, path), item in there.items()}
        for machine, text in changed.items():
            self.members[f"config/{machine}/etc/postfix/main.cf"] = text

    def text(self, name: str) -> str:
        return self.members.get(name, "")


def said(packed: Any, *passing: str) -> list[str]:
    return list(contradictions(Files(packed, ANNA.domain, ANNA.network), set(passing)))


EVERY = ("32", "34", "35", "36", "42")


def test_right_work_is_contradicted_by_nothing() -> None:
    packed = Packed()
    assert [one for one in said(packed, *EVERY) if "evidence" not in one] == []
    unset = Packed(
        vm2="# all as it is by default\n", vm3="inet_interfaces = $myhostname, localhost\nmyorigin = /etc/mailname\n"
    )
    assert [one for one in said(unset, *EVERY) if "evidence" not in one] == []


@pytest.mark.parametrize(
    ("machine", "line", "step", "words"),
    [
        ("vm2", "inet_interfaces = localhost", "34", "listens for vm2 alone"),
        ("vm3", "inet_interfaces = 127.0.0.1, localhost", "42", "listens for vm3 alone"),
        ("vm2", "mydomain = yoursenecaid.ops", "35", "not the student's"),
        ("vm2", "myorigin = $mydomain", "36", "not its full name"),
    ],
)
def test_files_contradict_what_cannot_be_true(machine: str, line: str, step: str, words: str) -> None:
    packed = Packed(**{machine: f"{line}\n"})
    [one] = [one for one in said(packed, *EVERY) if "passes" in one]
    assert f"step {step} passes" in one
    assert words in one
    assert [one for one in said(packed) if "passes" in one] == []


def test_saved_rules_that_let_nobody_in_contradict() -> None:
    packed = Packed()
    packed.members["config/vm2/etc/sysconfig/iptables"] = "*filter\n:INPUT DROP [0:0]\nCOMMIT\n"
    [one] = [one for one in said(packed, *EVERY) if "passes" in one]
    assert "step 32 passes" in one
