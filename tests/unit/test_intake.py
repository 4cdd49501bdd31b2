"""Hand-ins as each LMS gives them: whose they are, when they came, and what hostile names and zips do not do."""

import io
import time
import zipfile
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from labenv.classroom.folder.model import Class, Member
from labenv.classroom.grading import lms
from labenv.classroom.grading.intake import Taken, take
from labenv.classroom.grading.whose import Roster
from labenv.errors import UsageError
from labenv.plain_tar import Unreadable

ZONE = ZoneInfo("America/Toronto")
ANN = Member("asmith15", "asmith15", "Ann Smith", "ann.smith@example.org", "678")
BO = Member("bobrien", "bobrien", "Bo O'Brien", "bo@example.org", "679", row={"Username": "bo_brien2", "Section": "1"})
MARY = Member("mvdberg", "mvdberg", "Mary Ann van der Berg", "m@example.org", "680", row={"Section": "1"})
JOSE = Member("jgarcia", "jgarcia", "José García Núñez", row={"OrgDefinedId": "N01234567"})
MEMBERS = (ANN, BO, MARY, JOSE)


def a_class(folder: Path, members: tuple[Member, ...] = MEMBERS) -> Class:
    return Class(folder, "c", "C", ZONE, (), members)


def taken(folder: Path, *sources: Path, members: tuple[Member, ...] = MEMBERS) -> Taken:
    with ExitStack() as stack:
        return take(a_class(folder, members), sources, {}, stack)


def zipped(file: Path, *names: str, content: bytes = b"x") -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in names:
            packed.writestr(name, content)
    return file


@pytest.mark.parametrize(
    ("path", "member", "time"),
    [
        ("Ann Smith_12345_assignsubmission_file/asmith15.tar.gz", ANN, None),
        ("Ann Smith_12345_assignsubmission_file_/sub/asmith15.tar.gz", ANN, None),
        ("Ann Smith_12345_assignsubmission_file_asmith15.tar.gz", ANN, None),
        ("Bo OBrien_12346_assignsubmission_file/x.tar.gz", BO, None),
        ("Smith Ann_12345_assignsubmission_file/x.tar.gz", ANN, None),
        ("smithann_678_901_asmith15.tar.gz", ANN, None),
        ("smithann_LATE_1_901_asmith15-1.tar.gz", ANN, None),
        ("vanderbergmaryann_1_902_a_b_c.tar.gz", MARY, None),
        ("garcíanúñezjosé_1_902_a.tar.gz", JOSE, None),
        ("Lab 4b_asmith15_attempt_2027-01-26-23-59-01_a.tar.gz", ANN, "2027-01-26T23:59:01-05:00"),
        ("Lab_4b_mail_bo_brien2_attempt_2027-01-27-00-00-01_a.tar.gz", BO, "2027-01-27T00:00:01-05:00"),
        ("12345-67890 - Ann Smith - Jan 26, 2027 1159 PM/a.tar.gz", ANN, "2027-01-26T23:59:00-05:00"),
        ("12345-67890 - Ann Smith - January 6, 2027 105 AM/a.tar.gz", ANN, "2027-01-06T01:05:00-05:00"),
        ("12345-67890 - Mary Ann van der Berg- Jul 6, 2027 1205 PM - a.tar.gz", MARY, "2027-07-06T12:05:00-04:00"),
        ("12345-67890 - N01234567 - Whoever - 6 July, 2027 1805/a.tar.gz", JOSE, "2027-07-06T18:05:00-04:00"),
        ("12345-67890 - Ann Smith - Jan 26, 2027 1159\u202fPM/a.tar.gz", ANN, "2027-01-26T23:59:00-05:00"),
        ("12345-67890 - Ann Smith - 26 January 2027 1159 p.m./a.tar.gz", ANN, "2027-01-26T23:59:00-05:00"),
        ("12345-67890 - Ann Smith - 26 févr. 2027 2359/a.tar.gz", ANN, None),
        ("12345-67890 - Smith, Ann - Jan 26, 2027 1159 PM/sub/a.tar.gz", ANN, "2027-01-26T23:59:00-05:00"),
        ("Lab 4b_ann.smith@example.org_attempt_2027-01-26-23-59-01_a.tar.gz", ANN, "2027-01-26T23:59:01-05:00"),
        ("asmith15/20270126T235901Z.tar.gz", ANN, "2027-01-26T23:59:01+00:00"),
        ("asmith15.tar.gz", ANN, None),
        ("ASMITH15 (2).tar.gz", ANN, None),
        ("asmith15-2.tgz", ANN, None),
        ("lab4b/asmith15/work.tar.gz", ANN, None),
        ("lab4b/asmith15/bobrien.tar.gz", ANN, None),
        ("ann.smith@example.org.tar.gz", ANN, None),
    ],
)
def test_the_name_that_an_lms_gives_tells_the_student_and_the_time(path: str, member: Member, time: str | None) -> None:
    told = lms.named(path, ZONE)
    assert Roster(MEMBERS).find(told.keys) == member
    assert (told.time and told.time.isoformat()) == time


