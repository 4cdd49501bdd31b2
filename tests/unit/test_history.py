"""How a history stores the machines' records, and how it reads the words in a question."""

import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from labenv import places
from labenv.engine.content import Said
from labenv.environment import Environment
from labenv.environments.history import story
from labenv.environments.history.repository import Change, Repository
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
    repository.note(1300, {"8": {"status": "pass"}})
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
    with pytest.raises(LabenvError, match="git failed"):
        other.unpack(b"no bundle")
    assert [time for time, _, _ in edits(other)] == [1200, 1400, 1500]


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
