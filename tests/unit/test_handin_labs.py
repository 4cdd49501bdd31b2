"""Submissions of several labs in one review: of a lab with no log book and nothing to hand in, and of one that is not here."""

import json
from pathlib import Path

import pytest
import yaml

from labenv.classroom.handins import handin
from labenv.classroom.handins.review import review
from labenv.errors import UsageError
from labenv.lab import labs, trust
from labenv.sheet import logbook
from labenv.student import Student
from tests.unit.made_submissions import members, saved

STUDENT = Student("asmith15", 90, "anna", "")
BARE = {
    "check.json": json.dumps(
        {"student": "asmith15", "results": [{"step": "1", "check": "x", "status": "pass", "evidence": ""}]}
    ).encode(),
    "hints.jsonl": b"",
}


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lab with nothing but a stage and a step."""
    for kind in ("CONFIG", "STATE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind.lower()))
    folder = tmp_path / "config" / "labenv" / "labs" / "bare"
    folder.mkdir(parents=True)
    stages = [{"id": "done", "title": "Done"}]
    (folder / "lab.yaml").write_text(
        yaml.safe_dump({"id": "bare", "title": "Bare", "topology": "lab4b", "stages": stages})
    )
    step = {"id": "1", "heading": "a", "machines": ["host"], "stage": "done", "title": "It is done"}
    (folder / "steps.yaml").write_text(yaml.safe_dump({"headings": {"a": "A"}, "steps": [step]}))
    trust.trust(folder, always=True)
    return folder


def made(folder: Path, name: str, lab: str = "bare", contents: dict[str, bytes] = BARE) -> Path:
    return saved(folder / name, contents=contents, lab=lab)


def test_what_a_lab_does_not_have_is_not_missed(bare: Path, tmp_path: Path) -> None:
    [row] = review([made(tmp_path, "a.tar.gz")])
    assert (row.lab, row.held, row.book, row.notes, row.sound) == ("bare", 1, "", (), True)


def test_one_archive_of_a_lab_that_is_not_here_does_not_end_the_review(bare: Path, tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    made(tmp_path / "all", "1.tar.gz", "lab99")
    made(tmp_path / "all", "2.tar.gz")
    made(tmp_path / "all", "3.tar.gz", "lab4b", members())
    (bare / "steps.yaml").write_text("steps: [}")
    broken, other, whole = review([tmp_path / "all"])[:3]
    assert broken.notes == (
        "unreadable: nothing of it was looked at, because its lab is lab99, which this labenv does not have: "
        f"put it into {labs.own_folder()}",
    )
    assert "steps.yaml is not valid YAML" in other.notes[0]
    assert whole.student == "asmith15"


def test_one_that_the_user_does_not_trust_is_not_run(bare: Path, tmp_path: Path) -> None:
    trust.forget(bare)
    labs._load.cache_clear()
    (bare / "claims.py").write_text("raise SystemExit\n")
    [row] = review([made(tmp_path, "a.tar.gz")])
    assert "labenv lab trust" in row.notes[0]


def test_students_of_two_labs_are_not_compared(bare: Path, tmp_path: Path) -> None:
    rows = review([made(tmp_path, "a.tar.gz"), made(tmp_path, "b.tar.gz", "lab4b", members())])
    assert not [note for row in rows for note in row.notes if "same student" in note]


def test_a_labs_claims_judge_its_archives(bare: Path, tmp_path: Path) -> None:
    (bare / "claims.py").write_text(
        "from .words import said\n\n\ndef contradictions(files, passing):\n"
        "    yield from said(files.text('host', '/etc/hosts'), passing)\n    raise ValueError('odd')\n"
    )
    (bare / "words.py").write_text("def said(text, passing):\n    yield f'{text} {sorted(passing)}'\n")
    [row] = review([made(tmp_path, "a.tar.gz", contents=BARE | {"config/host/etc/hosts": b"nobody"})])
    failed = "whether its files agree with its results was not looked at: claims.py of bare failed: ValueError('odd')"
    assert row.notes == ("nobody ['1']", failed)


def test_commands_about_a_part_that_a_lab_has_not_say_so(bare: Path) -> None:
    lab = labs.load("bare")
    with pytest.raises(UsageError, match="Nothing of bare is handed in: it has no handin"):
        handin.wanted(lab)
    with pytest.raises(UsageError, match="bare has no log book"):
        logbook.blank(lab, STUDENT)


@pytest.mark.parametrize("name", labs.names())
def test_what_a_shipped_lab_wants_handed_in_can_be_read_and_ticks_a_step_of_its_own(name: str) -> None:
    lab = labs.load(name)
    assert handin.wanted(lab).step in lab.steps
