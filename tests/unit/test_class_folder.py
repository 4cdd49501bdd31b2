"""The folder of a class: what `class init` writes, and what is said of a class.yaml that does not fit."""

import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from labenv.classroom.folder import lint, load, lock
from labenv.cli.app import app
from labenv.errors import EngineError, UsageError

ROSTER = "id,name,x\nann,Ann,90\nbob,Bob,91\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "Ops 345"
    made.mkdir()
    (made / "roster.csv").write_text(ROSTER)
    return made


def findings(folder: Path, text: str) -> list[str]:
    (folder / "class.yaml").write_text(text)
    return [str(each) for each in lint.lint(folder).findings]


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, words)
    said = f"{done.exception}" if isinstance(done.exception, UsageError) else ""
    return done.exit_code, done.output + said


def test_a_class_that_was_begun_has_no_errors_and_its_comments_are_valid_too(tmp_path: Path) -> None:
    folder = tmp_path / "Ops 345 (Monday)"
    code, _ = run("class", "init", str(folder), "--name", 'Operations: "Monday"', "--lab", "lab3", "--lab", "lab4b")
    assert code == 0
    there = load.load(folder)
    assert (there.id, there.name, [each.name for each in there.labs]) == (
        "ops-345-monday",
        'Operations: "Monday"',
        ["lab3", "lab4b"],
    )
    assert (folder / ".gitignore").read_text().endswith("records/\n")
    plain = (folder / "class.yaml").read_text()
    # the settings in the comments, taken as they stand
    lines = [
        line.replace("# ", "", 1)
        if ":" in line and line.lstrip().startswith("# ") and not line.startswith("# T")
        else line
        for line in plain.splitlines()
    ]
    kept = [line for line in lines if not line.startswith(("Marks", "Where", "What", "Each", "A class"))]
    for name in ("lab3", "lab4b"):
        (folder / f"{name}.points.yaml").touch()
    (folder / "class.yaml").write_text("\n".join(kept))
    looked = lint.lint(folder)
    assert looked.findings == ()
    assert looked.of is not None
    assert looked.of.federate
    assert looked.of.limits.idle == timedelta(minutes=45)
    assert looked.of.labs[1].due is not None
    assert looked.of.labs[1].profiles == {"outside"}


def test_nothing_is_overwritten_and_a_bad_roster_begins_nothing(folder: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("id\n=1\n")
    code, said = run("class", "init", str(tmp_path / "new"), "--roster", str(bad))
    assert (code, (tmp_path / "new").exists()) == (1 if code == 1 else 2, False)
    assert "line 2" in said
    code, said = run("class", "init", str(folder))
    assert code != 0
    assert "roster.csv exists" in said
    assert os.listdir(folder) == ["roster.csv"]
    code, _ = run("class", "init", str(folder), "--roster", str(folder / "roster.csv"))  # its own
    assert code == 0
    assert (folder / "roster.csv").read_text() == ROSTER


def test_a_lab_in_a_folder_is_named_from_the_folder_of_the_class(tmp_path: Path) -> None:
    from labenv.lab import labs

    shutil.copytree(labs.find("lab3"), tmp_path / "mylab")
    text = (tmp_path / "mylab" / "lab.yaml").read_text().replace("id: lab3", "id: mylab")
    (tmp_path / "mylab" / "lab.yaml").write_text(text)
    code, _ = run("class", "init", str(tmp_path / "c"), "--lab", str(tmp_path / "mylab"))
    assert code == 0
    looked = lint.lint(tmp_path / "c")
    assert looked.findings == ()
    assert looked.of is not None
    assert looked.of.labs[0].lab == str(tmp_path / "mylab")
    assert "not trusted yet" in " ".join(map(str, looked.notes))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("labs: [{lab: lab4b}\n", "class.yaml:2:1: this is not valid YAML"),
        ("labs: []\n", "class.yaml:1:1: labs: expected at least 1 entry"),
        ("name: x\n", "class.yaml:1:1: the key 'labs' is missing"),
        ("labs:\n- {lab: lab4b, duee: 2027-01-01}\n", "class.yaml:2:16: labs number 1: the key 'duee' is unknown"),
        ("labs:\n- {lab: lab99}\n", "class.yaml:2:4: There is no lab 'lab99'"),
        ("labs:\n- {lab: lab4b, at: relai}\n", "class.yaml:2:16: the stage 'relai' is unknown"),
        ("labs:\n- {lab: lab4b, drills: [nope]}\n", "class.yaml:2:25: the drill 'nope' is unknown"),
        ("labs:\n- {lab: lab4b, with: [moon]}\n", "class.yaml:2:16: the profile 'moon' is unknown"),
        ("labs:\n- {lab: lab4b, rubric: r.yaml}\n", "class.yaml:2:16: there is no file"),
        ("labs:\n- {lab: lab4b, due: soon}\n", "class.yaml:2:16: labs number 1 due: 'soon' is not valid"),
        ("labs:\n- {lab: lab4b, due: 2027-02-30}\n", "class.yaml:1:1: "),
        ("labs:\n- {lab: lab4b, due: 2027-02-28 25:00}\n", "class.yaml:2:16: '2027-02-28 25:00' is no time"),
        ("labs:\n- {lab: lab4b, open: 2027-02-02, due: 2027-02-01}\n", "class.yaml:2:34: lab4b is due before it opens"),
        ("labs: [{lab: lab4b}, {lab: lab4b}]\n", "class.yaml:1:23: lab4b is number 1 already"),
        ("timezone: Mars\nlabs: [{lab: lab4b}]\n", "class.yaml:1:1: the time zone 'Mars' is unknown"),
        ("timezone: ../../etc/passwd\nlabs: [{lab: lab4b}]\n", "class.yaml:1:1: the time zone"),
        (
            "timezone: America/Toronto\nlabs: [{lab: lab4b, due: 2027-03-14 02:30}]\n",
            "class.yaml:2:21: there is no 02:30 on that day",
        ),
        ("labs: [{lab: lab4b, late: {per day: 101}}]\n", "class.yaml:1:28: labs number 1 late per day: '101' is not"),
        (
            "labs: [{lab: lab4b, late: {per day: much}}]\n",
            "class.yaml:1:28: labs number 1 late per day: expected a number",
        ),
        ("labs: [{lab: lab4b}]\nlimits: {idle: soon}\n", "class.yaml:2:10: limits idle: 'soon' is not valid"),
        ("labs: [{lab: lab4b}]\nlimits: {memory: lots}\n", "class.yaml:2:10: limits memory: 'lots' is not valid"),
        ("labs: [{lab: lab4b}]\nid: Ops\n", "class.yaml:2:1: id: 'Ops' is not valid"),
        ("labs: [{lab: lab4b}]\nname: a\nname: b\n", "class.yaml:3:1: the key 'name' is here a second time"),
    ],
)
def test_what_is_wrong_in_a_class_is_said_with_line_and_column(folder: Path, text: str, said: str) -> None:
    assert any(each.startswith(said) for each in findings(folder, text)), findings(folder, text)


