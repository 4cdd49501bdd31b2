"""What a class does with its environments: who gets which, who is refused, what is said of many."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import typer

from labenv.classroom.folder.model import Assignment, Class, Limits, Member
from labenv.classroom.running import drills, there, timers
from labenv.classroom.running.room import Room
from labenv.classroom.running.up import _as_it_is, _Item, _refuse_strange, _within
from labenv.classroom.serving import timing
from labenv.classroom.serving.alive import SERVE, alone
from labenv.cli.class_ import told
from labenv.computer import Computer
from labenv.engine import disk
from labenv.environment import Allowance, Belonging, Environment, Machine
from labenv.environments.plan import Request, validated
from labenv.environments.up import _contradiction
from labenv.errors import EngineError, LabenvError, UsageError
from labenv.events import silent
from labenv.lab import labs
from labenv.student import Student

NAMES = ("anna", "ben", "cho", "dev", "eli")


@pytest.fixture
def of(tmp_path: Path) -> Class:
    members = tuple(Member(name, name.upper()) for name in NAMES)
    return Class(tmp_path, "ops345", "OPS345", ZoneInfo("UTC"), (Assignment("lab4b"), Assignment("lab3")), members)


def environment(name: str, *, class_id: str = "ops345", lab: str = "lab4b", state: str = "running") -> Environment:
    machine = Machine("vm3", f"vm3.{name}.ops", "192.168.90.4", state, f"labenv-{name}-vm3")
    return Environment(Student(name, 90, "any", ""), lab, "lab4a", (machine,), "", belongs=Belonging(class_id))


class Known:
    """An engine with these environments."""

    is_local = True

    def __init__(self, found: Sequence[Environment]) -> None:
        self._found = list(found)

    def environments(self) -> list[Environment]:
        return self._found


def chosen(of: Class, found: Sequence[Environment], only: list[str] | None = None, lab: str | None = None) -> list[str]:
    return [each.student.id for each in there.environments(Known(found), of, only, lab)]  # type: ignore[arg-type]


def test_environments_are_those_with_the_label_of_the_class(of: Class) -> None:
    found = [
        environment("anna"),
        environment("ben", class_id="other"),
        environment("cho", class_id=""),
        environment("gone"),
    ]
    assert chosen(of, found) == ["anna", "gone"]
    assert chosen(of, found, ["g*"]) == ["gone"], "who has left the roster can still be named"
    assert chosen(of, found, ["ANNA, gone"]) == ["anna", "gone"], "as the roster has it"
    with pytest.raises(UsageError, match="zoe is not in the roster"):
        chosen(of, found, ["zoe"])
    with pytest.raises(EngineError, match="OPS345 has no environment of ben"):
        chosen(of, found, ["ben"])
    with pytest.raises(UsageError, match="has no lab lab9"):
        chosen(of, found, lab="lab9")
    with pytest.raises(EngineError, match="no environment of lab3"):
        chosen(of, found, lab="lab3")


@pytest.mark.parametrize(
    ("existing", "said"),
    [
        (environment("anna", class_id="other"), "belongs to the class other"),
        (environment("anna", class_id=""), "belongs to no class"),
        (environment("anna", lab="lab3"), "still has an environment of lab3"),
    ],
)
def test_what_is_not_this_classs_or_this_labs_is_refused_with_the_way_out(
    of: Class, existing: Environment, said: str
) -> None:
    with pytest.raises(UsageError, match=said) as error:
        _refuse_strange(existing, of, labs.load("lab4b"))
    assert "down" in str(error.value)
    _refuse_strange(environment("anna"), of, labs.load("lab4b"))


@pytest.mark.parametrize("folder", [False, True])
def test_what_is_brought_back_is_asked_for_as_it_is(folder: bool) -> None:
    existing = replace(environment("anna"), belongs=Belonging("ops345", Allowance(512 << 20, 0)))
    if folder:
        existing = replace(existing, lab_folder=str(labs.load("lab4b").folder))
    asked = validated(_as_it_is(existing, ["outside"]))
    assert _contradiction(asked, existing) is None
    assert (asked.belongs, set(asked.profiles)) == (existing.belongs, {"outside"})
    assert _contradiction(replace(asked, lab="lab3", stage=None), existing) == ("--lab", "lab4b")


def test_those_that_run_count_for_what_may_run_at_once(of: Class) -> None:
    few = replace(of, limits=Limits(at_once=3))
    found = {
        name: environment(name, state=state)
        for name, state in (("ben", "running"), ("cho", "exited"), ("zoe", "running"))
    }
    items = [_Item(Request(name), is_new=name not in found) for name in NAMES]
    allowed, refused = _within(few, items, found)
    assert [item.request.student_id for item in allowed] == ["ben", "anna"], "zoe, of another roster, runs too"
    assert [who for who, _ in refused] == ["cho", "dev", "eli"]
    assert _within(of, items, found) == (items, [])


def test_neighbours_have_different_drills_and_a_seed_gives_the_same_again(of: Class) -> None:
    among = drills.on_offer(Assignment("lab4b"), 1, silent)
    found = [environment(name) for name in NAMES]
    first = drills.orders(of, found, among, "week7")
    assert first == drills.orders(of, found, among, "week7")
    assert first != drills.orders(of, found, among, "week8")
    begin = [first[name][0].name for name in NAMES]
    assert all(one != other for one, other in pairwise(begin))
    assert all(sorted(d.name for d in order) == sorted(d.name for d in among) for order in first.values())


def test_the_class_may_restrict_its_drills(of: Class) -> None:
    names = [each.name for each in drills.on_offer(Assignment("lab4b"), 1, silent)][:2]
    assert {each.name for each in drills.on_offer(Assignment("lab4b", drills=tuple(names)), None, silent)} == set(names)
    with pytest.raises(UsageError, match="no drill 'nothing'"):
        drills.on_offer(Assignment("lab4b", drills=("nothing",)), None, silent)
    with pytest.raises(UsageError, match="no drill of level 3"):
        drills.on_offer(Assignment("lab4b", drills=tuple(names)), 3, silent)


class Computers:
    """A computer with so many MiB of memory and of disk."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, memory: int, free: int) -> None:
        (root / "proc").mkdir()
        (root / "proc/meminfo").write_text(f"MemTotal: 9999999 kB\nMemAvailable: {memory * 1024} kB\n")
        there = disk.Disk("/data", free << 20, None)
        monkeypatch.setattr(disk, "of", lambda _: there)
        monkeypatch.setattr(disk, "looked_at", lambda _: there)
        self.room: Any = Room(SimpleNamespace(is_local=True), 3, Computer(root))  # type: ignore[arg-type]


