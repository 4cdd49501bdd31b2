"""Grades: points by a rubric, lateness by the clock of the class, hand-ins under the name that the LMS gives, and the record."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from labenv.checks.results import CheckResult
from labenv.classroom.folder.model import Assignment, Class, LateRule, Member
from labenv.classroom.grading import handed_in, points
from labenv.classroom.grading.grade import Graded, Task, changes, task
from labenv.classroom.grading.handed_in import HandedIn
from labenv.classroom.grading.handins import of_handins
from labenv.classroom.grading.model import Deduction, Grade, Override, StepGrade
from labenv.classroom.grading.points import Known
from labenv.classroom.grading.record import Record
from labenv.environments.ticks import Tick
from labenv.errors import UsageError
from labenv.lab import rubric as rubrics
from labenv.lab.rubric import Rule
from labenv.sheet.guide import Asked
from tests.unit import made_class
from tests.unit.made_submissions import LAB, members, saved

ZONE = ZoneInfo("America/Toronto")
DUE = datetime(2027, 1, 26, 23, 59, tzinfo=ZONE)
RUBRIC = rubrics.of(LAB)
JUDGED = [step.id for step in LAB.steps.values() if not step.is_for_a_person]


def result(step: str, status: str, machine: str = "vm2", **more: Any) -> CheckResult:
    told = {"title": "", "evidence": f"{status} on {machine}", "hint": ""} | more
    return CheckResult(step, "a_check", machine, status=status, **told)  # type: ignore[arg-type]


def graded_steps(results: Iterable[CheckResult], rubric: rubrics.Rubric = RUBRIC, **more: Any) -> dict[str, StepGrade]:
    found = points.of_steps(LAB, rubric, results, lambda _: "environment", **more)
    return {each.step: each for each in found}


def test_a_step_has_its_points_when_all_its_checks_pass() -> None:
    there = graded_steps(
        [result("17", "pass"), result("17", "warn", "vm3"), result("18", "pass"), result("18", "fail", "vm3")]
    )
    assert (there["17"].points, there["17"].status) == (1, "warn")
    assert (there["18"].points, there["18"].status, there["18"].seen) == (0, "fail", "vm3: fail on vm3")
    assert (there["19"].points, there["19"].status) == (0, "missing")
    assert list(there) == list(LAB.steps)


def test_partial_credit_and_warnings_are_as_the_rubric_says() -> None:
    results = [result("17", "pass"), result("17", "fail", "vm3"), result("18", "warn")]
    partly = graded_steps(results, replace(RUBRIC, partial=True, warnings=0.5))
    assert (partly["17"].points, partly["17"].status) == (0.5, "fail")
    assert partly["18"].points == 0.5


def test_a_step_for_a_person_has_the_points_that_the_rubric_and_that_person_give() -> None:
    ticked = result("1", "skip", evidence='ticked: "yes"', ticked=Tick("1", "2027-01-01T00:00:00+00:00", "yes"))
    assert (graded_steps([ticked])["1"].of, graded_steps([ticked])["1"].judge) == (0, "person")
    worth = {**RUBRIC.points, "1": 2.0, "2": 2.0}
    by_teacher = graded_steps([ticked], replace(RUBRIC, points=worth))["1"]
    assert (by_teacher.points, by_teacher.of, by_teacher.judge, by_teacher.status) == (0, 2, "person", "skip")
    by_student = graded_steps(
        [ticked], replace(RUBRIC, points=worth, says={**RUBRIC.says, "1": "student", "2": "student"})
    )
    assert (by_student["1"].points, by_student["1"].judge) == (2, "student")
    assert (by_student["2"].points, by_student["2"].status) == (0, "skip")


def test_where_the_students_own_results_differ_both_are_there() -> None:
    claimed = [result("17", "pass"), result("18", "fail"), result("19", "pass")]
    there = graded_steps([result("17", "fail"), result("18", "fail"), result("19", "warn")], claimed=claimed)
    assert [there[step].claimed for step in ("17", "18", "19", "20")] == ["pass", None, "pass", None]


def test_hints_cost_what_the_rubric_says() -> None:
    asked = [Asked("", step, level) for step, level in (("17", 1), ("17", 2), ("19", 1))]
    rubric = replace(RUBRIC, hint=0.5, free=1)
    assert list(points.taken_away(rubric, Known(asked))) == [
        Deduction("3 hints (step 17: 2, step 19: 1), 1 of them free", 1.0)
    ]
    assert [d.points for d in points.taken_away(replace(rubric, most=0.75), Known(asked))] == [0.75]
    assert list(points.taken_away(rubric, Known(asked[:1]))) == []


def test_rules_look_at_hints_drills_and_what_is_left_out() -> None:
    asked = [Asked("", step, 1) for step in ("17", "17", "19")]
    rules = (
        Rule(1, "hints", hints=2),
        Rule(1, "hints on 17", hints=2, steps=("17",)),
        Rule(1, "drills", drills=2),
        Rule(1, "history", left_out="history"),
        Rule(1, "config", left_out="config"),
    )
    rubric = replace(RUBRIC, rules=rules)

    def met(known: Known) -> list[str]:
        return [each.reason for each in points.taken_away(rubric, known)]

    assert met(Known(asked, ["history/vm2/root/.bash_history"], 1)) == ["hints", "drills", "history"]
    assert met(Known((), (), 2)) == []
    assert met(Known()) == []  # how many drills were solved is not known
    assert list(points.not_known(rubric, Known())) == ["not looked at, because the drills are not known here: drills"]


@pytest.mark.parametrize(
    ("came", "grace", "days"),
    [
        ("2027-01-26T23:59:00-05:00", 0, 0),
        ("2027-01-26T23:59:01-05:00", 0, 1),
        ("2027-01-27T04:59:00+00:00", 0, 0),
        ("2027-01-27T05:00:00+00:00", 0, 1),
        ("2027-01-27T23:59:00-05:00", 0, 1),
        ("2027-01-28T00:00:00-05:00", 0, 2),
        ("2027-01-27T00:14:00-05:00", 15, 0),
        ("2027-01-27T00:14:01-05:00", 15, 1),
    ],
)
def test_each_day_that_has_begun_counts_in_the_zone_of_the_class(came: str, grace: int, days: int) -> None:
    rule = LateRule(10, 3, timedelta(minutes=grace))
    assert points.days_late(datetime.fromisoformat(came), DUE, rule, ZONE) == days


def test_a_day_ends_at_the_same_time_when_clocks_are_set_back() -> None:
    due = datetime(2026, 10, 31, 23, 59, tzinfo=ZONE)  # in the night after the next day, clocks are set back
    assert points.days_late(datetime(2026, 11, 1, 23, 59, tzinfo=ZONE), due, LateRule(), ZONE) == 1
    assert points.days_late(None, due, LateRule(), ZONE) == points.days_late(due, None, LateRule(), ZONE) == 0


def test_late_costs_percents_and_after_the_last_day_everything() -> None:
    rule = LateRule(10, 2)
    assert points.for_late(0, rule, 36) is None
    assert points.for_late(2, rule, 30) == Deduction("2 days late: 10 % a day", 6)
    assert points.for_late(3, rule, 36) == Deduction("3 days late: it counts nothing after 2 days", 36)
    own = replace(RUBRIC, late={"per day": 50, "grace": "1h"})
    assert points.late_rule(own, rule) == LateRule(50, 3, timedelta(hours=1))
    assert points.late_rule(RUBRIC, rule) is rule


def a_class(folder: Path, names: Iterable[str] = ("asmith15", "bjones3", "cwu"), **more: Any) -> Class:
    roster = tuple(Member(name, name, name.title()) for name in names)
    return Class(folder, "c", "C", ZONE, (Assignment("lab4b", due=DUE, **more),), roster)


def a_task(folder: Path, names: Iterable[str] = ("asmith15", "bjones3", "cwu"), **more: Any) -> Task:
    of = a_class(folder, names, **more)
    return task(of, of.labs[0])


def archive(folder: Path, student: str, failing: tuple[str, ...] = (), name: str = "", **manifest: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return saved(folder / (name or f"{student}.tar.gz"), student, members(student, failing=failing), **manifest)


def by_student(run: Graded) -> dict[str, Grade]:
    return {grade.student: grade for grade in run.grades}


def test_every_student_of_the_roster_has_a_grade(tmp_path: Path) -> None:
    archive(tmp_path / "in", "asmith15", ("17", "18"))
    archive(tmp_path / "in", "bjones3")
    archive(tmp_path / "in", "stranger")
    run = of_handins(a_task(tmp_path), [tmp_path / "in"], HandedIn())
    there = by_student(run)
    assert [there[name].total for name in ("asmith15", "bjones3", "cwu")] == [34, 36, 0]
    assert (there["cwu"].missing, there["cwu"].of) == ("nothing was handed in", 36)
    assert {step.judge for step in there["asmith15"].steps if step.of} == {"student"}
    assert run.failed == ("in/stranger.tar.gz: nobody in the roster is called like that. Call it by the id: ID.tar.gz",)


def test_whose_a_hand_in_is_says_the_lms_and_not_the_archive(tmp_path: Path) -> None:
    archive(tmp_path / "in", "bjones3")
    archive(tmp_path / "in", "bjones3", name="Asmith15_12_assignsubmission_file_work.tar.gz")
    run = of_handins(a_task(tmp_path), [tmp_path / "in"], HandedIn())
    said = "the archive was made in the environment of bjones3: a hand-in under another's name"
    assert said in by_student(run)["asmith15"].notes
    assert said not in by_student(run)["bjones3"].notes


def test_what_an_archive_says_is_bounded_and_without_control_characters(tmp_path: Path) -> None:
    contents = members("asmith15")
    tree = json.loads(contents["check.json"])
    tree["notes"] = [f"\x1b[2J\u202e{number}\n" + "x" * 9000 for number in range(50)]
    tree["results"][0] |= {"status": "fail", "seen": "\x1b]0;title\x07" * 9000}
    saved(tmp_path / "asmith15.tar.gz", "asmith15", contents | {"check.json": json.dumps(tree).encode()})
    [grade] = of_handins(a_task(tmp_path, ["asmith15"]), [tmp_path / "asmith15.tar.gz"], HandedIn()).grades
    told = json.dumps(grade.to_dict(), ensure_ascii=False)
    assert not any(each in told for each in ("\x1b", "\u001b", "\x07", "\u202e"))
    assert len(told) < 100_000


def test_a_copy_has_the_mark_of_the_environment_that_it_was_made_in(tmp_path: Path) -> None:
    for name, mark in (("asmith15", "0123456789abcdef"), ("bjones3", "0123456789abcdef"), ("cwu", "fedcba9876543210")):
        archive(tmp_path / "in", name, mark=mark)
    run = of_handins(a_task(tmp_path), [tmp_path / "in"], HandedIn())
    [(one, other, said)] = run.alike
    assert (one, other) == ("asmith15", "bjones3")
    assert "made in the same environment (mark 0123456789abcdef)" in said
    archive(tmp_path / "old", "asmith15", mark="../../etc\x1b")
    archive(tmp_path / "old", "bjones3", mark="../../etc\x1b")
    assert of_handins(a_task(tmp_path), [tmp_path / "old"], HandedIn()).alike == ()


def test_of_several_attempts_the_one_counts_that_the_rubric_says(tmp_path: Path) -> None:
    for day, failing in ((20, ("17",)), (25, ()), (26, ("17", "18", "19"))):
        archive(tmp_path / "in", "asmith15", failing, name=f"Lab_asmith15_attempt_2027-01-{day}-10-00-00_a.tar.gz")
    there = a_task(tmp_path, ["asmith15"])
    for which, attempt, total in (("best", 2, 36), ("last", 3, 33), ("first", 1, 35)):
        run = of_handins(replace(there, rubric=replace(RUBRIC, attempts=which)), [tmp_path / "in"], HandedIn())
        [grade] = run.grades
        assert (grade.attempt, grade.total, len(run.others)) == (attempt, total, 2)


def test_a_late_attempt_that_is_better_does_not_beat_one_in_time(tmp_path: Path) -> None:
    archive(tmp_path / "in", "asmith15", ("17",), name="Lab_asmith15_attempt_2027-01-26-10-00-00_a.tar.gz")
    archive(tmp_path / "in", "asmith15", (), name="Lab_asmith15_attempt_2027-01-28-10-00-00_a.tar.gz")
    [grade] = of_handins(a_task(tmp_path, ["asmith15"]), [tmp_path / "in"], HandedIn()).grades
    assert (grade.attempt, grade.total, grade.days_late) == (1, 35, 0)


def test_the_best_attempt_counts_also_where_a_teacher_decided_the_whole(tmp_path: Path) -> None:
    for day, failing in ((20, ("17",)), (25, ())):
        archive(tmp_path / "in", "asmith15", failing, name=f"Lab_asmith15_attempt_2027-01-{day}-10-00-00_a.tar.gz")
    decided = {"asmith15": [Override(5, "talk", "kim", DUE)]}
    [grade] = of_handins(
        replace(a_task(tmp_path, ["asmith15"]), overrides=decided), [tmp_path / "in"], HandedIn()
    ).grades
    assert (grade.attempt, grade.total, grade.earned) == (2, 5, 36)


def test_attempts_beyond_those_allowed_do_not_count(tmp_path: Path) -> None:
    archive(tmp_path / "in", "asmith15", ("17",), name="Lab_asmith15_attempt_2027-01-20-10-00-00_a.tar.gz")
    archive(tmp_path / "in", "asmith15", (), name="Lab_asmith15_attempt_2027-01-21-10-00-00_b.tar.gz")
    run = of_handins(a_task(tmp_path, ["asmith15"], attempts=1), [tmp_path / "in"], HandedIn())
    assert (run.grades[0].total, run.others) == (35, ())
    assert any("is attempt 2 and does not count: 1 allowed" in note for note in run.grades[0].notes)


def test_lateness_comes_from_the_lms_or_the_teachers_table_and_never_from_the_archive(tmp_path: Path) -> None:
    archive(tmp_path / "in", "asmith15", time="2020-01-01T00:00:00+00:00")
    archive(tmp_path / "in", "bjones3", name="Lab_bjones3_attempt_2027-01-27-10-00-00_x.tar.gz")
    (tmp_path / "t.csv").write_text("id;time\nasmith15;2027-01-28 10:00\n")
    there = a_task(tmp_path, ["asmith15", "bjones3"])
    assert by_student(of_handins(there, [tmp_path / "in"], HandedIn()))["asmith15"].days_late == 0
    run = by_student(of_handins(there, [tmp_path / "in"], handed_in.read(tmp_path / "t.csv", there.of)))
    assert [run[name].days_late for name in run] == [2, 1]
    assert [run[name].percent for name in run] == pytest.approx([80, 90])
    assert run["asmith15"].handed_in == datetime(2027, 1, 28, 10, tzinfo=ZONE)


def test_moodles_worksheet_tells_times_and_participants(tmp_path: Path) -> None:
    (tmp_path / "w.csv").write_text(
        'Identifier,"Full name","ID number","Email address",Status,"Last modified (submission)"\n'
        'Participant 77,,asmith15,a@x,"Submitted","Thursday, 28 January 2027, 10:00 AM"\n'
        'Participant 78,,bjones3,b@x,"No submission",-\n'
        'Participant 79,,elsewhere,e@x,"Submitted","Thursday, 28 January 2027, 10:00 AM"\n'
    )
    there = a_task(tmp_path)
    told = handed_in.read(tmp_path / "w.csv", there.of)
    assert told.participants == {"77": "asmith15", "78": "bjones3"}
    archive(tmp_path / "in", "asmith15", name="Participant_77_assignsubmission_file_a.tar.gz")
    grade = by_student(of_handins(there, [tmp_path / "in"], told))["asmith15"]
    assert (grade.days_late, grade.missing) == (2, "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,when\nasmith15,2027-01-01\n", "has no column with the time"),
        ("", "has no column with the time"),
        ("id,time\nasmith15,yesterday\n", ":2: 'yesterday' is no time. Write it as 2027-01-26 23:59."),
        ("id,time\nnobody,2027-01-26 23:59\n", "has no time for any student in the roster"),
    ],
)
def test_a_table_of_times_that_cannot_be_used_is_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UsageError) as caught:
        handed_in.read(tmp_path / "t.csv", a_class(tmp_path))
    assert said in str(caught.value)


def test_what_cannot_be_graded_is_said_and_the_rest_goes_on(tmp_path: Path) -> None:
    archive(tmp_path / "in", "asmith15")
    saved(tmp_path / "in" / "bjones3.tar.gz", "bjones3", members("bjones3"), lab="lab3")
    (tmp_path / "in" / "cwu.tar.gz").write_bytes(b"no archive")
    run = of_handins(a_task(tmp_path), [tmp_path / "in"], HandedIn())
    there = by_student(run)
    assert there["asmith15"].total == 36
    assert there["bjones3"].missing == "in/bjones3.tar.gz cannot be graded: it is a hand-in of lab3, not of lab4b"
    assert "it is not a gzip file, or it is damaged" in there["cwu"].missing
    assert len(run.failed) == 2


def test_one_bad_attempt_beside_a_good_one_is_a_note(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as packed:
        packed.write(archive(tmp_path / "in", "asmith15"), "asmith15_1_2_a.tar.gz")
        packed.writestr("asmith15_1_3_b.tar.gz", b"no archive")
    run = of_handins(a_task(tmp_path, ["asmith15"]), [tmp_path / "all.zip"], HandedIn())
    assert run.grades[0].total == 36
    assert any(note.startswith("asmith15_1_3_b.tar.gz cannot be graded") for note in run.grades[0].notes)


def test_thirty_hand_ins_are_graded_and_compared(tmp_path: Path) -> None:
    made = made_class.a_class(3)
    for each in made:
        each.saved(tmp_path)
    run = of_handins(a_task(tmp_path, [each.student.id for each in made]), [tmp_path], HandedIn())
    assert len(run.grades) == 30
    copies = {frozenset((each.student.id, each.of)) for each in made if each.of}
    assert {frozenset((one, other)) for one, other, _ in run.alike} == copies
    assert not any("looks alike" in note for grade in run.grades for note in grade.notes)


def a_grade(student: str = "asmith15", total: float = 3, **more: Any) -> Grade:
    steps = (StepGrade("17", "a title", "pass", "student", total, 5, "seen", "expected", "fail"),)
    return Grade(student, "lab4b", "hand-in", datetime(2027, 1, 1, tzinfo=UTC), steps=steps, **more)


def test_a_grade_is_kept_as_it_was(tmp_path: Path) -> None:
    record = Record(a_class(tmp_path))
    assert (record.last("lab4b"), record.runs("lab4b"), record.overrides("lab4b")) == ({}, [], {})
    assert not (tmp_path / "records").exists()
    grade = a_grade(handed_in=DUE, deductions=(Deduction("late", 1),), notes=("n",), digest="d", rubric="r")
    record.keep("lab4b", "hand-ins", [(grade, True), (a_grade(total=1, attempt=2), False)])
    assert record.last("lab4b") == {"asmith15": grade}
    assert record.last("lab3") == {}
    [run] = record.runs("lab4b")
    assert (run.grades, run.source) == ((grade,), "hand-ins")
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "records", tmp_path / "records" / "grades.sqlite")] == [
        0o700,
        0o600,
    ]


def test_what_a_teacher_decided_holds_over_every_later_grading(tmp_path: Path) -> None:
    record = Record(a_class(tmp_path))
    record.keep("lab4b", "hand-ins", [(a_grade(), True)])
    when = datetime(2027, 2, 1, tzinfo=UTC)
    record.override("lab4b", "asmith15", Override(5, "first", "kim", when, "17"))
    record.override("lab4b", "asmith15", Override(4.5, "second", "kim", when, "17"))
    record.override("lab4b", "asmith15", Override(1, "talk", "lee", when))
    record.override("lab3", "asmith15", Override(9, "another lab", "lee", when))
    record.keep("lab4b", "hand-ins", [(a_grade(total=2), True)])
    last = record.last("lab4b")["asmith15"]
    assert [each.reason for each in last.overrides] == ["second", "talk"]
    assert last.total == 1
    assert record.lift("lab4b", "asmith15", "")
    assert not record.lift("lab4b", "asmith15", "")
    assert record.last("lab4b")["asmith15"].total == 4.5


def test_a_regrade_says_who_changed_and_why() -> None:
    before = {name: a_grade(name) for name in ("asmith15", "bjones3", "cwu")}
    step = replace(before["bjones3"].steps[0], status="fail", points=0.0)
    now = [
        a_grade("asmith15", 4, rubric="other"),
        a_grade("bjones3", digest="x"),
        replace(before["bjones3"], steps=(step,), digest="y"),
        a_grade("new"),
    ]
    before["bjones3"] = replace(before["bjones3"], digest="x")
    assert [(new.student, why) for new, _, why in changes(before, now)] == [
        ("asmith15", ("another rubric",)),
        ("bjones3", ("another hand-in", "steps 17 (pass → fail)")),
    ]


def test_two_graders_at_once_both_keep_their_grades(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.unit.test_grades import *\n"
        "for n in range(20): Record(a_class(Path(sys.argv[1]))).keep('lab4b', sys.argv[2], [(a_grade(), True)])"
    )
    running = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path), name]) for name in ("one", "two")]
    assert [each.wait(60) for each in running] == [0, 0]
    runs = Record(a_class(tmp_path)).runs("lab4b")
    assert sorted(run.source for run in runs) == ["one"] * 20 + ["two"] * 20


def test_a_grader_that_is_killed_leaves_whole_runs(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.unit.test_grades import *\n"
        "print('begun', flush=True)\n"
        "while True: Record(a_class(Path(sys.argv[1]))).keep('lab4b', 'x', [(a_grade(f's{n}'), True) for n in range(50)])"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE) as running:
        assert running.stdout
        running.stdout.readline()
        file = tmp_path / "records" / "grades.sqlite"
        while not file.exists() or file.stat().st_size < 200_000:
            os.sched_yield()
        running.send_signal(signal.SIGKILL)
    runs = Record(a_class(tmp_path)).runs("lab4b")
    assert {len(run.grades) for run in runs} == {50}


def test_a_full_disk_a_damaged_and_a_later_file_are_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = Record(a_class(tmp_path))
    record.keep("lab4b", "hand-ins", [(a_grade(), True)])
    real = sqlite3.connect

    def full(*given: Any, **more: Any) -> sqlite3.Connection:
        base: sqlite3.Connection = real(*given, **more)
        base.execute("PRAGMA max_page_count = 8")  # SQLite's own way to be full
        return base

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", full)
        with pytest.raises(UsageError, match="the disk is full"):
            record.keep("lab4b", "hand-ins", [(a_grade(f"s{n}", notes=("x" * 5000,)), True) for n in range(50)])
    assert set(record.last("lab4b")) == {"asmith15"}
    file = tmp_path / "records" / "grades.sqlite"
    with real(file) as base:
        base.execute("PRAGMA user_version = 99")
    with pytest.raises(UsageError, match="was written by a later version of labenv"):
        record.last("lab4b")
    file.write_bytes(b"not a database" * 100)
    with pytest.raises(UsageError, match="is damaged"):
        record.keep("lab4b", "hand-ins", [(a_grade(), True)])


def test_what_another_version_kept_beyond_is_left_out() -> None:
    told = json.loads(
        json.dumps(a_grade().to_dict() | {"later": 1, "deductions": [{"reason": "r", "points": 1, "new": 2}]})
    )
    told["steps"][0]["new"] = 1
    assert Grade.from_dict(told).deductions == (Deduction("r", 1),)
