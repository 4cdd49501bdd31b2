"""What goes on while a class is served: the one process, passwords, keys, the audit log, hand-ins, the unit, purging."""

import csv
import io
import json
import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from labenv.classroom.folder.model import Assignment, Class, LateRule, Member
from labenv.classroom.grading import lms
from labenv.classroom.serving import alive, audit, keys, passwords, purge, received, sheet, unit
from labenv.errors import UsageError

DUE = datetime(2027, 1, 26, 23, 59, 59, tzinfo=ZoneInfo("America/Toronto"))
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOfOrMsLGhi+0i4kLCeBMBnKh1cwauzNRUyf+MzXqunZ"


def made(folder: Path) -> Class:
    """A class with two students and one lab."""
    lab = Assignment("lab4b", due=DUE, late=LateRule(10, 3, timedelta(hours=1)), attempts=2)
    return Class(
        folder,
        "ops",
        "OPS345",
        ZoneInfo("America/Toronto"),
        (lab,),
        (Member("amy", "Amy", keys=(f"{KEY} amy@home",)), Member("bob", "bob")),
    )


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class TestTheOneProcess:
    def test_is_known_while_it_lives_and_not_after_it_was_killed(self, tmp_path: Path) -> None:
        program = (
            "import sys, time\nfrom pathlib import Path\nfrom labenv.classroom.serving import alive\n"
            "from tests.unit.test_serving import made\n"
            f"with alive.alone(made(Path({str(tmp_path)!r})), sys.argv[1]):\n    print('up', flush=True)\n    time.sleep(60)\n"
        )
        of = made(tmp_path)
        assert not alive.is_served(of)
        for what, served in ((alive.SERVE, True), (alive.GATE, False)):
            with subprocess.Popen([sys.executable, "-c", program, what], stdout=subprocess.PIPE) as process:
                assert process.stdout
                assert process.stdout.readline() == b"up\n"
                assert alive.is_served(of) is served
                with (
                    pytest.raises(UsageError, match=rf"class {what}` \(process {process.pid}\)"),
                    alive.alone(of, alive.SERVE),
                ):
                    pass
                process.kill()
            assert not alive.is_served(of)


class TestAPassword:
    def test_is_good_for_one_login_of_one_student(self, tmp_path: Path) -> None:
        of = made(tmp_path)
        words = passwords.make(of, ["amy", "bob"], 3)
        first, second, _ = words["amy"]
        assert passwords.use(of, "bob", first) == ""
        assert passwords.use(of, "amy", f" {first.upper().replace('-', ' ')} ") == "01"
        assert passwords.use(of, "amy", first) == ""
        assert passwords.use(of, "amy", second) == "02"
        assert passwords.left(of) == {"amy": 1, "bob": 3}

    def test_is_nowhere_on_the_disk(self, tmp_path: Path) -> None:
        of = made(tmp_path)
        words = passwords.make(of, ["amy"])["amy"]
        file = of.records / "passwords.json"
        assert mode(file) == 0o600
        assert mode(of.records) == 0o700
        assert not any(word[3:] in file.read_text() for word in words)
        assert len(set(words)) == len(words) == passwords.EACH
        assert all(re.fullmatch(r"\d\d(-[a-km-np-z2-9]{4}){3}", word) for word in words)

    def test_lets_one_of_two_in_who_come_at_the_same_moment(self, tmp_path: Path) -> None:
        of = made(tmp_path)
        word = passwords.make(of, ["amy"], 1)["amy"][0]
        with ThreadPoolExecutor(8) as pool:
            assert sorted(pool.map(lambda _: passwords.use(of, "amy", word), range(8))) == [""] * 7 + ["01"]

    @pytest.mark.parametrize("typed", ["", "-", "01", "99-aaaa-bbbb-cccc", "x" * 10_000, "\0", "ä"])
    def test_that_is_none_is_refused_for_anybody(self, tmp_path: Path, typed: str) -> None:
        of = made(tmp_path)
        passwords.make(of, ["amy"], 1)
        assert passwords.use(of, "amy", typed) == passwords.use(of, "nobody", typed) == ""

    def test_is_replaced_by_new_ones(self, tmp_path: Path) -> None:
        of = made(tmp_path)
        old = passwords.make(of, ["amy"])["amy"][0]
        passwords.make(of, ["amy"])
        assert passwords.use(of, "amy", old) == ""

    def test_sheet_is_cut_up_safely(self) -> None:
        where = sheet.Where("OPS <345>", "lab.example.org", 2222, "SHA256:abc")
        slips = [sheet.Slip("amy", "Amy <script>\x1b[2J", ("01-abcd-efgh-ijkm",))]
        page, plain = sheet.html(slips, where), sheet.text(slips, where)
        assert "<script>" not in page
        assert "&lt;script&gt;" in page
        assert "\x1b" not in page + plain
        assert "ssh -p 2222 amy@lab.example.org" in plain
        assert "SHA256:abc" in plain
        assert "SHA256:abc" in page
        assert sheet.text([], where) == ""
        assert "browser" not in page + plain

    def test_sheet_and_links_lead_to_the_page_where_its_address_is_known(self) -> None:
        where = sheet.Where("OPS", "lab.example.org", 2222, "SHA256:abc", "https://lab.example.org")
        slips = [sheet.Slip("amy", '=HYPERLINK("x")', ("01-abcd-efgh-ijkm", "02-abcd-efgh-ijkm"), "amy@school.example")]
        assert "In a browser: https://lab.example.org" in sheet.text(slips, where)
        assert "<code>https://lab.example.org</code>" in sheet.html(slips, where)
        [row] = csv.DictReader(io.StringIO(sheet.links(slips, where)))
        assert row["link"] == "https://lab.example.org/sign-in#student=amy&password=01-abcd-efgh-ijkm"
        assert (row["student"], row["name"], row["email"]) == ("amy", '\'=HYPERLINK("x")', "amy@school.example")


