"""Grades as files for spreadsheets, CI servers, autograders, and the gradebooks of four LMS."""

import csv
import io
import json
from dataclasses import replace
from xml.etree import ElementTree

import openpyxl
import pytest

from labenv.classroom import gradebook
from labenv.classroom.gradebook import Book
from labenv.classroom.grading.model import Deduction, Override
from tests.unit.made_grades import DUE, book, member

FORMULAS = ['=HYPERLINK("http://evil.example")', "+1+1", "-2+3", "@SUM(A1)", "\t=1+1", "＝1+1"]


@pytest.fixture(scope="module")
def made() -> Book:
    return book(15)


def with_texts(text: str) -> Book:
    """A class of two in which that text is wherever one can come from outside."""
    there = book(2)
    hostile = member(0, name=text, email=text, lms_id=text)
    steps = tuple(replace(step, seen=text, expected=text) for step in there.grades[0].steps)
    grade = replace(there.grades[0], steps=steps, notes=(text,), file=text, deductions=(Deduction(text, 1),))
    return replace(
        there,
        of=replace(there.of, members=(hostile, there.of.members[1])),
        grades=(grade, there.grades[1]),
    )


def rows(data: bytes, encoding: str = "utf-8-sig", delimiter: str = ",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(encoding)), delimiter=delimiter))


# -- for a spreadsheet --------------------------------------------------------------------------------------------------


def test_csv_has_a_row_a_student_and_a_column_a_step(made: Book) -> None:
    heading, *told = rows(gradebook.KINDS["csv"](made))
    assert [row[0] for row in told] == [grade.student for grade in made.grades]
    assert heading[heading.index("step 11b")] == "step 11b"
    for row, grade in zip(told, made.grades, strict=True):
        by = dict(zip(heading, row, strict=True))
        assert by["points"] == ("" if grade.missing else f"{grade.total:g}")
        assert by["missing"] == grade.missing
        if grade.steps:
            assert float(by["step 11b"]) == next(s.points for s in grade.steps if s.step == "11b")


def test_times_are_those_of_the_classs_clocks(made: Book) -> None:
    late = next(grade for grade in made.grades if grade.days_late)
    heading, *told = rows(gradebook.KINDS["csv"](made))
    row = next(row for row in told if row[0] == late.student)
    assert row[heading.index("handed in")] == "2027-01-28 05:59"  # 10:59 UTC


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_of_csv_is_a_formula(text: str) -> None:
    for row in rows(gradebook.KINDS["csv"](with_texts(text))):
        for value in row:
            assert value.lstrip()[:1] not in tuple("=+-@＝"), value


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_a_text_in_xlsx_and_stays_as_it_was(text: str) -> None:
    there = openpyxl.load_workbook(io.BytesIO(gradebook.KINDS["xlsx"](with_texts(text))))
    assert there.sheetnames == ["Summary", "Points by step", "Steps", "Remarks", "History"]
    cells = [cell for sheet in there for row in sheet.iter_rows() for cell in row]
    # openpyxl takes each string that begins with = for a formula; the file says what it is.
    assert not [cell.value for cell in cells if cell.data_type == "f" and cell.value != text]
    assert text in [cell.value for cell in cells if isinstance(cell.value, str)]


def test_xlsx_holds_no_formula_at_all() -> None:
    import zipfile

    with zipfile.ZipFile(io.BytesIO(gradebook.KINDS["xlsx"](with_texts("=1+1")))) as parts:
        sheets = [parts.read(name) for name in parts.namelist() if name.startswith("xl/worksheets/sheet")]
    assert len(sheets) == 5
    assert not [sheet for sheet in sheets if b"<f>" in sheet or b"<f " in sheet]


def test_a_text_that_no_spreadsheet_can_hold_is_cut_not_lost() -> None:
    there = openpyxl.load_workbook(io.BytesIO(gradebook.KINDS["xlsx"](with_texts("x" * 40_000 + "\x1b[31m"))))
    assert there["Steps"].cell(2, 9).value == "x" * 32_767


def test_what_was_decided_and_what_is_alike_is_among_the_remarks(made: Book) -> None:
    sheet = openpyxl.load_workbook(io.BytesIO(gradebook.KINDS["xlsx"](made)))["Remarks"]
    told = {(row[1].value, row[2].value) for row in sheet.iter_rows(min_row=2)}
    assert ("decision", "step 19, by teacher on 2027-02-01: Shown in the lab room on the day") in told
    assert any(what == "alike" and "212 of 260 own words" in text for what, text in told)
    assert ("hint", "step 22, 2027-01-20 09:20: where to look") in told
    assert ("drill", "no-mx (level 2): fixed after 754 s") in told


# -- for programs -------------------------------------------------------------------------------------------------------


def test_junit_counts_what_it_holds(made: Book) -> None:
    root = ElementTree.fromstring(gradebook.KINDS["junit"](made))
    assert [suite.get("name") for suite in root] == [grade.student for grade in made.grades]
    for suite, grade in zip(root, made.grades, strict=True):
        failed = [step.step for step in grade.steps if step.status == "fail"]
        assert len(suite.findall("testcase/failure")) == int(suite.get("failures", "")) == len(failed)
        assert len(suite.findall("testcase/skipped")) == int(suite.get("skipped", ""))
        assert len(suite.findall("testcase")) == int(suite.get("tests", "")) >= 1
    assert int(root.get("tests", "")) == len(root.findall("*/testcase"))


def test_junit_is_xml_whatever_a_machine_said() -> None:
    root = ElementTree.fromstring(gradebook.KINDS["junit"](with_texts("\x00\x1b]0;x\x07 ]]> & <b> \ud800 \u202e")))
    assert "\\x1b]0;x\\x07 ]]> & <b>" in (root[0].findall("testcase/system-out")[0].text or "")


def test_results_json_is_as_the_specification_has_it(made: Book) -> None:
    late = next(grade for grade in made.grades if grade.days_late)
    told = json.loads(gradebook.results(replace(late, notes=("looks odd",))))
    assert told["score"] == late.total < sum(test["score"] for test in told["tests"])
    assert "2 days late" in told["output"]
    assert "looks odd" not in json.dumps(told)
    assert "leaderboard" not in told
    for test in told["tests"]:
        assert test.keys() <= {
            *("score", "max_score", "status", "name", "name_format", "number", "output", "output_format", "tags"),
            "visibility",
        }
        assert test["visibility"] in ("hidden", "after_due_date", "after_published", "visible")
        assert test["output_format"] in ("text", "html", "simple_format", "md", "ansi")
        assert test.get("status", "passed") in ("passed", "failed")


def test_results_json_has_what_a_teacher_decided(made: Book) -> None:
    decided = Override(12.5, "oral exam", "teacher", DUE)
    told = json.loads(gradebook.results(replace(made.grades[0], overrides=(decided,))))
    assert told["score"] == 12.5
    assert "the total set to 12.5: oral exam" in told["output"]


# -- for an LMS ---------------------------------------------------------------------------------------------------------

CANVAS = {
    "Student": "Smith, Amir",
    "ID": "4401",
    "SIS User ID": "00123",
    "SIS Login ID": "asmith15",
    "Section": "NBB",
    "Lab 4b (98765)": "",
    "Final Score": "80",
}


def test_canvas_finds_student_and_assignment() -> None:
    """As lib/gradebook_importer.rb of Canvas reads a file."""
    made = gradebook.as_import(book(2, {0: CANVAS}), "canvas")
    heading, possible, first, second = rows(made.data, "utf-8")
    assert "Student" in heading[0]
    assert "ID" in heading[1]
    assert heading[2:4] == ["SIS User ID", "SIS Login ID"]
    assert heading[4] == "Section"
    assert heading[5:] == ["Lab 4b (98765)"]
    assert "Points Possible" in possible[0]
    assert (possible[5], len(possible)) == ("36", 6)
    assert first[1:5] == ["4401", "00123", "asmith15", "NBB"]
    assert second[1] == ""  # this row of the roster is not Canvas's: what it calls id is no number of Canvas
    assert made.notes == ()


def test_the_number_of_a_canvas_roster_is_taken_for_no_other_id() -> None:
    roster = {**CANVAS, "SIS User ID": ""}
    there = book(2, {0: roster})
    there = replace(
        there, of=replace(there.of, members=(replace(there.of.members[0], lms_id="4401"), there.of.members[1]))
    )
    assert rows(gradebook.as_import(there, "canvas").data, "utf-8")[2][1:4] == ["4401", "", "asmith15"]


def test_a_number_that_a_spreadsheet_was_told_to_leave_alone_is_that_number() -> None:
    told = rows(gradebook.as_import(book(2, {0: {"ID number": '="0042"'}}), "moodle").data, "utf-8")
    assert told[1][2] == "0042"


def test_moodle_gets_the_columns_that_it_can_map() -> None:
    roster = {"First name": "Amir", "ID number": "0042", "Email address": "A@Example.edu", "Username": "asmith"}
    heading, first, _ = rows(gradebook.as_import(book(2, {0: roster}), "moodle").data, "utf-8")
    assert heading[1:4] == ["Username", "ID number", "Email address"]
    assert first[1:4] == ["asmith", "0042", "A@Example.edu"]  # Moodle compares addresses letter by letter


def test_blackboard_gets_its_own_column_tab_delimited() -> None:
    roster = {"Username": "asmith15", "Student ID": "0099", "Lab 4b [Total Pts: 36 Score] |123456": ""}
    made = gradebook.as_import(book(2, {0: roster}), "blackboard")
    assert made.data[:2] in (b"\xff\xfe", b"\xfe\xff")
    heading, first, _ = rows(made.data, "utf-16", "\t")
    assert heading == ["Username", "Student ID", "Lab 4b [Total Pts: 36 Score] |123456"]
    assert first[:2] == ["asmith15", "0099"]
    assert made.notes == ()


def test_brightspace_ends_each_row_with_its_indicator() -> None:
    roster = {
        "OrgDefinedId": "#20067930",
        "Username": "#Frank.Catcher",
        "Lab 4b Points Grade <Numeric MaxPoints:36>": "",
    }
    made = gradebook.as_import(book(2, {0: roster}), "brightspace")
    heading, *told = rows(made.data, "utf-8")
    assert heading[:2] == ["OrgDefinedId", "Username"]
    assert heading[2:] == ["Lab 4b Points Grade <Numeric MaxPoints:36>", "End-of-Line Indicator"]
    assert told[0][:2] == ["#20067930", "#Frank.Catcher"]
    assert {row[-1] for row in told} == {"#"}


def test_the_number_of_an_lms_is_nobodys_login() -> None:
    there = book(2)
    members = tuple(
        replace(one, given=one.lms_id, row={"OrgDefinedId": f"#{one.lms_id}", "Last Name": "Smith"})
        for one in there.of.members
    )
    by_number = replace(there, of=replace(there.of, members=members))
    _, *told = rows(gradebook.as_import(by_number, "brightspace").data, "utf-8")
    assert [row[:2] for row in told] == [["#70000", ""], ["#70001", ""]]
    made = gradebook.as_import(by_number, "blackboard")
    assert len(rows(made.data, "utf-16", "\t")) == 1
    assert "has no Username, by which Blackboard knows a student" in made.notes[-1]


@pytest.mark.parametrize("kind", gradebook.LMS)
def test_who_has_no_grade_is_left_out_and_named(made: Book, kind: str) -> None:
    missing = next(grade.student for grade in made.grades if grade.missing)
    written = gradebook.as_import(made, kind)
    assert missing.encode() not in written.data
    assert any(note == f"Without a grade, and so not in the file: {missing}." for note in written.notes)


@pytest.mark.parametrize("kind", gradebook.LMS)
def test_who_has_no_hand_in_but_a_decision_is_in_it(made: Book, kind: str) -> None:
    zero = Override(0, "nothing came", "teacher", DUE)
    decided = replace(
        made, grades=tuple(replace(each, overrides=(zero,)) if each.missing else each for each in made.grades)
    )
    assert not [note for note in gradebook.as_import(decided, kind).notes if "Without a grade" in note]


@pytest.mark.parametrize("kind", gradebook.LMS)
@pytest.mark.parametrize("text", FORMULAS[:4])
def test_an_id_that_would_be_a_formula_is_never_written(kind: str, text: str) -> None:
    there = book(2)
    hostile = member(0, given=text, lms_id=text, email=text, name=text)
    there = replace(there, of=replace(there.of, members=(hostile, there.of.members[1])))
    written = gradebook.as_import(there, kind)
    encoding, delimiter = gradebook.LMS[kind].encoding, gradebook.LMS[kind].delimiter
    for row in rows(written.data, encoding, delimiter):
        assert not [value for value in row if value[:1] in tuple("=+-@")]
    assert any("would be a formula" in note and "line 2 of the roster" in note for note in written.notes)


def test_a_name_that_would_be_a_formula_is_escaped_and_the_grade_stays() -> None:
    there = book(2)
    hostile = member(0, name="=cmd|' /C calc'!A0")
    there = replace(there, of=replace(there.of, members=(hostile, there.of.members[1])))
    _, _, first, _ = rows(gradebook.as_import(there, "canvas").data, "utf-8")
    assert first[0] == "'=cmd|' /C calc'!A0"
    assert first[3] == "asmith0"
    assert first[5] != ""


def test_an_lms_that_would_make_another_column_is_warned_of(made: Book) -> None:
    assert "which counts no points" in gradebook.as_import(made, "blackboard").notes[0]
    said = replace(made, item="Lab 4b |123456")
    assert rows(gradebook.as_import(said, "blackboard").data, "utf-16", "\t")[0][-1] == "Lab 4b |123456"
    assert "no column" not in "".join(gradebook.as_import(said, "blackboard").notes)


def test_who_cannot_be_found_in_the_lms_is_named() -> None:
    there = book(2)
    nobody = member(0, given="", lms_id="", email="", row={})
    there = replace(there, of=replace(there.of, members=(nobody, there.of.members[1])))
    written = gradebook.as_import(there, "moodle")
    assert len(rows(written.data, "utf-8")) == 2
    assert written.notes == (
        "asmith0 is not in the file: line 2 of the roster has no Username and no ID number and no Email address, by which "
        "Moodle knows a student.",
    )
