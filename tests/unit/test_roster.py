"""A roster is read as spreadsheets and LMSs write it, and refused with the line of each bad row."""

import base64
import random
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labenv import student
from labenv.classroom.folder import roster
from labenv.classroom.folder.ids import ids
from labenv.classroom.folder.model import Member
from labenv.errors import UsageError

KEY = "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0 " + bytes(range(32))).decode()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "roster.csv"


def members(file: Path, text: str | bytes) -> tuple[Member, ...]:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return roster.read(file).members


def refused(file: Path, text: str | bytes) -> str:
    with pytest.raises(UsageError) as error:
        members(file, text)
    return str(error.value)


MOODLE = '"First name","Last name",Username,"ID number","Email address"\nJane,Doe,jdoe,1234,jdoe@uni.example\n'
MOODLE_GRADER = '"First name","Last name","ID number","Email address"\nJane,Doe,1234,jdoe@uni.example\n'
CANVAS = (
    "Student,ID,SIS User ID,SIS Login ID,Section,Lab 3 (77)\n,,,,,Manual Posting\n    Points Possible,,,,,10\n"
    '"Doe, Jane",1234,S-9,jdoe@uni.example,Monday,\n"Student, Test",1299,,7c6d,Monday,\n'
)
BLACKBOARD = '"Last Name"\t"First Name"\t"Username"\t"Student ID"\n"Doe"\t"Jane"\t"jdoe"\t"1234"\n'
BRIGHTSPACE = (
    "OrgDefinedId,Username,Last Name,First Name,Email,End-of-Line Indicator\n#1234,#jdoe,Doe,Jane,jdoe@uni.example,#\n"
)


@pytest.mark.parametrize(
    ("text", "email"),
    [
        (MOODLE.encode("utf-8-sig"), "jdoe@uni.example"),
        (MOODLE_GRADER, "jdoe@uni.example"),
        (CANVAS, "jdoe@uni.example"),
        (BLACKBOARD.encode("utf-16"), ""),
        (BRIGHTSPACE, "jdoe@uni.example"),
    ],
    ids=["moodle", "moodle-grader", "canvas", "blackboard", "brightspace"],
)
def test_what_an_lms_exports_gives_the_student_with_id_name_mail_and_number(
    file: Path, text: str | bytes, email: str
) -> None:
    [one] = members(file, text)
    assert (one.id, one.given, one.name, one.email, one.lms_id) == ("jdoe", "jdoe", "Jane Doe", email, "1234")


def test_an_export_with_the_number_alone_has_ids_by_the_number(file: Path) -> None:
    file.write_text("OrgDefinedId,Last Name,First Name,End-of-Line Indicator\n#1234,Doe,Jane,#\n")
    there = roster.read(file)
    [one] = there.members
    assert (one.id, one.given, one.name, one.lms_id) == ("s1234", "1234", "Jane Doe", "1234")
    assert there.notes == ("there is no id or username, so the ids come from 'OrgDefinedId'",)


def test_brightspaces_mark_before_a_login_is_no_part_of_an_address(file: Path) -> None:
    [one] = members(file, "Username,End-of-Line Indicator\n#jdoe@uni.example,#\n")
    assert (one.id, one.email) == ("jdoe", "jdoe@uni.example")


def test_blackboards_preview_user_is_no_student(file: Path) -> None:
    file.write_text(
        '"Last Name","First Name","Username","Student ID"\n"Doe","Jane","jdoe","1234"\n'
        '"Roe_PreviewUser","Rick","rroe_previewuser","rroe_previewuser"\n'
    )
    there = roster.read(file)
    assert [one.id for one in there.members] == ["jdoe"]
    assert there.notes == ("line 3: Blackboard's preview user is left out",)


def test_a_row_is_kept_as_it_is_with_its_columns_in_order(file: Path) -> None:
    [one] = members(file, CANVAS)
    names = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Lab 3 (77)"]
    assert [*one.row] == names
    assert [*one.row.values()] == ["Doe, Jane", "1234", "S-9", "jdoe@uni.example", "Monday", ""]
    [one] = members(file, "id,Lab,Lab\na1,=1+1, 7 \n")
    assert dict(one.row) == {"id": "a1", "Lab": "=1+1", "Lab (2)": " 7 "}


@pytest.mark.parametrize(
    "text",
    [
        "id,name\nann,Bö\n",
        "\ufeffid,name\r\n\r\nann,Bö\r\n,\r\n",
        "id;name\nann;Bö\n",
        "id\tname\rann\tBö\r",
        "sep=;\nid;name\nann;Bö\n",
        '"sep=,"\nid,name\nann,Bö\n',
        ' ID , Name \n ann , "Bö" \n'.replace(' "', '"').replace('" ', '"'),
        'id,name\nann,"Bö"\n\n',
        'id,name\n"=""ann""",Bö\n',
        "Login;Name;;\nann;Bö;;\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le"])
def test_marks_blanks_and_delimiters_of_spreadsheets_change_nothing(file: Path, text: str, encoding: str) -> None:
    [one] = members(file, text.encode(encoding))
    assert (one.id, one.name) == ("ann", "Bö")