class TestAKey:
    def test_is_the_same_with_and_without_comment(self, tmp_path: Path) -> None:
        of = made(tmp_path)
        assert keys.known(of, of.members[0]) == {KEY}
        assert keys.bare(f'from="10.0.0.1" {KEY} someone') == KEY
        assert keys.bare("hello world") == keys.bare("") == keys.bare("AAAA") == ""

    def test_can_be_brought_and_removed_up_to_a_number(self, tmp_path: Path) -> None:
        of = made(tmp_path)
        for number in range(keys.MOST):
            keys.bring(of, "bob", f"ssh-ed25519 AAAA{number}")
        keys.bring(of, "bob", "ssh-ed25519 AAAA0")  # is there already
        with pytest.raises(UsageError, match="key remove 1"):
            keys.bring(of, "bob", "ssh-ed25519 AAAA9")
        keys.remove(of, "bob", 1)
        assert keys.brought(of, "bob") == [f"ssh-ed25519 AAAA{number}" for number in range(1, keys.MOST)]
        with pytest.raises(UsageError, match="no key 9"):
            keys.remove(of, "bob", 9)
        assert keys.known(of, of.members[0]) == {KEY}


class TestTheAuditLog:
    def test_keeps_lines_that_no_terminal_suffers_from(self, tmp_path: Path) -> None:
        of = made(tmp_path)
        audit.note(of, "amy", "command", "192.0.2.1", line="check\x1b[2J\n{}" + "x" * 5000)
        (entry,) = audit.read(of)
        assert entry["student"] == "amy"
        assert "\x1b" not in entry["line"]
        assert len(entry["line"]) <= 500
        assert datetime.fromisoformat(entry["time"]).utcoffset() == timedelta(0)
        assert mode(of.records / "audit.log") == 0o600

    def test_forgets_one_student_while_others_write(self, tmp_path: Path) -> None:
        of = made(tmp_path)
        for number in range(20):
            audit.note(of, ("amy", "bob")[number % 2], "login", number=number)
        with ThreadPoolExecutor(4) as pool:
            more = [pool.submit(audit.note, of, "bob", "login", number=number) for number in range(100, 140)]
            assert audit.forget(of, "amy") == 10
            for each in more:
                each.result()
        assert sorted(entry["number"] for entry in audit.read(of)) == [*range(1, 20, 2), *range(100, 140)]

    def test_passes_over_a_line_that_was_cut_off(self, tmp_path: Path) -> None:
        of = made(tmp_path)
        audit.note(of, "amy", "login")
        with (of.records / "audit.log").open("a") as log:
            log.write('{"time": "2027\n[1]\n')
        audit.note(of, "bob", "login")
        assert [entry["student"] for entry in audit.read(of)] == ["amy", "bob"]


