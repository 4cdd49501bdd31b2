"""The sheet itself: its text as its authors published it, and whose it is."""

import shutil
from pathlib import Path

import pytest

from labenv.errors import UsageError
from labenv.lab import labs, lint, sheet_text
from labenv.lab.model import read


@pytest.mark.parametrize("name", ["lab3", "lab4a", "lab4b"])
def test_a_lab_of_the_course_shows_the_sheet_with_its_authors_and_licence(name: str) -> None:
    sheet = sheet_text.of(labs.load(name))
    assert sheet
    assert sheet.text.lstrip().startswith("# Lab ")
    assert "Seneca" in sheet.author
    assert sheet.licence == "CC BY 2.5 Canada"


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    folder = tmp_path / "lab4b"
    shutil.copytree(labs.load("lab4b").folder, folder)
    return folder


def test_a_lab_without_a_sheet_has_none(lab: Path) -> None:
    (lab / "sheet.yaml").unlink()
    assert lint.lint(lab) == []
    assert sheet_text.of(read(lab)) is None


def test_a_sheet_whose_text_may_not_be_shown_is_a_link(lab: Path) -> None:
    (lab / "sheet.yaml").write_text("link: https://example.com/sheet\n")
    sheet = sheet_text.of(read(lab))
    assert sheet
    assert (sheet.link, sheet.text) == ("https://example.com/sheet", "")
    assert lint.lint(lab) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("link: https://example.com\ntext: other.md\nauthor: A\nlicence: L\n", "no file other.md"),
        ("link: https://example.com\ntext: sheet.md\n", "author"),
        ("link: example\n", "link"),
        ("text: ../../secret.md\nlink: https://example.com\nauthor: A\nlicence: L\n", "text"),
        ("[]\n", ""),
    ],
)
def test_what_is_wrong_with_it_is_told_with_its_line(lab: Path, text: str, said: str) -> None:
    (lab / "sheet.yaml").write_text(text)
    (found, *_) = lint.lint(lab)
    assert found.file == "sheet.yaml"
    assert said in f"{found.sentence} {found.step} {found}"


def test_a_broken_file_is_a_sentence(lab: Path) -> None:
    (lab / "sheet.yaml").write_text("- x\n")
    with pytest.raises(UsageError, match="lab lint"):
        sheet_text.of(read(lab))
