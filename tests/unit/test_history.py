"""How a history stores the machines' records, and how it reads the words in a question."""

import shutil
import subprocess
import zlib
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic

import pytest

from labenv import places
from labenv.engine.content import Said
from labenv.environment import Environment
from labenv.environments import history
from labenv.environments.history import git, story
from labenv.environments.history.repository import Change, Edit, Repository
from labenv.errors import LabenvError, UsageError
from labenv.student import Student
from tests.unit.made_up import program

NOW = datetime(2026, 11, 23, 10, 0, 0).astimezone()
ASMITH = Environment(Student("asmith15", 90, "ann", "secret"), "lab4b", "done", (), "lab4b.yaml")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return Repository(ASMITH)


def kept(machine: str, name: float, done: float = 0, **files: str) -> Change:
    """A record that a machine made at the moment `name`, of files in /etc that were written at the moment `done`."""
    said = {f"/etc/{file}": Said(text.encode(), done or name) for file, text in files.items()}
    return Change(machine, f"{name:.9f}", said, name)


def edits(repository: Repository) -> list[tuple[int, str, str]]:
    return [(edit.time, edit.machine, edit.file) for edit in reversed(repository.edits())]


def test_what_a_machine_began_with_is_no_edit(repository: Repository) -> None:
    repository.write([kept("vm2", 1100, a="1\n"), kept("vm2", 1200, a="2\n"), kept("vm3", 1300, a="1\n")])
    assert repository.began() == 1100
    assert edits(repository) == [(1200, "vm2", "/etc/a")]
    assert repository.differing(repository.start()) == ["vm2/etc/a"]


def test_a_save_is_told_from_an_edit_in_the_same_second(repository: Repository) -> None:
    repository.write([kept("vm2", 1100, a="1\n"), kept("vm2", 1200.25, a="2\n"), kept("vm2", 1200.75, a="3\n")])
    assert repository.diff(repository.kept_by(1200.5)).splitlines()[-2:] == ["-2", "+3"]
    assert repository.kept_by(1000) == repository.start()


def test_a_copy_that_comes_twice_is_written_down_once(repository: Repository) -> None:
    first, second = kept("vm2", 1100, a="1\n"), kept("vm2", 1200, a="2\n")
    repository.write([first, second])
    repository.write([first, second, kept("vm2", 1300, a="3\n")])
    assert [time for time, _, _ in edits(repository)] == [1200, 1300]