def test_a_federated_class_needs_different_x(folder: Path) -> None:
    text = "labs: [{lab: lab4b}]\nfederate: true\n"
    assert findings(folder, text) == []
    (folder / "roster.csv").write_text("id,x\nann,90\nbob,90\n")
    assert "different X" in findings(folder, text)[0]
    assert findings(folder, text.replace("true", "false")) == []
    (folder / "roster.csv").write_text("id,name\n" + "".join(f"s{n},S\n" for n in range(251)))
    assert "250" in findings(folder, text)[0]


def test_a_broken_roster_and_a_broken_class_are_both_said(folder: Path) -> None:
    (folder / "roster.csv").write_text("id,name\n,A\n,B\n")
    said = findings(folder, "labs: [{lab: lab99}]\n")
    assert [each.rpartition(":")[0][:14] for each in said if each.startswith("roster.csv")] == [
        "roster.csv:2",
        "roster.csv:3",
    ]
    assert any("lab99" in each for each in said)
    code, out = run("class", "lint", "-c", str(folder), "--json")
    assert code == 2
    assert len(json.loads(out)["findings"]) == 3


def test_dates_are_in_the_zone_of_the_class(folder: Path) -> None:
    (folder / "class.yaml").write_text(
        "timezone: America/Toronto\nlabs:\n- {lab: lab3, due: 2027-01-26}\n- {lab: lab4b, open: 2027-07-01 08:00, due: "
        "2027-07-02T12:00:00+00:00}\n"
    )
    first, second = load.load(folder).labs
    assert first.due == datetime(2027, 1, 27, 4, 59, 59, tzinfo=UTC)
    assert second.open == datetime(2027, 7, 1, 12, tzinfo=UTC)
    assert second.due == datetime(2027, 7, 2, 12, tzinfo=UTC)


def test_who_holds_the_folder_of_a_class_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "PATIENCE", 0.0)
    (folder / "class.yaml").write_text("name: Operations\nlabs: [{lab: lab4b}]\n")
    there = load.load(folder)
    with (
        lock.held(there),
        pytest.raises(EngineError, match=rf"Operations has been locked by process {os.getpid()} of"),
        lock.held(there),
    ):
        pytest.fail("two at once")
    with lock.held(there):
        pass
    assert (folder / "records").stat().st_mode & 0o777 == 0o700


def test_a_command_that_writes_records_waits_for_nobody_for_long_and_says_who_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "class.yaml").write_text("name: Operations\nlabs: [{lab: lab4b}]\n")
    words = ("class", "override", "ann", "--points", "3", "--reason", "talked", "-c", str(folder))
    there = load.load(folder)
    monkeypatch.setattr(lock, "PATIENCE", 0.0)
    with lock.held(there):
        done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, EngineError)
    assert f"by process {os.getpid()}" in str(done.exception)
    assert CliRunner().invoke(app, words).exit_code == 0
