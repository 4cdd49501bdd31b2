"""Archives are read back without trust: hostile or contradictory content is reported, and the rest is still shown."""

import csv
import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labenv.classroom.handins import archive
from labenv.classroom.handins.look import Submission
from labenv.classroom.handins.review import as_csv, as_html, review
from labenv.errors import UsageError
from tests.unit.made_submissions import entry, manifest, members, saved, tarred
from tests.unit.test_handin_logbook import filled


def notes(file: Path) -> tuple[str, ...]:
    return review([file])[0].notes


def test_a_sound_submission_is_a_row_without_notes(tmp_path: Path) -> None:
    [row] = review([saved(tmp_path / "a.tar.gz", contents=members(failing=("17", "40"), book=filled()))])
    assert row.notes == ()
    assert row.sound
    assert (row.student, row.domain, row.failed, row.hints, row.book) == ("asmith15", "asmith15.ops", 2, 1, "4 of 4")
    assert row.first.startswith("17: ")


def test_a_changed_member_does_not_match_its_checksum(tmp_path: Path) -> None:
    contents = members()
    about = manifest("asmith15", contents)
    contents["logbook.md"] += b"more"
    file = tmp_path / "a.tar.gz"
    file.write_bytes(gzip.compress(tarred({"manifest.json": about, **contents})))
    [row] = review([file])
    assert row.notes == ("checksum of logbook.md does not match",)
    assert not row.sound
    assert row.student == "asmith15", "the rest is still shown"


def test_members_that_the_manifest_lacks_or_has_too_many(tmp_path: Path) -> None:
    contents = members()
    listed = json.loads(manifest("asmith15", contents))["members"]
    extra = {"name": "history/vm2/root/.bash_history", "sha256": "0" * 64, "size": 3}
    found = notes(saved(tmp_path / "a.tar.gz", contents=contents, members=[*listed[1:], extra, 7, {"name": []}]))
    assert "check.json is not in the manifest" in found
    assert "history/vm2/root/.bash_history is in the manifest, but missing" in found


@pytest.mark.parametrize(
    ("step", "member", "content", "said"),
    [
        ("17", "config/vm2/etc/postfix/main.cf", "mydomain = asmith15.ops\nmyorigin = $mydomain\n", "no relayhost"),
        ("9", "config/vm2/etc/postfix/main.cf", "myorigin = $myhostname\nrelayhost = x\n", "myorigin"),
        ("19", "config/vm3/etc/postfix/main.cf", "mynetworks = 127.0.0.0/8\n", "mynetworks"),
        ("12", "config/host/var/named/mydb-for-asmith15-ops", "; @ IN MX 10 vm3\n", "MX"),
        ("33", "config/vm3/etc/dovecot/conf.d/10-auth.conf", "#disable_plaintext_auth = no\n", "plaintext"),
        ("31", "config/vm3/etc/sysconfig/iptables", "*filter\n:INPUT DROP\n", "143"),
        (
            "31",
            "config/vm3/etc/sysconfig/iptables",
            "*nat\n:INPUT ACCEPT [0:0]\nCOMMIT\n*filter\n:INPUT DROP\nCOMMIT\n",
            "143",
        ),
    ],
)
def test_claims_that_the_files_contradict(tmp_path: Path, step: str, member: str, content: str, said: str) -> None:
    changed = {**members(), member: content.encode()}
    found = [note for note in notes(saved(tmp_path / "a.tar.gz", contents=changed)) if f"step {step} passes" in note]
    assert len(found) == 1
    assert said in found[0]
    honest = members(failing=(step,)) | {member: content.encode()}
    assert not [n for n in notes(saved(tmp_path / "b.tar.gz", contents=honest)) if f"step {step} passes" in n]


@pytest.mark.parametrize(
    ("member", "old", "new"),
    [
        ("config/vm3/etc/postfix/main.cf", "192.168.90.0/24", "127.0.0.0/8 192.168.0.0/16"),
        ("config/vm3/etc/postfix/main.cf", "192.168.90.0/24", "127.0.0.0/8,\n    192.168.90.0/24"),
        ("config/vm2/etc/postfix/main.cf", "vm3.asmith15.ops", "[192.168.90.4]:25"),
        ("config/vm3/etc/dovecot/conf.d/10-auth.conf", "disable_plaintext_auth = no", "  disable_plaintext_auth=no"),
        ("config/vm3/etc/sysconfig/iptables", "-p tcp --dport 143", "-p tcp -m multiport --dports 25,143"),
    ],
)
def test_right_variants_contradict_nothing(tmp_path: Path, member: str, old: str, new: str) -> None:
    contents = members()
    contents[member] = contents[member].replace(old.encode(), new.encode())
    assert not [note for note in notes(saved(tmp_path / "a.tar.gz", contents=contents)) if "passes" in note]


