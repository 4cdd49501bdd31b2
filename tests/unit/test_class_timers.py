"""When environments of a class are stopped: what is kept of it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from labenv.classroom.folder.model import Class
from labenv.classroom.running.timers import Timer, drop, get_all, set_
from labenv.errors import UsageError

LATER = datetime(2027, 1, 26, 15, 30, tzinfo=UTC)


@pytest.fixture
def of(tmp_path: Path) -> Class:
    return Class(tmp_path, "ops345", "OPS345", ZoneInfo("America/Toronto"), (), ())


def test_a_class_without_timers_has_none(of: Class) -> None:
    assert get_all(of) == {}
    drop(of, "asmith15")


def test_timers_are_kept_for_each_student_until_they_are_dropped(of: Class) -> None:
    set_(of, Timer("asmith15", until=LATER))
    set_(of, Timer("bjones3", idle=timedelta(minutes=45)))
    set_(of, Timer("asmith15", until=LATER + timedelta(hours=1), idle=timedelta(hours=2)))
    there = get_all(of)
    assert there["asmith15"] == Timer("asmith15", LATER + timedelta(hours=1), timedelta(hours=2))
    assert there["bjones3"] == Timer("bjones3", None, timedelta(minutes=45))
    drop(of, "asmith15")
    assert list(get_all(of)) == ["bjones3"]


def test_timers_are_the_teachers_alone(of: Class) -> None:
    set_(of, Timer("asmith15", until=LATER))
    [file] = (of.records / "timers").iterdir()
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"until": 5, "idle": null}', '{"until": "2027-01-26T15:30:00", "idle": null}']
)
def test_a_file_that_is_no_timer_stops_nobody(of: Class, text: str) -> None:
    set_(of, Timer("asmith15", until=LATER))
    (of.records / "timers/bjones3.json").write_text(text, encoding="utf-8")
    assert list(get_all(of)) == ["asmith15"]


def test_an_id_is_never_a_path(of: Class) -> None:
    with pytest.raises(UsageError):
        set_(of, Timer("../../etc/passwd", until=LATER))