def test_a_history_goes_on_elsewhere(repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert repository.packed() == b""
    repository.write([kept("vm2", 1100, a="1\n"), kept("vm2", 1200, a="2\n")])
    early = repository.packed()
    repository.note(1300, {"8/running/vm1": {"status": "pass", "evidence": ""}})
    repository.write([kept("vm2", 1400, a="3\n")])
    late = repository.packed()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    other = Repository(ASMITH)
    other.unpack(early)
    assert (edits(other), other.runs()) == ([(1200, "vm2", "/etc/a")], [])
    other.unpack(late)
    other.unpack(early)
    assert edits(other) == edits(repository)
    assert other.runs() == repository.runs()
    other.write([kept("vm2", 1500, a="4\n")])
    repository.write([kept("vm2", 1500, a="5\n")])
    with pytest.raises(LabenvError, match="git failed"):
        other.unpack(repository.packed())
    with pytest.raises(LabenvError, match="not the bundle of a history"):
        other.unpack(b"no bundle")
    assert [time for time, _, _ in edits(other)] == [1200, 1400, 1500]


def commit(branch: str, told: str, *steps: bytes, time: int = 1100) -> bytes:
    """A commit as git-fast-import(1) reads it, which labenv need not have written."""
    head = f"commit refs/heads/{branch}\ncommitter x <x> {time} +0000\ndata {len(told.encode())}\n{told}"
    return b"\n".join([head.encode(), *steps, b""])


def file(path: str, data: bytes) -> bytes:
    return b"M 100644 inline %s\ndata %d\n%s" % (path.encode(), len(data), data)


FIRST = commit("work", "changed\n\nKept: vm2 1100.0\n", file("vm2/etc/a", b"1\n"))


def bundle(folder: Path, stream: bytes) -> bytes:
    """The bundle of a history that is made of these commits."""

    def run(*arguments: str, said: bytes = b"") -> bytes:
        command = ["git", "--git-dir", str(folder / "made.git"), *arguments]
        return subprocess.run(command, input=said, stdout=subprocess.PIPE, check=True).stdout

    shutil.rmtree(folder / "made.git", ignore_errors=True)
    run("init", "-q", "--bare")
    if b"BOMB" in stream:
        tree = run("mktree", said=b"100644 blob %s\ta\n" % run("hash-object", "-w", "--stdin", said=b"1\n").strip())
        for _ in range(6):
            tree = run("mktree", said=b"".join(b"040000 tree %s\t%d\n" % (tree.strip(), n) for n in range(10)))
        stream = stream.replace(b"BOMB", b"M 040000 %s vm2/etc" % tree.strip())
    run("fast-import", "--quiet", "--date-format=raw", said=stream)
    return run("bundle", "create", "-", "--branches")


def second(last_line: str, time: int = 1200) -> bytes:
    return FIRST + commit("work", f"changed\n\n{last_line}\n", file("vm2/etc/a", b"2\n"), time=time)


def checked(results: bytes) -> bytes:
    return commit("checks", "checked\n", file("results.json", results))


ODD_RESULTS = [
    b"[",
    b"[]",
    b"[" * 100_000,
    b"\xff",
    b'{"17": {"status": "pass", "evidence": ""}}',
    b'{"17/relay/vm2": {"evidence": ""}}',
    b'{"17/relay/vm2": {"status": 1, "evidence": ""}}',
    b'{"17/relay/vm2": []}',
]
ODD_NAMES = ["inf", "nan", "9999999999", "abc", "1200.0 more", "", "-1"]
FOREIGN = {
    "folders within folders": commit("work", "changed\n\nKept: vm2 1100\n", b"BOMB"),
    "a large file": commit("work", "changed\n\nKept: vm2 1100\n", file("vm2/etc/a", bytes(9_000_000))),
    "a time to come": second("Kept: vm2 1200", 2**62),
    "no name": second("changed"),
    "two parents": FIRST
    + commit("other", "other\n", file("b", b""))
    + commit("work", "changed\n\nKept: vm2 1200\n", b"merge refs/heads/other")
    + b"reset refs/heads/other\nfrom %s\n\n" % (b"0" * 40),
    "a link": commit("work", "changed\n\nKept: vm2 1100\n", b"M 120000 inline vm2/etc/a\ndata 1\n/"),
    "no results": commit("checks", "checked\n", file("other.json", b"{}")),
    "another branch": commit("main", "changed\n\nKept: vm2 1100\n", file("vm2/etc/a", b"")),
    **{f"results {data[:50]!r}": checked(data) for data in ODD_RESULTS},
    **{f"named {name}": second(f"Kept: vm2 {name}") for name in ODD_NAMES},
}


def noted(data: bytes) -> list[str]:
    """What the user is told when that history comes in an archive."""
    told: list[str] = []
    history.unpack(ASMITH, data, lambda event: told.append(f"{event.kind} {event.message}"))
    return told


@pytest.mark.parametrize("what", FOREIGN)
def test_a_history_that_labenv_cannot_have_written_is_not_imported(
    what: str, repository: Repository, tmp_path: Path
) -> None:
    [told] = noted(bundle(tmp_path, FOREIGN[what]))
    assert told.startswith("note the history could not be imported: it ")
    assert not repository.path.exists()


def test_a_history_that_is_not_imported_leaves_the_one_here_as_it_is(repository: Repository, tmp_path: Path) -> None:
    repository.write([kept("vm2", 1100, a="1\n"), kept("vm2", 1200, a="2\n")])
    before = repository.packed()
    for what in ("a link", "folders within folders"):
        assert noted(bundle(tmp_path, FOREIGN[what]))
    assert repository.packed() == before


def test_a_large_file_that_was_imported_once_is_compared_as_a_whole(repository: Repository, tmp_path: Path) -> None:
    large = second("Kept: vm2 1200") + commit(
        "work", "changed\n\nKept: vm2 1300\n", file("vm2/etc/large", b"1\n" * 5_000_000)
    )
    unverified(repository, tmp_path, large)
    assert [(edit.file, edit.added) for edit in repository.edits()] == [("/etc/large", 0), ("/etc/a", 1)]
    assert len(repository.diff(repository.start())) < 1000


def objects(*parts: tuple[int, int, bytes]) -> bytes:
    """A bundle of objects, each of a kind, of the size that it says, with its content (gitformat-pack(5))."""
    told = b"# v2 git bundle\n%s refs/heads/work\n\nPACK\0\0\0\2%s" % (b"0" * 40, len(parts).to_bytes(4))
    for kind, size, content in parts:
        head = [kind << 4 | size & 15, *(size >> bits & 0x7F for bits in range(4, size.bit_length(), 7))]
        head[:-1] = [byte | 0x80 for byte in head[:-1]]
        told += bytes(head) + (bytes(20) if kind == 7 else b"") + zlib.compress(content)
    return told


@pytest.mark.parametrize(
    "data",
    [
        objects((3, 2**40, b"")),
        objects((3, 10, bytes(20_000_000))),
        objects((7, 6, b"\x01\x80\x80\x80\x80\x04")),  # what it makes has 1 GB
        objects(*[(3, 8_000_000, bytes(8_000_000))] * 33),
        objects((3, 1, b"1"))[:-3],
        b"# v2 git bundle\n" + b"0" * 40 + b" refs/heads/work more\n\nPACK",
        b"# v2 git bundle\n-" + b"0" * 40 + b" needed\n" + b"0" * 40 + b" refs/heads/work\n\nPACK",
        b"# v2 git bundle\n\nPACK\0\0\0\2\0\0\0\0",
    ],
)
def test_what_a_bundle_unpacks_to_is_known_before_git_sees_it(
    data: bytes, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    def run(_: Path, command: str, *__: str) -> bytes:
        ran.append(command)
        return b""

    monkeypatch.setattr(git, "run", run)
    [told] = noted(data)
    assert told.startswith("note the history could not be imported: it ")
    assert ran == ["init"]
    assert not repository.path.exists()


def test_a_long_history_is_imported(repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"line {n}\n" for n in range(5000)]
    changes = []
    for n in range(300):
        lines[n] = "changed\n"
        changes.append(kept("vm2", 1000 + n, 0, a="".join(lines), **{f"b{n % 7}": f"{n}\n"}))
    repository.write(changes)
    repository.note(3000, {f"{n}/check/vm2": {"status": "pass", "evidence": "e" * 1000} for n in range(500)})
    edits = repository.edits()
    data = repository.packed()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    assert noted(data) == []
    other = Repository(ASMITH)
    assert (other.edits(), other.runs()) == (edits, repository.runs())


def unverified(repository: Repository, folder: Path, stream: bytes) -> None:
    """Take a history as labenv did before it verified one."""
    (folder / "bundle").write_bytes(bundle(folder, stream))
    repository.prepare()
    repository.git("fetch", "-q", str(folder / "bundle"), "refs/heads/*:refs/heads/*")


@pytest.mark.parametrize("results", ODD_RESULTS)
def test_results_that_no_check_has_are_passed_over(results: bytes, repository: Repository, tmp_path: Path) -> None:
    unverified(repository, tmp_path, FIRST + checked(results))
    assert repository.runs() == []
    good = {"17/relay/vm2": {"status": "pass", "evidence": "ü"}}
    repository.note(1300, good)
    assert repository.runs() == [(1300, good)]
    assert [told.holds for told in story.when(repository, "17")] == [True]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_that_is_no_moment_hides_no_edit(name: str, repository: Repository, tmp_path: Path) -> None:
    unverified(repository, tmp_path, second(f"Kept: vm2 {name}", 2**62))
    assert repository.kept_by(1150) == repository.start()
    repository.write([kept("vm2", 1300, a="3\n")])
    assert edits(repository) == [(0, "vm2", "/etc/a"), (1300, "vm2", "/etc/a")]
    assert "+3" in repository.diff(repository.start())


def test_moments_are_compared_as_numbers(repository: Repository) -> None:
    repository.write([kept("vm2", 9, a="1\n")])
    repository.write([kept("vm2", 1300, a="2\n")])
    assert [time for time, _, _ in edits(repository)] == [1300]


def test_any_file_name_can_be_in_a_history(repository: Repository) -> None:
    repository.write([kept("vm2", 1000, a="1\n"), kept("vm2", 1100, 0, a="1\n", **{"\x01\x02": "1\n"})])
    assert edits(repository) == [(1100, "vm2", "/etc/\\x01\\x02")]


@pytest.mark.parametrize(("does", "why"), [("sleep 60", "it was ended"), ("yes", "more to say than")])
def test_git_has_limits(
    does: str, why: str, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "bin/git", f"#!/bin/sh\nexec {does}\n")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    monkeypatch.setattr(git, "_TIME", 2)
    monkeypatch.setattr(git, "_MOST", 1_000_000)
    began = monotonic()
    with pytest.raises(LabenvError, match=why):
        repository.git("log")
    assert monotonic() - began < 20


# What git 2.17 (2018) does not know yet, and who made a newer one than that reads no settings of the user's.
OLD = """#!/bin/sh
case "$*" in *--initial-branch*|*--atomic*|*trailers:key*|*'bundle create -q'*) echo "error: unknown option" >&2; exit 129;; esac
unset GIT_CONFIG_GLOBAL
exec {git} "$@"
"""


def test_a_git_of_2018_is_enough(repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "bin/git", OLD.format(git=shutil.which("git")))
    (tmp_path / ".gitconfig").write_text("[this is not a setting\n")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    test_a_history_goes_on_elsewhere(repository, tmp_path, monkeypatch)
    assert (repository.path / "HEAD").read_text() == "ref: refs/heads/work\n"


@pytest.mark.parametrize("home", ["/dev/null", "/proc", "relative"])
def test_a_history_that_cannot_be_kept_is_told_with_the_way_out(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "state", lambda: Path(home))
    repository = Repository(ASMITH)
    assert not repository.exists
    with pytest.raises(LabenvError, match=r"Set (HOME or )?XDG_STATE_HOME"):
        repository.write([kept("vm2", 1100, a="1\n")])


def test_a_copy_that_says_nothing_new_is_not_written_down(repository: Repository) -> None:
    repository.write([kept("vm2", 1100, a="1\n"), kept("vm2", 1200, a="1\n")])
    assert edits(repository) == []


def test_an_edit_has_the_time_at_which_the_file_was_written(repository: Repository) -> None:
    repository.write([kept("vm2", 1100, a="1\n")])
    repository.write([kept("vm2", 1900, done=1500, a="2\n")])
    repository.write([kept("vm2", 2000, done=99_999, a="3\n"), kept("vm2", 2100, done=50, a="4\n")])
    assert [time for time, _, _ in edits(repository)] == [1500, 2000, 2000], (
        "never later than it was seen, nor backwards"
    )


def test_a_file_that_has_gone_is_an_edit(repository: Repository) -> None:
    repository.write([kept("vm2", 1100, a="1\n", b="1\n"), kept("vm2", 1200, a="1\n")])
    [edit] = repository.edits()
    assert (edit.file, edit.added, edit.removed) == ("/etc/b", 0, 1)
    assert "-1" in repository.patch(edit)


def test_names_that_git_would_quote_are_kept(repository: Repository) -> None:
    odd = 'a "b"\\ ü\n\t*'
    repository.write([kept("vm2", 1000, a="1\n")])
    said = {f"/etc/{odd}": Said(b"\xff\x00", 1100)}
    repository.write([Change("vm2", "1100.0", said, 1100)])
    assert f"vm2/etc/{odd}" in repository.files(repository.tip())
    assert f"/etc/{odd}" in [edit.file for edit in repository.edits()]


def test_another_environment_of_the_student_begins_anew(repository: Repository) -> None:
    repository.write([kept("vm2", 1100, a="1\n")])
    other = Repository(Environment(Student("asmith15", 90, "ann", "other"), "lab4b", "done", (), "lab4b.yaml"))
    assert not other.exists
    other.write([kept("vm2", 900, a="2\n")])
    assert other.began() == 900


def test_a_commit_beside_another_is_refused_as_a_whole(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    repository.write([kept("vm2", 1100, a="1\n")])
    stale = repository.tip()
    repository.write([kept("vm2", 1200, a="2\n")])
    monkeypatch.setattr(repository, "tip", lambda *_: stale)
    with pytest.raises(LabenvError, match="git failed"):
        repository.write([kept("vm2", 1300, a="3\n")])
    monkeypatch.undo()


@pytest.mark.parametrize("left", ["refs/heads/work.lock", "refs/heads/checks.lock", "packed-refs.lock", "HEAD.lock"])
def test_what_a_killed_git_left_locked_is_written_to_again(left: str, repository: Repository, tmp_path: Path) -> None:
    first, second = kept("vm2", 1100, a="1\n"), kept("vm2", 1200, a="2\n")
    repository.write([first])
    repository.reference({"vm2/etc/a": b"2\n"})
    (repository.path / left).touch()
    repository.write([first, second])
    repository.note(1300, {"8/running/vm1": {"status": "pass", "evidence": ""}})
    repository.reference({"vm2/etc/a": b"3\n"})
    assert edits(repository) == [(1200, "vm2", "/etc/a")]
    assert [time for time, _ in repository.runs()] == [1300]


def test_a_git_that_outlives_its_labenv_is_waited_for(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    repository.write([kept("vm2", 1100, a="1\n")])
    with git.alone(repository.path) as held:
        child = subprocess.Popen(["sleep", "0.6"], pass_fds=(held,))
    (repository.path / "refs/heads/work.lock").touch()
    begun = monotonic()
    repository.write([kept("vm2", 1200, a="2\n")])
    assert monotonic() - begun > 0.3, "its lock was taken from it"
    assert child.wait() == 0
    monkeypatch.setattr(git, "_TIME", 0.1)
    with git.alone(repository.path), pytest.raises(LabenvError, match="another labenv has been writing"):
        repository.write([kept("vm2", 1300, a="3\n")])
    assert edits(repository) == [(1200, "vm2", "/etc/a")]


def test_a_story_has_the_edits_between_the_last_that_held_and_the_first_that_failed(repository: Repository) -> None:
    repository.write([kept("vm2", 1000, a="1\n"), kept("vm2", 1150, a="2\n"), kept("vm2", 1250, a="3\n")])
    for time, status in ((1100, "pass"), (1200, "fail"), (1300, "fail"), (1400, "skip")):
        repository.note(time, {"17/relay/vm2": {"status": status, "evidence": f"at {time}"}})
    for name in ("17", "relay"):
        [told] = story.when(repository, name)
        assert (told.holds, told.before, told.since) == (False, 1100, 1200)
        assert [edit.time for edit in told.edits] == [1150]
    repository.note(1500, {"17/relay/vm2": {"status": "warn", "evidence": "ü"}})
    [told] = story.when(repository, "17")
    assert (told.holds, told.before, told.since, told.evidence) == (True, 1300, 1500, "ü")


def test_a_check_that_never_held_says_so(repository: Repository) -> None:
    repository.write([kept("vm2", 1000, a="1\n"), kept("vm2", 1150, a="2\n")])
    repository.note(1100, {"17/relay/vm2": {"status": "fail", "evidence": ""}})
    [told] = story.when(repository, "17")
    assert (told.since, told.before, told.edits) == (1100, None, ())
    with pytest.raises(UsageError, match="has not been run"):
        story.when(repository, "18")


@pytest.mark.parametrize(
    ("text", "then"),
    [
        ("09:30", NOW - timedelta(minutes=30)),
        ("9:30", NOW - timedelta(minutes=30)),
        ("10:30:00", NOW - timedelta(hours=23, minutes=30)),
        ("2026-11-22 10:00", NOW - timedelta(days=1)),
        ("2026-11-22T10:00:00", NOW - timedelta(days=1)),
        ("20 minutes ago", NOW - timedelta(minutes=20)),
        ("1 hour ago", NOW - timedelta(hours=1)),
        ("Yesterday", NOW - timedelta(days=1)),
        ("lunch", None),
        ("25:00", None),
        ("", None),
        ("-1 minutes ago", None),
        ("999999999999 weeks ago", None),
    ],
)
def test_a_moment_is_understood_or_refused(text: str, then: datetime | None) -> None:
    assert story.moment(text, NOW) == then


@pytest.mark.parametrize(
    "word", ["main.cf", "postfix/main.cf", "/etc/postfix/main.cf", "/etc/postfix", "/etc/", "vm2", "vm2:main.cf"]
)
def test_a_word_means_a_file(word: str) -> None:
    assert story.means(word, "vm2", "/etc/postfix/main.cf")


@pytest.mark.parametrize("word", ["ain.cf", "/etc/post", "vm3", "vm3:main.cf", "", ":", "master.cf"])
def test_another_word_does_not(word: str) -> None:
    assert not story.means(word, "vm2", "/etc/postfix/main.cf")


def _edit(commit: str, file: str, said: str = "", machine: str = "vm3", time: int = 100) -> Edit:
    return Edit(commit, time, machine, file, 2, 1, said, file)


def test_what_one_command_has_changed_is_one_entry() -> None:
    solved = [
        _edit("e", "/etc/postfix/main.cf", "labenv solve relay", "vm2", 500),
        _edit("d", "/etc/postfix/main.cf", "labenv solve relay", "vm3", 498),
    ]
    before = [_edit("c", "/etc/hosts", "labenv solve relay", time=300)]  # the same command, earlier
    typed = [_edit("b", "/etc/hosts", time=100), _edit("a", "/etc/hosts", time=100)]  # at two prompts
    found = story.entries([*solved, *before, *typed])
    assert [entry.edits for entry in found] == [tuple(solved), tuple(before), (typed[0],), (typed[1],)]


def test_many_files_of_a_program_stand_together() -> None:
    dovecot = [_edit("a", f"/etc/dovecot/conf.d/{n}.conf") for n in range(9)]
    rest = [_edit("a", "/etc/passwd"), _edit("a", "iptables-save"), _edit("a", "/etc/passwd", machine="vm2")]
    entry = story.Entry("", (*dovecot, *rest))
    found = [(part.machine, part.name, part.count, part.added, part.removed) for part in story.files(entry)]
    assert found == [
        ("vm3", "/etc/dovecot", 9, 18, 9),
        ("vm3", "/etc/passwd", 1, 2, 1),
        ("vm3", "iptables-save", 1, 2, 1),
        ("vm2", "/etc/passwd", 1, 2, 1),
    ]
    assert len(story.files(entry, every=True)) == 12
    assert [part.name for part in story.files(story.Entry("", tuple(dovecot[:4])))] == [e.file for e in dovecot[:4]]