def test_evidence_that_does_not_quote_main_cf(tmp_path: Path) -> None:
    contents = members()
    contents["evidence/vm2.txt"] = contents["evidence/vm2.txt"].replace(b"relayhost", b"relayh0st")
    assert notes(saved(tmp_path / "a.tar.gz", contents=contents)) == (
        "evidence of vm2 does not contain the line 'relayhost = vm3.asmith15.ops' of its main.cf",
    )


def test_another_students_files(tmp_path: Path) -> None:
    found = notes(saved(tmp_path / "a.tar.gz", "asmith15", members("bjones3"), labenv="0.0.1"))
    assert "check.json is not the student's" in found
    assert "the domain in main.cf of vm2 is bjones3.ops, not the student's" in found


def test_two_students_with_the_same_log_book(tmp_path: Path) -> None:
    book = filled()
    same = [saved(tmp_path / f"{name}.tar.gz", name, members(name, book=book)) for name in ("asmith15", "bjones3")]
    blank = [saved(tmp_path / f"{name}.tar.gz", name, members(name)) for name in ("clee1", "dkim2")]
    first, second, third, fourth = review([*same, *blank])
    assert first.notes == ("same log book as bjones3",)
    assert second.notes == ("same log book as asmith15",)
    assert third.notes == fourth.notes == (), "a blank book is nobody's"


def hostile(kind: bytes, name: str = "logbook.md", link: str = "") -> Callable[[], bytes]:
    def make() -> bytes:
        info = entry(name, kind=kind)
        info.linkname = link
        return gzip.compress(tarred([(info, b"")]))

    return make


