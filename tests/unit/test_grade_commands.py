"""The commands about grades: what they print, how they end, and what they say about wrong usage."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from labenv.cli.app import app
from labenv.errors import UsageError
from tests.unit.made_submissions import members, saved


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "class.yaml").write_text(
        "timezone: America/Toronto\nlabs:\n  - lab: lab4b\n    due: 2027-01-26 23:59\n"
    )
    (tmp_path / "roster.csv").write_text("id,name\nasmith15,Ann Smith\nbjones3,Bill Jones\ncwu,Chen Wu\n")
    (tmp_path / "in").mkdir()
    for name, failing in (("asmith15", ()), ("bjones3", ("17", "18"))):
        saved(tmp_path / "in" / f"{name}.tar.gz", name, members(name, failing=failing))
    return tmp_path


def run(folder: Path, command: str, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["class", command, "-c", str(folder), *arguments])


def test_a_class_is_graded_in_one_command(folder: Path) -> None:
    done = run(folder, "grade", str(folder / "in"))
    assert done.exit_code == 0
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["student", "points", "of", "%", "late", "hints", "notes"]
    assert [line[:4] for line in lines[1:4]] == [
        ["asmith15", "36", "36", "100"],
        ["bjones3", "34", "36", "94"],
        ["cwu", "-", "36", "-"],
    ]
    assert "missing: nothing was handed in" in done.stdout
    assert "2 graded, 1 missing; mean 97 %, median 97 %." in done.stdout


def test_json_is_one_document_and_reports_are_files_for_the_teacher_alone(folder: Path) -> None:
    done = run(
        folder, "grade", str(folder / "in"), "--json", "--csv", str(folder / "g.csv"), "--junit", str(folder / "g.xml")
    )
    document = json.loads(done.stdout)
    assert set(document) == {"class", "lab", "source", "grades", "others", "alike", "failed"}
    assert [grade["total"] for grade in document["grades"]] == [36, 34, 0]
    assert (folder / "g.csv").stat().st_mode & 0o777 == 0o600
    assert "bjones3" in (folder / "g.xml").read_text()


def test_what_could_not_be_graded_ends_with_1_and_is_listed(folder: Path) -> None:
    (folder / "in" / "cwu.tar.gz").write_bytes(b"no archive")
    done = run(folder, "grade", str(folder / "in"))
    assert done.exit_code == 1
    assert "not graded: cwu: in/cwu.tar.gz cannot be graded: it is not a gzip file, or it is damaged" in done.stderr
    assert "asmith15  36" in done.stdout


def test_what_a_teacher_decided_holds_and_can_be_taken_back(folder: Path) -> None:
    run(folder, "grade", str(folder / "in"))
    assert (
        run(folder, "override", "bjones3", "--step", "17", "--points", "1", "--reason", "shown\nby hand").exit_code == 0
    )
    told = json.loads(run(folder, "override", "cwu", "--points", "20", "--reason", "was ill", "--json").stdout)
    assert [(each["points"], each["reason"], each["step"]) for each in told["overrides"]] == [(20, "was ill", "")]
    done = run(folder, "grade", str(folder / "in"), "--compare")
    assert "Nobody's points have changed since the last time." in done.stdout
    kept = json.loads(run(folder, "grades", "--json").stdout)["grades"]
    assert [grade["total"] for grade in kept] == [36, 35, 20]
    told = run(folder, "grades", "bjones3").stdout
    assert "step 17: 1 points by " in told
    assert "shown by hand" in told
    assert run(folder, "override", "cwu", "--lift").exit_code == 0
    assert json.loads(run(folder, "grades", "cwu", "--json").stdout)["grades"][0]["total"] == 0


def test_the_rubric_to_begin_with_is_a_rubric_for_the_class(folder: Path) -> None:
    (folder / "points.yaml").write_text(CliRunner().invoke(app, ["class", "rubric", "lab4b"]).stdout)
    (folder / "class.yaml").write_text("labs:\n  - lab: lab4b\n    rubric: points.yaml\n")
    told = json.loads(run(folder, "rubric", "--json").stdout)
    assert sum(step["points"] for step in told["steps"]) == 36
    assert run(folder, "rubric", "--show").stdout.splitlines()[-1] == "36 points"
    (folder / "points.yaml").write_text("points: {each: 2}\n")
    assert json.loads(run(folder, "grade", str(folder / "in"), "--json").stdout)["grades"][1]["total"] == 68


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["grade", "--replay"], "--replay is about hand-ins. Name them"),
        (["grade", "in", "--trust"], "--trust is about running environments"),
        (["grade", "nowhere"], "There is no "),
        (["grade", "in", "--only", "nobody"], "nobody is not in the roster"),
        (["grade", "in", "--lab", "lab9"], "has no lab lab9"),
        (["grade", "in", "--handed-in", "class.yaml"], "has no column with the time"),
        (["grade", "in", "--html", "no/where/r.html"], "cannot be written"),
        (["grades"], "Nothing of lab4b was graded yet. Begin with: labenv class grade"),
        (["override", "asmith15", "--points", "1"], "An override needs --points and --reason."),
        (["override", "asmith15", "--points", "-1", "--reason", "x"], "--points -1 is not possible"),
        (["override", "asmith15", "--points", "nan", "--reason", "x"], "--points nan is not possible"),
        (["override", "asmith15", "--points", "1", "--reason", "x", "--step", "99"], "lab4b has no step 99."),
        (["override", "nobody", "--points", "1", "--reason", "x"], "nobody is not in the roster"),
        (["override", "asmith15", "--lift"], "Nothing was decided about all of asmith15 in lab4b."),
        (["override", "asmith15", "--lift", "--points", "1"], "--lift cannot be combined with --points or --reason."),
    ],
)
def test_wrong_usage_is_a_sentence(
    arguments: list[str], said: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(app, ["class", *arguments])
    assert isinstance(done.exception, UsageError), done.output
    assert said in str(done.exception)
    assert not (folder / "records" / "grades.sqlite").exists()
