"""From the finished lab to the teacher's table: log book, evidence, submission, review."""

import gzip
import hashlib
import json
import re
import shlex
import sys
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from labenv.engine import Engine, records
from labenv.lab import labs
from labenv.sheet import logbook
from labenv.student import Student
from tests.e2e.conftest import Cli
from tests.unit.made_submissions import manifest, tarred
from tests.unit.test_handin_logbook import filled

BOOK_STEPS = ("7", "27", "49", "51")


def blank(student: str) -> str:
    return logbook.blank(labs.load("lab4b"), Student(student, 1, "", ""))


def statuses(cli: Cli, student: str) -> dict[str, tuple[str, str]]:
    document = cli.json("check", *BOOK_STEPS, "-s", student)
    return {result["step"]: (result["status"], result["evidence"]) for result in document["results"]}


def contents(file: Path) -> dict[str, bytes]:
    with tarfile.open(file) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]


def repaired(file: Path, packed: dict[str, bytes], **changed: str) -> Path:
    """An archive of these members, with its manifest made to match."""
    about = json.loads(packed.pop("manifest.json")) | changed
    about["members"] = [
        {"name": name, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        for name, content in packed.items()
    ]
    file.write_bytes(gzip.compress(tarred({"manifest.json": json.dumps(about).encode(), **packed})))
    return file


def editor(folder: Path, script: str) -> Cli:
    """The command line with an editor that is a Python script over the file's `text`."""
    file = folder / "editor.py"
    file.write_text(
        f"import sys, os\nname = sys.argv[1]\ntext = open(name).read()\n{script}\nopen(name, 'w').write(text)\n"
    )
    return Cli({"VISUAL": shlex.join([sys.executable, str(file)])})


def test_the_log_book_is_started_edited_and_seen_by_the_checks(
    cli: Cli, finished: dict[str, Any], tmp_path: Path
) -> None:
    student = finished["student"]
    text = cli("logbook", "-s", student).stdout
    assert f"{student}.ops" in text
    assert cli.inside(student, "host", "stat -c %a /root/logbook.md").strip() == "644"
    for step in BOOK_STEPS:
        status, evidence = statuses(cli, student)[step]
        assert status == "skip"
        assert "labenv logbook --edit" in evidence

    editor(tmp_path, "text = text.replace('- Observations:', '- Observations: it works', 1)")(
        "logbook", "--edit", "-s", student
    )
    assert "it works" in cli.inside(student, "host", "cat /root/logbook.md")
    sections = cli.json("logbook", "-s", student)["sections"]
    assert "What I did" not in sections[0]["empty"]
    assert not sections[0]["filled"]

    whole = tmp_path / "book.md"
    whole.write_text(filled(text) + "x" * 200_000)  # longer than one argument of a command may be
    cli("logbook", "--import", str(whole), "-s", student)
    copy = tmp_path / "copy.md"
    cli("logbook", "--export", str(copy), "-s", student)
    assert copy.read_text() == whole.read_text()
    assert "it works" in cli.inside(student, "host", "cat /root/logbook.md~"), "the one before is kept"
    assert {status for status, _ in statuses(cli, student).values()} == {"pass"}

    cli.inside(student, "host", "rm /root/logbook.md")
    assert {status for status, _ in statuses(cli, student).values()} == {"skip"}
    assert cli("logbook", "-s", student).stdout == text, "started from scratch"


def test_an_edit_that_cannot_be_put_back_is_kept(cli: Cli, finished: dict[str, Any], tmp_path: Path) -> None:
    student = finished["student"]
    meanwhile = (
        f"import subprocess; subprocess.run([sys.executable, '-m', 'labenv', 'exec', '-s', '{student}', 'host', '--', "
        "'sh', '-c', 'echo by hand >> /root/logbook.md'])"
    )
    for script, rc in (
        (f"text += 'mine'; {meanwhile}", 2),
        ("open(name, 'w').write(text + 'mine'); sys.exit(1)", 2),
    ):
        done = editor(tmp_path, script)("logbook", "--edit", "-s", student, rc=rc)
        found = re.search(r"kept in (\S+)\. To use it: labenv (.+)", done.stderr)
        assert found, done.stderr
        assert Path(found[1]).read_text().endswith("mine")
        cli(*found[2].split())
        assert cli("logbook", "-s", student).stdout.endswith("mine")
        Path(found[1]).unlink()
    cli.inside(student, "host", "rm /root/logbook.md*")


def test_a_missing_editor_and_wrong_usage_are_sentences(cli: Cli, finished: dict[str, Any], tmp_path: Path) -> None:
    student = finished["student"]
    done = Cli({"VISUAL": "/no/such/editor"})("logbook", "--edit", "-s", student, rc=2)
    assert "Set EDITOR" in done.stderr
    cli("logbook", "--edit", "--json", "-s", student, rc=2)
    binary = tmp_path / "book"
    binary.write_bytes(b"\xff\xfe")
    assert "UTF-8" in cli("logbook", "--import", str(binary), "-s", student, rc=2).stderr
    assert "vm2, vm3" in cli("evidence", "host", "-s", student, rc=2).stderr


def test_evidence_has_every_field_and_remarks_on_what_the_marker_cannot_see(cli: Cli, student: str) -> None:
    cli("up", student, "--no-check")
    cli.inside(student, "vm3", "echo 'mail -s x root' > /root/.bash_history; echo 'ls' >> /root/.bash_history")
    cli.inside(
        student, "vm3", "cd /etc/dovecot; sed -i '/^ssl/d' conf.d/10-ssl.conf; echo 'ssl = yes' > conf.d/99-own.conf"
    )
    done = cli("evidence", "vm3", "-s", student)
    titles = re.findall(r"^## (.+)", done.stdout, re.MULTILINE)
    assert titles[:3] == ["Date", "Host name", "SELinux"]
    assert titles[-2:] == ["Mail sent from the command line", "Mail log"]
    assert len(titles) == 18
    for line in (f"vm3.{student}.ops", "Chain INPUT (policy DROP", f"mydomain = {student}.ops", "protocols = imap"):
        assert line in done.stdout
    assert f"{student}.ops mail is handled by 10 vm3.{student}.ops." in done.stdout
    assert "mail -s x root" in done.stdout
    assert "postfix/master" in done.stdout
    assert "ssl is yes, but" in done.stderr
    assert done.stderr.count("\n") == 1
    other = cli("evidence", "vm2", "-s", student)
    assert "Dovecot" not in other.stdout
    assert other.stderr == ""


def test_a_submission_holds_everything_but_the_password(cli: Cli, finished: dict[str, Any], tmp_path: Path) -> None:
    student, password = finished["student"], finished["password"]
    book = tmp_path / "book.md"
    book.write_text(filled(blank(student)))
    cli("logbook", "--import", str(book), "-s", student)
    cli.inside(student, "vm2", f"echo 'nc vm3 143 # {password}' > /root/.bash_history")
    file = tmp_path / "one.tar.gz"
    summary = cli.json("submit", str(file), "-s", student)
    packed = contents(file)
    assert summary["missing"] == []
    assert summary["members"] == list(packed)
    assert {"manifest.json", "check.json", "hints.jsonl", "logbook.md", "evidence/vm2.txt", "evidence/vm3.txt"} <= set(
        packed
    )
    assert {f"config/{m}/etc/postfix/main.cf" for m in ("vm2", "vm3")} <= set(packed)
    assert f"config/host/var/named/mydb-for-{student}-ops" in packed
    about, checked = json.loads(packed["manifest.json"]), json.loads(packed["check.json"])
    assert about["hints"] == checked["hints"] == 0
    assert about["began"] < checked["time"] <= about["time"]
    assert b"nc vm3 143" in packed["history/vm2/root/.bash_history"]
    assert not [name for name, content in packed.items() if password.encode() in content]
    assert "already" in cli("submit", str(file), "-s", student, rc=2).stderr
    cli("submit", str(file), "--force", "-s", student)
    assert [path.name for path in tmp_path.iterdir()].count("one.tar.gz") == 1
    assert not list(tmp_path.glob(".one*")), "no draft is left"

    [row] = cli.json("review", str(file))
    assert (row["student"], row["domain"], row["failed"], row["book"]) == (student, f"{student}.ops", 0, "4 of 4")
    assert row["notes"] == []


def test_a_submission_is_listed_and_what_is_left_out_is_named_without_blame(
    cli: Cli, engine: Engine, finished: dict[str, Any], tmp_path: Path
) -> None:
    student = finished["student"]
    records.remove(engine, student, "ticks")
    cli.inside(student, "vm2", "echo ls > /root/.bash_history")
    file = tmp_path / "one.tar.gz"
    assert "can be left out" not in cli("submit", str(file), "--without", "shells", "-s", student, rc=2).stderr
    assert "check cannot be left out" in cli("submit", str(file), "--without", "check", "-s", student, rc=2).stderr
    would = cli("submit", str(file), "--dry-run", "-s", student)
    assert "vm2:/root/.bash_history" in would.stderr
    assert "vm3:/etc/postfix/main.cf" in would.stderr
    assert not file.exists()
    assert not any(entry["ticked"] for entry in cli.json("tick", "-s", student)["steps"])
    cli("tick", "50", "on Blackboard", "-s", student)

    without = ("history", "vm2:/etc/postfix/main.cf", "evidence/vm3.txt", "hints")
    options = [word for name in without for word in ("--without", name)]
    done = cli.json("submit", str(file), *options, "-s", student)
    gone = {"history/vm2/root/.bash_history", "config/vm2/etc/postfix/main.cf", "evidence/vm3.txt", "hints.jsonl"}
    assert gone <= set(done["left_out"])
    assert not set(done["left_out"]) & set(contents(file))
    assert json.loads(contents(file)["manifest.json"])["left_out"] == done["left_out"]
    [row] = cli.json("review", str(file))
    assert row["sound"]
    assert row["notes"] == [f"left out by the student: {', '.join(done['left_out'])}"]
    assert row["ticked"] == ["50: on Blackboard; labenv submit wrote one.tar.gz"]
    shown = cli("review", str(file)).stdout
    assert "ticked by the student: 50: on Blackboard; labenv submit wrote one.tar.gz" in shown
    [handed] = [result for result in cli.json("check", "50", "-s", student)["results"] if result["step"] == "50"]
    assert handed["ticked"]["words"] == "on Blackboard; labenv submit wrote one.tar.gz"


def test_what_was_changed_or_shared_is_noted(
    cli: Cli, finished: dict[str, Any], new_student: Callable[[], str], tmp_path: Path
) -> None:
    student = finished["student"]
    book = tmp_path / "book.md"
    book.write_text(filled(blank(student)))
    cli("logbook", "--import", str(book), "-s", student)
    file = tmp_path / "one.tar.gz"
    cli("submit", str(file), "-s", student)
    other = new_student()
    cli("up", other, "--no-check", "--at", "domain")
    copied = tmp_path / "copied.md"
    copied.write_text(filled(blank(other)))
    cli("logbook", "--import", str(copied), "-s", other)
    cli("hint", "17", "-s", other)
    second = tmp_path / "two.tar.gz"
    screen = cli("submit", str(second), "-s", other).stdout
    assert "Step 17 fails" in screen

    tampered = contents(second)
    about = tampered.pop("manifest.json")
    tampered["check.json"] = tampered["check.json"].replace(b'"status": "fail"', b'"status": "pass"')
    third = tmp_path / "three.tar.gz"
    third.write_bytes(gzip.compress(tarred({"manifest.json": about, **tampered})))
    fourth = tmp_path / "four.tar.gz"
    anew = manifest(other, tampered, network=json.loads(about)["network"])
    fourth.write_bytes(gzip.compress(tarred({"manifest.json": anew, **tampered})))

    files = [str(path) for path in (file, second, third, fourth)]
    page, table = tmp_path / "class.html", tmp_path / "class.csv"
    rows = cli.json("review", *files, "--html", str(page), "--csv", str(table), rc=1)
    assert f"same log book as {other}" in rows[0]["notes"]
    assert f"same log book as {student}" in rows[1]["notes"]
    assert rows[1]["first"].startswith("17: ")
    assert rows[1]["hints"] == 1
    assert not [note for note in rows[1]["notes"] if "check.json" in note]
    assert "checksum of check.json does not match" in rows[2]["notes"]
    assert [row["sound"] for row in rows] == [True, True, False, True]
    assert [
        n for n in rows[3]["notes"] if "check.json says that step 17 passes, but main.cf of vm2 sets no relayhost" in n
    ]
    assert student in page.read_text()
    assert len(table.read_text().splitlines()) == 5

    cli("review", str(tmp_path / "nothing"), rc=2)
    cli("review", str(file), "--handout", str(tmp_path / "nothing"), rc=2)
    assert "cannot be read" in cli("review", str(file), str(tmp_path / "nothing"), rc=1).stdout


def test_an_archive_made_to_match_its_manifest_contradicts_itself_or_looks_alike(
    cli: Cli, finished: dict[str, Any], new_student: Callable[[], str], tmp_path: Path
) -> None:
    file, second = tmp_path / "one.tar.gz", tmp_path / "two.tar.gz"
    cli("submit", str(file), "-s", finished["student"])
    other = new_student()
    cli("up", other, "--no-check", "--at", "domain")
    cli("hint", "17", "-s", other)
    cli.inside(other, "vm3", "for n in 1 2 3; do echo hello | mail -s hello root@$(hostname -d); done; postqueue -f")
    cli("submit", str(second), "-s", other)

    forged = contents(second)
    for status in (b"fail", b"skip", b"warn"):
        forged["check.json"] = forged["check.json"].replace(b'"status": "%s"' % status, b'"status": "pass"')
    forged["hints.jsonl"] = b""
    week_before = (datetime.now(UTC) - timedelta(days=7)).isoformat(timespec="seconds")
    [row] = cli.json("review", str(repaired(tmp_path / "forged.tar.gz", forged, time=week_before)))
    assert row["sound"]
    told = "\n".join(row["notes"])
    for words in (
        "steps pass that only a person can judge: 1, 2, ",
        "gives the reason why they could not be checked",
        "hints.jsonl has 0, but manifest.json says that 1 were asked for",
        "hints.jsonl has 0, but check.json says that 1 were asked for",
        "the checks ran at",
        "the evidence of vm2 is of",
        "a log of vm3 has a line at",
    ):
        assert words in told, told

    renamed = {
        name.replace(other, "t-renamed"): content.replace(other.encode(), b"t-renamed")
        for name, content in contents(second).items()
    }
    copy = repaired(tmp_path / "t-renamed.tar.gz", renamed)
    rows = cli.json("review", str(second), str(copy), str(file))
    assert [{found["student"] for found in row["alike"]} for row in rows] == [{"t-renamed"}, {other}, set()]
    assert "queue ids" in {found["what"] for found in rows[0]["alike"]}
    said = cli("review", str(second), str(copy)).stdout
    assert re.search(rf"looks alike with {other}: made in the same environment \(mark \w+\), queue ids \(", said), said


@pytest.mark.parametrize("name", ["no/such/folder/x.tar.gz", "."])
def test_a_place_that_cannot_be_written_is_told_before_any_work(cli: Cli, finished: dict[str, Any], name: str) -> None:
    assert "labenv:" in cli("submit", name, "-s", finished["student"], rc=2).stderr