def test_memory_and_disk_are_asked_for_all_that_come_up_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Computers(tmp_path, monkeypatch, memory=700, free=1000).room
    assert room(1) == room(3) == ""
    assert "no memory for another environment: 700 MiB are available" in room(4)


def test_a_disk_that_fills_stops_further_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = Computers(tmp_path, monkeypatch, memory=9000, free=300).room
    assert room(2) == ""
    assert "no room on the disk for another environment: 300 MiB are free" in room(3)
    assert "Those that run stay" in room(3)


def test_times_are_refused_unless_something_stops_the_environments(of: Class) -> None:
    with pytest.raises(UsageError, match="--for and --idle need `labenv class serve`"):
        timing.wanted(of, "3h", "45m")
    with pytest.raises(UsageError, match="--idle: 'soon' is no span"):
        timing.wanted(of, None, "soon")
    assert timing.wanted(replace(of, limits=Limits(for_=timedelta(hours=4))), None, None).whole is None
    with alone(of, SERVE):
        limited = replace(of, limits=Limits(for_=timedelta(hours=4), idle=timedelta(hours=1)))
        assert timing.wanted(limited, None, "45m") == timing.Timing(limited, timedelta(hours=4), timedelta(minutes=45))
        with pytest.raises(UsageError, match="--for: a time of nothing"):
            timing.wanted(of, "0h", None)


def test_a_time_that_cannot_be_kept_is_an_error_of_that_student_alone(of: Class) -> None:
    (of.records / "timers").mkdir(parents=True)
    (of.records / "timers" / "ben.json").mkdir()
    coming = [("anna", 1), ("ben", 2), ("cho", EngineError("dead")), ("dev", 4)]
    told_ = dict(timing.Timing(of, timedelta(hours=1), None).begun(coming))
    assert (told_["anna"], told_["dev"]) == (1, 4)
    assert isinstance(told_["ben"], UsageError)
    assert str(told_["cho"]) == "dead"
    assert set(timers.get_all(of)) == {"anna", "dev"}


def test_who_failed_is_said_once_with_the_reason_and_the_worst_code_counts(capsys: pytest.CaptureFixture[str]) -> None:
    errors: dict[str, LabenvError] = {
        "ben": UsageError("ben has another lab: labenv down -s ben"),
        "ann": UsageError("ann has another lab: labenv down -s ann"),
        "cho": EngineError("the disk is full"),
    }
    with pytest.raises(typer.Exit) as ended:
        told.finish(errors, 9)
    assert ended.value.exit_code == 3
    assert capsys.readouterr().err.splitlines() == [
        "labenv: 3 of 9 students failed:",
        "  ann, ben: STUDENT has another lab: labenv down -s STUDENT",
        "  cho: the disk is full",
    ]
    told.finish({}, 9)
    assert capsys.readouterr().err == ""