@pytest.mark.parametrize(
    "path",
    [
        "Ann Smith_12345_assignsubmission_file/{}",
        "Ann Smith_12345_assignsubmission_file_/sub/{}",
        "Ann Smith_12345_assignsubmission_file_{}",
        "smithann_678_901_{}",
        "smithann_LATE_678_901_{}",
        "Lab 4b_asmith15_attempt_2027-01-26-23-59-01_{}",
        "12345-67890 - Ann Smith - Jan 26, 2027 1159 PM/{}",
        "12345-67890 - Ann Smith - Jan 26, 2027 1159 PM - {}",
    ],
)
@pytest.mark.parametrize(
    "own",
    [
        "Bo OBrien_12346_assignsubmission_file_x.tar.gz",
        "obrienbo_679_902_x.tar.gz",
        "x_bobrien_attempt_2026-01-01-00-00-00_x.tar.gz",
        "1-2 - Bo OBrien - Jan 1, 2026 1200 AM - x.tar.gz",
        "bobrien.tar.gz",
    ],
)
def test_no_student_names_another_or_another_time_by_the_name_of_a_file(path: str, own: str) -> None:
    told, plain = (lms.named(path.format(name), ZONE) for name in (own, "a.tar.gz"))
    assert Roster(MEMBERS).find(told.keys) == ANN
    assert (told.time, told.number, told.is_late) == (plain.time, plain.number, plain.is_late)


def test_in_a_folder_that_is_called_by_a_student_no_file_names_another(tmp_path: Path) -> None:
    names = [
        "Bo OBrien_12346_assignsubmission_file_x.tar.gz",
        "obrienbo_679_902_x.tar.gz",
        "x_bobrien_attempt_2026-01-01-00-00-00_x.tar.gz",
        "1-2 - Bo OBrien - Jan 1, 2026 1200 AM - x.tar.gz",
    ]
    found = taken(tmp_path, zipped(tmp_path / "a.zip", *(f"lab4b/ASmith15/{name}" for name in names)))
    assert {who: [one.named.time for one in those] for who, those in found.attempts.items()} == {"asmith15": [None] * 4}


def test_canvas_says_late_and_moodle_the_participant() -> None:
    assert lms.named("smithann_LATE_678_901_a.tar.gz", ZONE).is_late
    assert not lms.named("smithann_678_901_a.tar.gz", ZONE).is_late
    assert lms.named("Participant_12345_assignsubmission_file/a.tar.gz", ZONE).number == "12345"


@pytest.mark.parametrize(
    "path", ["Section 1.tar.gz", "1.tar.gz", "nobody.tar.gz", "ann.tar.gz", "smith.tar.gz", ".tar.gz"]
)
def test_what_several_have_or_nobody_names_nobody(path: str) -> None:
    assert Roster(MEMBERS).find(lms.named(path, ZONE).keys) is None


def test_a_canvas_number_that_is_anothers_elsewhere_does_not_take_a_hand_in_away() -> None:
    other = Member("cwu", "cwu", "Chen Wu", row={"Student ID": "678"})
    there = Roster((replace(ANN, lms_id=""), other))
    assert there.find(lms.named("smithann_678_901_a.tar.gz", ZONE).keys) == replace(ANN, lms_id="")
    twins = Roster((ANN, replace(ANN, id="asmith16", given="asmith16", email="", lms_id="700")))
    assert twins.find(lms.named("smithann_678_901_a.tar.gz", ZONE).keys) == ANN


def test_a_name_that_two_students_have_is_said(tmp_path: Path) -> None:
    twin = Member("asmith16", "asmith16", "Ann Smith")
    there = zipped(tmp_path / "a.zip", "Ann Smith_1_assignsubmission_file/a.tar.gz", "asmith16_2_3_b.tar.gz")
    found = taken(tmp_path, there, members=(ANN, twin))
    assert found.loose == [
        "Ann Smith_1_assignsubmission_file/a.tar.gz: Ann Smith is the name of asmith15, asmith16. Call the file by the id: ID.tar.gz"
    ]
    assert set(found.attempts) == {"asmith16"}


def test_a_zip_a_folder_and_a_file_give_the_same(tmp_path: Path) -> None:
    name = "Lab 4b_asmith15_attempt_2027-01-26-23-59-01_asmith15.tar.gz"
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / name).write_bytes(b"x")
    for source in (zipped(tmp_path / "all.zip", name), folder, folder / name):
        with ExitStack() as stack:
            found = take(a_class(tmp_path), [source], {}, stack)
            [one] = found.attempts["asmith15"]
            assert one.read() == b"x"
            assert one.named.time == datetime(2027, 1, 27, 4, 59, 1, tzinfo=UTC)


