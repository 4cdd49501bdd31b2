"""The options that write grades to files: what is wrong with them is said before anything is graded."""

import stat
from pathlib import Path

import pytest

from labenv.classroom.gradebook import LMS
from labenv.cli.class_ import results
from labenv.errors import UsageError
from tests.unit.made_grades import book


def test_the_lms_that_the_option_knows_are_those_that_there_are() -> None:
    assert tuple(LMS) == results._LMS


def test_each_file_is_written_for_the_teacher_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = book(3)
    files = results.wanted(
        csv=tmp_path / "a.csv",
        xlsx=tmp_path / "a.xlsx",
        junit=tmp_path / "a.xml",
        html=tmp_path / "a.html",
        html_each=tmp_path / "each",
        results=tmp_path / "results",
        gradebook=[f"moodle={tmp_path / 'm.csv'}", f"Canvas={tmp_path / 'c.csv'}"],
    )
    results.write(files, there)
    made = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    students = [grade.student for grade in there.grades]
    assert made == {
        *("a.csv", "a.xlsx", "a.xml", "a.html", "m.csv", "c.csv"),
        *(f"each/{student}.html" for student in students),
        *(f"results/{student}/results.json" for student in students),
    }
    for path in tmp_path.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    said = capsys.readouterr()
    assert said.out == ""
    assert "Wrote 3 pages to" in said.err
    assert "c.csv: The roster has no column of Canvas" in said.err


def test_a_report_written_again_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("old\n" * 10_000)
    results.write(results.wanted(csv=file), book(2))
    assert "old" not in file.read_text()
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("text", ["moodle", "=x.csv", "sakai=x.csv", "moodle=", "\x1b[2J=x"])
def test_an_unknown_lms_is_named_with_those_that_there_are(text: str) -> None:
    with pytest.raises(UsageError, match="moodle, canvas, blackboard, brightspace") as error:
        results.wanted(gradebook=[text])
    assert "\x1b" not in str(error.value)


def test_one_file_for_two_reports_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="named twice"):
        results.wanted(csv=tmp_path / "a", gradebook=[f"moodle={tmp_path}/../{tmp_path.name}/a"])


def test_a_place_that_cannot_be_written_is_said_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        results.wanted(html=tmp_path / "file" / "a.html")
    with pytest.raises(UsageError, match=r"is a file\. Name a folder"):
        results.wanted(html_each=tmp_path / "file")


def test_a_workbook_without_the_package_is_a_sentence_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"pip install 'labenv\[class\]'"):
        results.wanted(xlsx=tmp_path / "a.xlsx")
