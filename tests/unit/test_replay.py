"""What replay takes of a submission: only what has the right form, and nothing that would run or lead elsewhere."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from labenv.classroom.handins import handin, laws, pieces
from labenv.classroom.handins.pieces import Account, Carried, Pieces, Place
from labenv.classroom.replay.lay import Laid, Rules, laid
from labenv.classroom.replay.replay import NOTHING, read, transient
from labenv.errors import UsageError
from labenv.lab import labs, overlay
from labenv.lab.overlay import Item
from labenv.plain_tar import Unreadable

LAB = labs.load("lab4b")
WANTED = handin.wanted(LAB)
RULES = Rules(LAB.id, WANTED.carried["vm3"], WANTED.folders["vm3"], laws.of(LAB))
PASSWORD = "abcdefgh"
PLAIN = Place(0o644, "root", "root")
ME = Account(
    "asmith15",
    "lab",
    1000,
    1000,
    "A Smith",
    "/home/asmith15",
    "/bin/bash",
    None,
    Place(0o700, "asmith15", "asmith15"),
    ("wheel",),
)
BASE = [Item("/etc/labenv/accounts", b"root:x", 0o600), Item("/etc/postfix/main.cf", b"the lab's", 0o644)]
GIVEN = Pieces(
    (Carried("/etc/postfix/main.cf", PLAIN, "myorigin = $mydomain\n"), Carried("/etc/aliases.db", PLAIN, None)),
    {"/home/asmith15/Maildir": Place(0o700, "root", "root")},
    (ME,),
    {"asmith15": 1000},
    {"multi-user.target.wants/postfix.service": "/lib/systemd/system/postfix.service", "dovecot.service": "/dev/null"},
    active=("postfix.service",),
    packages=("postfix",),
    stays=("/home/asmith15/.forward",),
)


def lay(given: Pieces) -> Laid:
    return laid(BASE, given, RULES, PASSWORD)


def files(there: Laid) -> dict[str, str]:
    return {item.path: item.content.decode() for item in there.items}


def orders(there: Laid) -> list[list[str]]:
    return [line.split("\t") for line in files(there)["/usr/lib/labenv/replay"].splitlines()]


def test_what_is_packed_is_read_as_it_was() -> None:
    assert pieces.read(GIVEN.to_json()) == GIVEN


def test_files_accounts_and_links_are_laid_over_the_lab_s_own() -> None:
    there = lay(GIVEN)
    assert files(there)["/etc/postfix/main.cf"] == "myorigin = $mydomain\n"
    assert "/etc/labenv/accounts" not in files(there)
    assert ["make", "/etc/aliases.db", "/usr/sbin/postalias", "hash:/etc/aliases"] in orders(there)
    assert ["link", "dovecot.service", "/dev/null"] in orders(there)
    assert ["package", "postfix"] in orders(there)
    assert [
        "account",
        "asmith15",
        f"={PASSWORD}",
        "1000",
        "1000",
        "A Smith",
        "/home/asmith15",
        "/bin/bash",
        "",
    ] in orders(there)
    assert ["home", "/home/asmith15", "asmith15", "700", "asmith15", "asmith15"] in orders(there)
    assert ["folder", "/home/asmith15/Maildir", "700", "root", "root"] in orders(there)
    assert there.refused == ("/home/asmith15/.forward is not carried",)


def test_a_persons_home_may_be_anywhere_and_a_services_is_the_images() -> None:
    elsewhere = replace(ME, home="/users/asmith15")
    service = replace(ME, name="dovecot", uid=110, gid=110, home="/var/lib/dovecot")
    told = orders(lay(replace(GIVEN, accounts=(elsewhere, service))))
    assert [order[:3] for order in told if order[0] == "home"] == [["home", "/users/asmith15", "asmith15"]]


def test_a_file_that_the_student_removed_goes_but_not_one_of_the_image_s_own() -> None:
    told = orders(lay(GIVEN))
    assert ["sweep", "/etc/postfix/*"] in told
    assert ["keep", "/etc/postfix/postfix-script"] in told
    assert ["keep", "/etc/postfix/main.cf"] in told


def test_the_password_of_the_lab_comes_back_where_it_was() -> None:
    text = "a " + "*" * len(PASSWORD) + " " + "*" * 20
    there = lay(replace(GIVEN, files=(Carried("/etc/postfix/sasl_passwd", PLAIN, text),)))
    assert files(there)["/etc/postfix/sasl_passwd"] == f"a {PASSWORD} {'*' * 20}"


def test_the_name_of_a_machine_is_given_when_it_is_made() -> None:
    there = lay(replace(GIVEN, files=(Carried("/etc/hostname", PLAIN, "vm3.asmith15.ops\n"),)))
    assert overlay.hostname(list(there.items)) == "vm3.asmith15.ops"
    refused = lay(replace(GIVEN, files=(Carried("/etc/hostname", PLAIN, "vm3;reboot\n"),))).refused
    assert "/etc/hostname: no host name" in refused


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (Carried("/etc/pam.d/dovecot", PLAIN, "auth required /tmp/x.so"), "lab4b carries no such file"),
        (Carried("/etc/ssh/sshd_config", PLAIN, "ForceCommand /bin/sh"), "lab4b carries no such file"),
        (Carried("/usr/lib/labenv/init", PLAIN, "#!/bin/sh"), "lab4b carries no such file"),
        (
            Carried("/etc/systemd/system/evil.service", PLAIN, "[Service]\nExecStart=/bin/sh"),
            "lab4b carries no such file",
        ),
        (Carried("/etc/postfix/postfix-script", PLAIN, "#!/bin/sh"), "the images have their own"),
        (Carried("/etc/postfix/run", PLAIN, "#!/bin/sh\nreboot"), "it is a program"),
        (Carried("/etc/postfix/library", PLAIN, None), "it is no text"),
    ],
    ids=lambda value: getattr(value, "path", "said"),
)
def test_a_file_that_is_not_the_lab_s_to_carry_is_named_and_not_laid(file: Carried, said: str) -> None:
    there = lay(replace(GIVEN, files=(file,)))
    assert f"{file.path}: {said}" in there.refused
    if file.text:
        assert file.text not in files(there).get(file.path, "")


def test_no_file_is_a_program_and_none_runs_as_somebody_else() -> None:
    tree = json.loads(GIVEN.to_json())
    tree["files"][0]["at"]["mode"] = 0o6755
    there = lay(pieces.read(json.dumps(tree).encode()))
    assert next(item.mode for item in there.items if item.path == "/etc/postfix/main.cf") == 0o644
    assert ["own", "/etc/postfix/main.cf", "644", "root", "root"] in orders(there)


@pytest.mark.parametrize(
    "account",
    [
        replace(ME, name="root2", uid=0),
        replace(ME, name="root", uid=7),
        replace(ME, gid=0),
        replace(ME, name="toor", uid=0, gid=0),
    ],
)
def test_nobody_but_root_has_the_rights_of_root(account: Account) -> None:
    there = lay(replace(GIVEN, accounts=(account,)))
    assert "it has the rights of root" in there.refused[-1]
    assert not [order for order in orders(there) if order[0] == "account"]


def test_a_second_line_of_an_account_and_the_group_of_root_are_left_out() -> None:
    there = lay(replace(GIVEN, accounts=(replace(ME, groups=("root", "wheel")), replace(ME, uid=1002))))
    assert [order[2:] for order in orders(there) if order[0] == "join"] == [["asmith15"]]
    assert "a second account asmith15" in there.refused


def test_too_much_for_a_machine_is_left_out_beginning_with_the_largest() -> None:
    noise = "\n".join(hashlib.sha256(str(number).encode()).hexdigest() for number in range(5_000))
    there = lay(replace(GIVEN, files=(*GIVEN.files, Carried("/etc/postfix/huge", PLAIN, noise))))
    assert "/etc/postfix/huge is too large: all files of a machine together are" in there.refused
    assert "/etc/postfix/main.cf" in files(there)


def changed(**more: Any) -> bytes:
    return json.dumps(json.loads(GIVEN.to_json()) | more).encode()


ACCOUNT = json.loads(GIVEN.to_json())["accounts"][0]
AT = {"mode": 420, "owner": "root", "group": "root"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{",
        b"[" * 100_000,
        changed(format=2),
        changed(files=None),
        changed(files=[{"path": "/etc/../etc/shadow", "at": AT, "text": ""}]),
        changed(files=[{"path": "etc/passwd", "at": AT, "text": ""}]),
        changed(files=[{"path": "/etc/a\nown\t/etc/shadow", "at": AT, "text": ""}]),
        changed(files=[{"path": "/etc/$(reboot)", "at": AT, "text": ""}]),
        changed(files=[{"path": "/etc/aliases", "at": AT | {"owner": "root\t777"}, "text": ""}]),
        changed(files=[{"path": "/etc/aliases", "at": AT | {"mode": -1}, "text": ""}]),
        changed(files=[{"path": "/etc/aliases", "at": AT, "text": "a" * 500_000}]),
        changed(files=[{"path": "/etc/aliases", "at": AT, "text": "a" * 300_000}] * 4),
        changed(files=[{"path": "/etc/aliases", "at": AT, "text": ""}] * 400),
        changed(links={"../../../etc/passwd.service": "/dev/null"}),
        changed(links={"a.service": "/tmp/evil.service"}),
        changed(links={"multi-user.target.wants/a@$(reboot).service": "/lib/systemd/system/a@.service"}),
        changed(links={"multi-user.target.wants/a@b.service": "/lib/systemd/system/a@.service"}),
        changed(links={"a.service": "/etc/systemd/system/../../../tmp/evil.service"}),
        changed(accounts=[ACCOUNT | {"name": "a:b"}]),
        changed(accounts=[ACCOUNT | {"name": "a\tb"}]),
        changed(accounts=[ACCOUNT | {"password": "$6$" + "a" * 1000}]),
        changed(accounts=[ACCOUNT | {"password": "=secret"}]),
        changed(accounts=[ACCOUNT | {"gecos": "a\naccount\troot"}]),
        changed(accounts=[ACCOUNT | {"home": "/home/../etc"}]),
        changed(accounts=[ACCOUNT | {"shell": "/bin/sh -c"}]),
        changed(accounts=[ACCOUNT | {"expires": "never"}]),
        changed(accounts=[ACCOUNT | {"uid": True}]),
        changed(groups={"a b": 1}),
        changed(folders={"/home/asmith15/Mail dir": AT}),
        changed(active=["a b.service"]),
        changed(active=["--force.target"]),
        changed(packages=["--force-all"]),
        changed(stays=["/tmp/\x1b[2J"]),
    ],
)
def test_what_has_another_form_is_refused_as_a_whole(data: bytes) -> None:
    with pytest.raises(Unreadable):
        pieces.read(data)


def test_a_file_that_cannot_be_replayed_says_why(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read(tmp_path / "none.tar.gz")
    (tmp_path / "text").write_text("no archive", encoding="utf-8")
    with pytest.raises(UsageError, match="text"):
        read(tmp_path / "text")
    assert "packed nothing for replay" in NOTHING


def test_only_steps_that_a_check_judges_are_transient() -> None:
    assert transient(LAB) == {"8"}
    assert transient(labs.load("lab3")) == set()
    assert transient(labs.load("lab4a")) == {"4", "7", "9", "10", "12", "14", "16", "43", "44", "45"}


def test_a_lab_that_says_nothing_of_replay_has_its_files_carried(tmp_path: Path) -> None:
    (tmp_path / "handin.yaml").write_text("files:\n  web: [/etc/hosts, /etc/named.conf]\n", encoding="utf-8")
    wanted = handin.wanted(replace(LAB, folder=tmp_path))
    assert wanted.carried == {"web": ("/etc/hosts", "/etc/named.conf")}
    assert wanted.folders == {}
