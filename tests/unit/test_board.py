"""Who is where in a class: what the recorded results tell, and how they are drawn."""

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from labenv.checks.results import CheckResult, Report
from labenv.classroom.running import board, row_words
from labenv.classroom.running.board import Row
from labenv.cli.class_ import grid
from labenv.engine.content import Said
from labenv.environment import Environment
from labenv.environments.history.repository import Change, Lately, Repository
from labenv.environments.ticks import Tick
from labenv.lab import labs
from labenv.sheet.progress import Mark
from labenv.student import Student

LAB = labs.load("lab4b")
ASMITH = Environment(Student("asmith15", 90, "ann", "secret"), "lab4b", "done", (), "lab4b.yaml")


def run(**statuses: str) -> Mapping[str, Mapping[str, str]]:
    """The results of a run, by step: `_17="fail"` is step 17."""
    return {f"{step[1:]}/a_check/vm2": {"status": status, "evidence": ""} for step, status in statuses.items()}


def kept(moment: int, hosts: bytes) -> Change:
    """A record of vm2 at that moment, when its /etc/hosts was written."""
    return Change("vm2", f"{moment}.5", {"/etc/hosts": Said(hosts, moment)}, moment + 0.5)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return Repository(ASMITH)


def test_the_newest_of_a_history_is_read_at_once(repository: Repository) -> None:
    assert repository.lately(3) == Lately()
    for moment in range(1000, 1500, 100):
        repository.note(moment, run(_17="fail" if moment > 1100 else "pass"))
    repository.write([kept(1440, b"x\n"), kept(1450, b"y\n")])
    told = repository.lately(3)
    assert (told.edited, [when for when, _ in told.runs], told.is_more) == (1450, [1400, 1300, 1200], True)
    told = repository.lately(9)
    assert ([when for when, _ in told.runs], told.is_more) == ([1400, 1300, 1200, 1100, 1000], False)
    assert told.runs[0][1]["17/a_check/vm2"]["status"] == "fail"


def test_what_a_machine_began_with_and_what_labenv_did_is_no_activity(repository: Repository) -> None:
    repository.write([kept(1000, b"1\n")])
    assert repository.lately(1).edited == 0
    repository.write([kept(1100, b"2\n"), replace(kept(1200, b"3\n"), said="labenv drill give-up")])
    assert repository.lately(1).edited == 1100


def test_a_stored_result_changes_the_stamp(repository: Repository) -> None:
    before = repository.stamp
    repository.note(1000, run(_17="pass"))
    stored = repository.stamp
    repository.note(1001, run(_17="fail"))
    assert len({before, stored, repository.stamp}) == 3


def test_each_step_is_as_the_newest_run_that_checked_it_saw_it() -> None:
    lately = Lately(
        0, ((1200, run(_19="pass")), (1100, run(_17="fail", _19="fail", _18="skip")), (1000, run(_17="pass")))
    )
    assert board._marks(lately, LAB, {}) == {"17": "fail", "18": "skip", "19": "pass"}


def test_a_history_with_steps_and_words_that_no_check_has_is_read_all_the_same() -> None:
    lately = Lately(0, ((1200, run(_17="great", _99="fail", _19="pass")),))
    assert board._marks(lately, LAB, {}) == {"19": "pass"}


def test_what_a_student_ticked_since_the_check_is_ticked() -> None:
    lately = Lately(0, ((1200, run(_1="skip", _2="skip")),))
    assert board._marks(lately, LAB, {"1": Tick("1", "2026-11-23T10:00:00+00:00", "")}) == {
        "1": "ticked",
        "2": "person",
    }


@pytest.mark.parametrize(
    ("runs", "stuck"),
    [
        ([(1200, "fail"), (1100, "fail"), (1000, "pass")], ("17", 1100, True)),
        ([(1200, "fail"), (1100, "skip"), (1000, "fail")], ("17", 1000, False)),  # it waited for another step meanwhile
        ([(1200, "fail"), (1100, "warn")], ("17", 1200, True)),
        ([(1200, "pass"), (1100, "fail")], ("", None, False)),
    ],
)
def test_since_when_a_student_is_stuck(runs: list[tuple[int, str]], stuck: tuple[str, int | None, bool]) -> None:
    lately = Lately(0, tuple((when, run(_17=status)) for when, status in runs))
    assert board._stuck(lately, board._marks(lately, LAB, {})) == stuck


def test_a_report_takes_the_place_of_what_was_recorded() -> None:
    before = Row("asmith15", "Ann", "runs", marks={"17": "fail", "19": "pass"}, stuck="17", since=1000, hints=2)
    one = CheckResult("17", "a", "vm2", "", "fail", "", "")
    still = before.after(Report("asmith15", "lab4b", (one,)), LAB, 1500)
    assert (still.marks, still.stuck, still.since, still.hints) == ({"17": "fail"}, "17", 1000, 2)
    other = before.after(Report("asmith15", "lab4b", (CheckResult("19", "a", "vm3", "", "fail", "", ""),)), LAB, 1500)
    assert (other.stuck, other.since) == ("19", 1500)


def rows() -> list[Row]:
    now = int(time.time())
    full: dict[str, Mark] = {**dict.fromkeys(LAB.steps, "pass"), "17": "fail", "18": "skip", "51": "person"}
    return [
        Row("asmith15", "", "runs", "lab4b", "done", full, now - 70, "17", now - 5000, 3, 2, 1, now, now - 9, ""),
        Row("x" * 32, "", "stopped", marks=full, checked=now - 100_000),
        Row("bjones3", "", "missing"),
        Row("cwu", "", "elsewhere", note="The environment (lab3) is not of this class."),
        Row("dlee", "", "runs"),
    ]


@pytest.mark.parametrize("columns", [60, 80, 100, 132])
@pytest.mark.parametrize("name", labs.names())
def test_rows_fit_the_terminal_and_lose_nothing(name: str, columns: int) -> None:
    lab = labs.load(name)
    for row, block in zip(rows(), grid.lines(rows(), lab, columns)[1:], strict=True):
        text = [line.plain.rstrip() for line in block]
        assert max(map(len, text)) <= columns, text
        _, said = "".join(text).split(" ", 1)
        told = said.replace(" ", "")
        if row.marks:
            assert told.startswith("".join(row_words.SIGNS[row.marks[s]] if s in row.marks else "?" for s in lab.steps))
        assert row_words.STATES[row.state].replace(" ", "") in told
        assert not row.stuck or "17" in told


def test_a_sign_stands_below_the_number_of_its_part() -> None:
    head, asmith, *_ = (block[0].plain for block in grid.lines(rows(), LAB, 240))
    assert asmith[head.index("17")] == "x"
    assert asmith[head.index("50") :].startswith(". o")  # each of the last two is a part


def test_what_is_not_known_differs_from_what_fails_without_colour() -> None:
    drawn = ["".join(line.plain for line in block) for block in grid.lines(rows(), LAB, 240)]
    assert "x-" in drawn[1]
    assert drawn[5].count("?") == len(LAB.steps)
    assert "?" not in drawn[3]


def test_a_drill_that_the_teacher_ended_counts_as_what_the_student_did_in_it_alone() -> None:
    at = [f"1970-01-01T00:00:{second}+00:00" for second in range(10, 40, 10)]
    kept = {"diagnoses": [{"time": at[0]}], "hinted": [at[1]], "ended": at[2]}
    assert [max(board._in_drill(kept | {"by_teacher": by}), default=0) for by in (False, True)] == [30, 20]
    assert max(board._in_drill({"begun": at[0], "diagnoses": [], "hinted": [], "hints": 2})) == 0