class TestAHandIn:
    def test_is_called_by_the_servers_time_and_counted(self, tmp_path: Path) -> None:
        of = made(tmp_path)
        lab = of.labs[0]
        now = datetime(2027, 1, 26, 20, 0, 5, tzinfo=UTC)
        for attempt in range(2):
            file = received.file_for(of, lab, "amy", now + timedelta(minutes=attempt))
            file.write_bytes(b"x")
        assert received.taken_at(file) == now + timedelta(minutes=1)
        assert lms.named("/".join(file.parts[-2:]), UTC).time == now + timedelta(minutes=1)  # so grades know it
        assert file.parent == of.records / "handins" / "lab4b" / "amy"
        assert mode(file.parent) == 0o700
        with pytest.raises(UsageError, match="handed in lab4b 2 times"):
            received.file_for(of, lab, "amy", now)
        assert received.file_for(of, lab, "bob", now).name == "20270126T200005Z.tar.gz"

    @pytest.mark.parametrize(
        ("after", "said"),
        [
            (timedelta(0), "in time"),
            (timedelta(minutes=59), "in time"),
            (timedelta(hours=2), "1 day late"),
            (timedelta(days=2), "2 days late"),
        ],
    )
    def test_is_late_by_the_class_rules(self, tmp_path: Path, after: timedelta, said: str) -> None:
        of = made(tmp_path)
        assert received.said(of.labs[0], DUE + after, of).startswith(said)

    def test_is_refused_before_and_after_its_time(self, tmp_path: Path) -> None:
        of = made(tmp_path)
        with pytest.raises(UsageError, match="closed"):
            received.file_for(of, of.labs[0], "amy", DUE + timedelta(days=3, hours=2))
        later = replace(of.labs[0], open=DUE)
        with pytest.raises(UsageError, match="opens 2027-01-26 23:59"):
            received.file_for(of, later, "amy", DUE - timedelta(days=1))


class TestTheUnit:
    @pytest.mark.parametrize("name", ["ops345", 'a class of "50%" $HOME', "größe"])
    def test_is_one_that_systemd_takes(self, tmp_path: Path, name: str) -> None:
        folder = tmp_path / name
        folder.mkdir()
        text = unit.text(made(folder), "192.0.2.1", 2222)
        assert "ExecStart=/" in text
        assert "NoNewPrivileges=yes" in text
        if not shutil.which("systemd-analyze"):
            pytest.skip("systemd-analyze is not here")
        file = tmp_path / "labenv-ops.service"
        file.write_text(text)
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(file)], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")

    def test_is_refused_for_a_folder_that_no_unit_can_name(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="another folder"):
            unit.text(made(tmp_path / "a\nb"), "", 2222)


def test_purging_finds_rows_files_and_lines_of_one_student_and_leaves_the_others(tmp_path: Path) -> None:
    of = made(tmp_path)
    for who in ("amy", "bob"):
        passwords.make(of, [who])
        keys.bring(of, who, KEY)
        audit.note(of, who, "login")
        received.file_for(of, of.labs[0], who, DUE).write_bytes(b"secret of " + who.encode())
    base = of.records / "grades.sqlite"
    with closing(sqlite3.connect(base)) as there, there:
        there.execute("CREATE TABLE grades (student TEXT, grade TEXT)")
        there.executemany("INSERT INTO grades VALUES (?, ?)", [("amy", "secret of amy"), ("bob", "secret of bob")])
    found = [*purge._of_gate(of, "amy"), *purge._of_records(of, "amy")]
    assert [part.what for part in found] == [
        "10 passwords that were not used",
        "1 SSH key",
        "1 row in grades.sqlite (grades, and what was decided about them)",
        "1 file in handins/lab4b/amy",
        "1 line of the audit log",
    ]
    for part in found:
        part.remove()
    assert not [*purge._of_gate(of, "amy"), *purge._of_records(of, "amy")]
    kept = b"".join(file.read_bytes() for file in of.records.rglob("*") if file.is_file())
    assert b"amy" not in kept
    assert kept.count(b"secret of bob") == 2
    assert passwords.left(of) == {"bob": 10}
    assert json.loads((of.records / "keys.json").read_text()) == {"bob": [KEY]}
    assert os.listdir(of.records / "handins" / "lab4b") == ["bob"]