def test_windows_1252_is_read_and_said(file: Path) -> None:
    file.write_bytes("id,name\nann,Müller\n".encode("cp1252"))
    read = roster.read(file)
    assert read.members[0].name == "Müller"
    assert "Windows-1252" in read.notes[0]


def test_a_plain_list_of_ids_is_a_roster(file: Path) -> None:
    assert [one.id for one in members(file, "ann\nbob\n")] == ["ann", "bob"]


def test_a_cell_with_line_ends_counts_as_it_stands_for_the_lines_below(file: Path) -> None:
    assert [one.line for one in members(file, 'id,name\n\nann,"A\nB"\nbob,B\n')] == [3, 5]


def test_every_bad_row_is_named_with_its_line(file: Path) -> None:
    text = (
        "id,name,x,key\n=cmd|' /C calc'!A0,evil,,\n,nobody,,\ncarl,Smith, Jane,,,\ndora,D,300,\ndora,D,3,\nfine,F,4,\n"
        f"eve,E,,{KEY[:50]}\nfred,F,,-----BEGIN OPENSSH PRIVATE KEY-----\nfine,F,4,\n"
    )
    said = refused(file, text)
    for line, words in {
        2: "formula",
        3: "nobody knows",
        4: "300",
        5: "300",
        8: "damaged",
        9: "private key",
        10: "line 7",
    }.items():
        if line != 4:
            assert words in next(row for row in said.splitlines() if row.startswith(f"  line {line}: "))
    assert "line 7:" not in said
    assert "quotation marks" in refused(file, "id,name\ncarl,Smith, Jane\n")


def test_a_quotation_mark_out_of_place_loses_no_student(file: Path) -> None:
    assert f"{file}:2: " in refused(file, 'id,name\nann,"Bob\nbob,"Ann"\n')
    assert f"{file}:3: " in refused(file, 'id,name\nann,A\nbob,"B\n')


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no column"),
        (b"id,name\n", "no students"),
        (b"room,seat\n1,2\n", "room, seat"),
        (b"PK\x03\x04", "workbook"),
        (b"id\n\x00\x01\xff", "not text"),
        (b"id,name\n\n,\n", "no students"),
    ],
)
def test_what_is_no_roster_is_refused_with_the_way_out(file: Path, data: bytes, words: str) -> None:
    assert words in refused(file, data)


def test_ids_that_differ_in_case_or_are_no_labels_get_one_whatever_the_order(file: Path) -> None:
    rows = ["JDoe", "jdoe", "j.doe", "root", "12345", "Åsa Øst", "漢字", "a" * 60, "x"]
    texts = [*rows]
    random.Random(1).shuffle(texts)
    first = {one.given: one.id for one in members(file, "\n".join(["id,name", *(f"{row},N" for row in rows)]))}
    again = {one.given: one.id for one in members(file, "\n".join(["id,name", *(f"{row},N" for row in texts)]))}
    assert first == again
    assert first["jdoe"] == "jdoe"
    assert first["JDoe"].startswith("jdoe-")
    assert (first["j.doe"], first["root"], first["12345"], first["Åsa Øst"]) == ("j-doe", "s-root", "s12345", "asa-ost")


@given(st.lists(st.text(max_size=50), unique=True, max_size=30))
def test_each_of_different_texts_gets_an_id_of_its_own(texts: list[str]) -> None:
    found = ids(texts)
    assert found == ids(reversed(texts))
    assert len(set(found.values())) == len(texts)
    assert all(student.check_id(found[text]) for text in texts)


def test_x_first_name_and_keys_are_read(file: Path) -> None:
    text = f'id,x,first,key,key2\nann,90,anna,"{KEY} ann@home\n{KEY}",{KEY}\nbob,,,,\n'
    ann, bob = members(file, text)
    assert (ann.x, ann.first, len(ann.keys), ann.keys[0]) == (90, "anna", 3, f"{KEY} ann@home")
    assert (bob.x, bob.first, bob.keys) == (None, None, ())
    assert "differ" in refused(file, "id,first\nann,ann\n")


def test_two_students_with_one_key_are_told(file: Path) -> None:
    file.write_text(f"id,key\nann,{KEY}\nbob,{KEY} b\n")
    assert roster.read(file).notes == ("lines 2 and 3: ann and bob have the same SSH key",)


def test_ten_thousand_rows_take_no_time(file: Path) -> None:
    rows = "".join(f"Student {n},n{n},n{n}@uni.example\n" for n in range(10_000))
    began = time.process_time()
    assert len(members(file, f"name,username,email\n{rows}")) == 10_000
    said = refused(file, f"name,username,email\n{rows}{rows}")
    assert time.process_time() - began < 3
    assert "10000 rows cannot be used" in said
    assert "on the lines 10052-20001." in said


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.text('id,"\n\r;=\t#@\x00é', max_size=60).map(str.encode))
def test_any_bytes_give_students_or_a_sentence(file: Path, data: bytes) -> None:
    with suppress(UsageError):
        assert all(student.check_id(one.id) for one in members(file, b"id,name\n" + data))


def test_a_number_that_a_spreadsheet_has_rounded_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "roster.csv"
    file.write_text('Username,ID number\nann,00123\nbob,1.04E+05\ncwu,"1,2E+11"\ndan,104E\n')
    assert [note.partition(":")[0] for note in roster.read(file).notes] == ["line 3", "line 4"]