BROKEN: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "truncated"),
    "text": (lambda: b"hello", "not a gzip file"),
    "no tar": (lambda: gzip.compress(b"hello" * 1000), "not a tar archive"),
    "cut": (lambda: gzip.compress(tarred(members()))[:-900], "truncated"),
    "cut inside": (lambda: gzip.compress(tarred(members())[:700]), "truncated"),
    "bomb": (lambda: gzip.compress(bytes(70_000_000)), "unpacks to more"),
    "link": (hostile(tarfile.SYMTYPE, link="/etc/passwd"), "not a regular file"),
    "hard link": (hostile(tarfile.LNKTYPE, link="check.json"), "not a regular file"),
    "device": (hostile(tarfile.CHRTYPE), "not a regular file"),
    "pipe": (hostile(tarfile.FIFOTYPE), "not a regular file"),
    "folder": (hostile(tarfile.DIRTYPE), "not a regular file"),
    "sparse": (hostile(tarfile.GNUTYPE_SPARSE), "not a regular file"),
    "absolute": (hostile(tarfile.REGTYPE, "/etc/passwd"), "does not belong"),
    "upwards": (hostile(tarfile.REGTYPE, "config/vm2/../../x"), "does not belong"),
    "unknown": (hostile(tarfile.REGTYPE, "virus.exe"), "does not belong"),
    "escape": (hostile(tarfile.REGTYPE, "config/vm2/\x1b[2J"), "does not belong"),
    "twice": (lambda: gzip.compress(tarred([(entry("check.json"), b""), (entry("check.json"), b"")])), "twice"),
    "many": (lambda: gzip.compress(tarred({f"config/vm2/{n}": b"" for n in range(301)})), "more than 300"),
    "large": (lambda: gzip.compress(tarred({"logbook.md": b"0123456789abcdef" * 300_000}), 1), "more|larger"),
    "extended": (
        lambda: gzip.compress(tarred({f"config/{'x' * 200}": b""}, tarfile.PAX_FORMAT)),
        "not a regular file",
    ),
    "no manifest": (lambda: gzip.compress(tarred(members())), "no manifest.json"),
    "deep": (lambda: gzip.compress(tarred({"manifest.json": b"[" * 500_000})), "not JSON"),
    "list": (lambda: gzip.compress(tarred({"manifest.json": b"[1]"})), "not a JSON object"),
    "hollow": (lambda: gzip.compress(tarred({"manifest.json": b"{}"})), "no valid 'student'"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_archive_is_a_row_with_its_reason(tmp_path: Path, case: str) -> None:
    make, reason = BROKEN[case]
    file = tmp_path / "broken.tar.gz"
    file.write_bytes(make())
    broken, good = review([file, saved(tmp_path / "good.tar.gz")])
    assert not broken.sound
    assert len(broken.notes) == 1
    assert any(words in broken.notes[0] for words in reason.split("|")), broken.notes
    assert broken.notes[0].startswith("unreadable: it")
    assert good.sound
    assert good.student == "asmith15"
    assert {path.name for path in tmp_path.iterdir()} == {"broken.tar.gz", "good.tar.gz"}, "nothing was unpacked"


@pytest.mark.parametrize(
    "changed",
    [
        {"student": "../etc"},
        {"student": "root"},
        {"student": 7},
        {"network": "x"},
        {"network": "2001:db8::/32"},
        {"lab": "../lab4b"},
        {"format": 2},
        {"time": "x" * 101},
    ],
)
def test_a_manifest_that_names_nothing_sound(tmp_path: Path, changed: dict[str, Any]) -> None:
    [row] = review([saved(tmp_path / "a.tar.gz", **changed)])
    assert not row.sound
    assert row.student == ""


@pytest.mark.parametrize(
    "results",
    [[{"step": "99", "status": "pass"}], [{"step": "9", "status": "super"}], [7], [{"step": [], "status": {}}]],
)
def test_results_of_no_known_step_or_status(tmp_path: Path, results: object) -> None:
    contents = members() | {"check.json": json.dumps({"student": "asmith15", "results": results}).encode()}
    assert "an unknown step or status" in notes(saved(tmp_path / "a.tar.gz", contents=contents))[0]


def test_a_firewall_made_to_be_walked_for_ever_is_judged_at_once(tmp_path: Path) -> None:
    chains = "".join(f":C{n} - [0:0]\n" for n in range(40))
    jumps = "".join(f"-A C{n} -j C{n + 1}\n-A C{n} -j C{n + 1}\n" for n in range(39))
    rules = f"*filter\n:INPUT DROP [0:0]\n{chains}-A INPUT -j C0\n{jumps}COMMIT\n"
    contents = members() | {"config/vm3/etc/sysconfig/iptables": rules.encode()}
    found = notes(saved(tmp_path / "a.tar.gz", contents=contents))
    assert "the saved firewall of vm3 does not let host connect to port 143" in found[0]


def test_what_is_no_file_of_its_own_is_a_row_too(tmp_path: Path) -> None:
    good = saved(tmp_path / "a.tar.gz")
    (tmp_path / "empty").mkdir()
    rows = review([tmp_path / "empty", tmp_path / "missing", good])
    assert [row.sound for row in rows] == [False, False, True]
    assert review([tmp_path]) == review([good]), "a folder stands for its archives"


def test_nothing_there_at_all_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no file"):
        review([tmp_path / "a", tmp_path / "b"])


NASTY = Submission(
    "=cmd|x.tar.gz", student="+1", domain="-2", when="@x", notes=("<script>\x1b[31m\t\u202e",), sound=False
)


def test_csv_cells_are_no_formulas() -> None:
    header, cells = csv.reader(io.StringIO(as_csv([NASTY])))
    assert header[0] == "student"
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t")]
    assert cells[0] == "'+1"


def test_html_is_escaped_and_needs_nothing_else() -> None:
    page = as_html([NASTY])
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "http" not in page.replace("http-equiv", "")


def test_no_control_character_reaches_the_screen() -> None:
    assert not [c for cell in NASTY.cells() for c in cell if ord(c) < 32 or c in "\x7f\u202e"]
    assert "\x1b" not in json.dumps(NASTY.to_dict(), ensure_ascii=False)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=2000), st.booleans(), st.integers(0, 20_000))
def test_no_bytes_break_the_reader(tmp_path: Path, noise: bytes, packed: bool, place: int) -> None:
    file = tmp_path / "noise.tar.gz"
    sound = tarred({"manifest.json": manifest("asmith15", members()), **members()})
    whole = sound[:place] + noise + sound[place + len(noise) :]
    file.write_bytes(gzip.compress(whole) if packed else noise)
    [row] = review([file])
    assert row.sound or row.notes


def test_the_tar_reader_agrees_with_tarfile(tmp_path: Path) -> None:
    contents = {"manifest.json": manifest("asmith15", members()), **members()}
    assert archive.read(saved(tmp_path / "a.tar.gz")).members == contents