def test_attempts_are_in_the_order_of_their_times(tmp_path: Path) -> None:
    names = [f"Lab_asmith15_attempt_2027-01-{day}-10-00-00_{name}.tar.gz" for day, name in ((27, "a"), (25, "z"))]
    found = taken(tmp_path, zipped(tmp_path / "a.zip", *names))
    assert [one.file for one in found.attempts["asmith15"]] == names[::-1]


def test_what_an_lms_or_a_mac_puts_beside_is_no_hand_in(tmp_path: Path) -> None:
    names = ["index.html", "Lab_asmith15_attempt_2027-01-26-23-59-01.txt", "__MACOSX/._a.tar.gz", "._asmith15.tar.gz"]
    found = taken(tmp_path, zipped(tmp_path / "a.zip", *names, "a/.DS_Store"))
    assert (found.attempts, found.wrong, found.loose) == ({}, {}, [])


def test_another_kind_of_file_is_said_of_the_student(tmp_path: Path) -> None:
    found = taken(tmp_path, zipped(tmp_path / "a.zip", "smithann_678_901_work.zip", "smithann_678_902_photo.png"))
    assert [said.partition(" is no archive")[0] for said in found.wrong["asmith15"]] == [
        "smithann_678_901_work.zip",
        "smithann_678_902_photo.png",
    ]


def test_no_name_in_a_zip_leads_anywhere(tmp_path: Path) -> None:
    names = [
        "../../asmith15.tar.gz",
        "/etc/asmith15.tar.gz",
        "asmith15\x1b[2J.tar.gz",
        "a" * 5000 + "/asmith15.tar.gz",
        "..\\x.tar.gz",
    ]
    found = taken(tmp_path, zipped(tmp_path / "a.zip", *names))
    assert len(found.attempts["asmith15"]) == 3
    assert all(len(one.file) <= 400 for one in found.attempts["asmith15"])
    assert "\x1b" not in "".join(found.loose)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_a_zip_bomb_is_read_to_a_limit(tmp_path: Path) -> None:
    bomb = zipped(tmp_path / "a.zip", "asmith15.tar.gz", content=bytes(200_000_000))
    with ExitStack() as stack:
        [one] = take(a_class(tmp_path), [bomb], {}, stack).attempts["asmith15"]
        assert len(one.read()) == 16_000_001


def test_a_damaged_entry_is_one_hand_ins_trouble(tmp_path: Path) -> None:
    file = zipped(tmp_path / "a.zip", "asmith15.tar.gz", content=bytes(range(256)) * 40)
    data = bytearray(file.read_bytes())
    data[60:90] = bytes(30)
    file.write_bytes(data)
    with ExitStack() as stack:
        [one] = take(a_class(tmp_path), [file], {}, stack).attempts["asmith15"]
        with pytest.raises(Unreadable, match="it cannot be taken out of the zip"):
            one.read()


def test_an_encrypted_entry_is_one_hand_ins_trouble(tmp_path: Path) -> None:
    file = zipped(tmp_path / "a.zip", "asmith15.tar.gz")
    data = bytearray(file.read_bytes())
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # APPNOTE.TXT 4.4.4: bit 0 of the flags
        data[data.index(signature) + at] |= 1
    file.write_bytes(data)
    with ExitStack() as stack:
        [one] = take(a_class(tmp_path), [file], {}, stack).attempts["asmith15"]
        with pytest.raises(Unreadable, match="encrypted"):
            one.read()


def test_an_entry_that_unpacks_without_a_limit_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_LZMA) as packed:
        packed.writestr("asmith15.tar.gz", bytes(1_000_000))
    with ExitStack() as stack:
        [one] = take(a_class(tmp_path), [tmp_path / "a.zip"], {}, stack).attempts["asmith15"]
        with pytest.raises(Unreadable, match="in a way that no LMS uses"):
            one.read()


def test_links_in_a_folder_are_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"x")
    (folder / "asmith15.tar.gz").symlink_to(tmp_path / "secret")
    assert taken(tmp_path, folder).attempts == {}


def test_what_is_not_there_or_no_zip_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no .*nowhere"):
        taken(tmp_path, tmp_path / "nowhere")
    (tmp_path / "a.zip").write_bytes(io.BytesIO(b"no zip").getvalue())
    with pytest.raises(UsageError, match="is not a zip, or it is damaged"):
        taken(tmp_path, tmp_path / "a.zip")


@example(".")
@given(st.text(max_size=400))
def test_no_name_stops_the_reading_of_names(text: str) -> None:
    told = lms.named(text or "x", ZONE)
    Roster(MEMBERS).find(told.keys)


@pytest.mark.parametrize(
    "name",
    [
        "1-1 - " + "1" * 394,
        "1-1 - " + "a- " * 130,
        "1-1 - a - " + "1 " * 190,
        "_attempt_" * 44,
        "a_1_" * 100,
        "_assignsubmission_file" * 18,
    ],
)
def test_no_name_takes_long(name: str) -> None:
    began = time.process_time()
    lms.named(name, ZONE)
    assert time.process_time() - began < 0.5
