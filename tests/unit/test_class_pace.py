"""Many things at once: as many as the computer bears, each with its own result."""

import threading
import time
from pathlib import Path

import pytest

from labenv.classroom.running.pace import Answers, Processors
from labenv.classroom.running.waves import of_one, paced
from labenv.computer import Computer
from labenv.errors import EngineError, LabenvError, UsageError
from labenv.events import Event, silent


class Made:
    """A computer of two processors whose clock and load a test sets."""

    def __init__(self, root: Path) -> None:
        self.root, self.now, self.idle, self.busy = root, 0.0, 0, 0
        (root / "proc").mkdir()
        self.passes(0, idle=0)
        self.pace = Processors(Computer(root), 2, lambda: self.now)

    def passes(self, seconds: float, *, idle: float, queue: int = 2) -> None:
        """Let time pass, of which that part is idle."""
        ticks = round(200 * seconds)
        self.now += seconds
        self.idle += round(ticks * idle)
        self.busy += ticks - round(ticks * idle)
        text = f"cpu {self.busy} 0 0 {self.idle} 0 0 0 0 0 0\nprocs_running {queue}\n"
        (self.root / "proc/stat").write_text(text, encoding="utf-8")


def test_while_a_processor_is_idle_one_more_begins(tmp_path: Path) -> None:
    made = Made(tmp_path)
    for _ in range(4):
        made.passes(1, idle=0.3)
        made.pace.look(made.pace.limit)
    assert made.pace.limit == 8


def test_busy_processors_and_places_that_nobody_takes_ask_for_no_more(tmp_path: Path) -> None:
    made = Made(tmp_path)
    made.passes(1, idle=0)
    made.pace.look(4)
    made.passes(1, idle=0.9)
    made.pace.look(1)
    assert made.pace.limit == 4


def test_when_many_processes_wait_fewer_begin_but_one_a_processor_always_may(tmp_path: Path) -> None:
    made = Made(tmp_path)
    for _ in range(20):
        made.passes(1, idle=0, queue=40)
        made.pace.look(2)
    assert made.pace.limit == 2


def test_a_single_crowded_moment_changes_nothing(tmp_path: Path) -> None:
    made = Made(tmp_path)
    made.passes(1, idle=0, queue=40)
    made.pace.look(4)
    made.passes(1, idle=0, queue=2)
    made.pace.look(4)
    assert made.pace.limit == 4


def test_a_moment_says_nothing_about_the_processors(tmp_path: Path) -> None:
    made = Made(tmp_path)
    made.passes(0.01, idle=1)
    made.pace.look(4)
    assert made.pace.limit == 4


@pytest.mark.parametrize("fits", [1, 3, 8])
def test_an_engine_elsewhere_is_given_as_many_as_it_answers_without_delay(fits: int) -> None:
    pace = Answers()
    for _ in range(200):
        pace.ended(max(1.0, pace.limit / fits))
    assert fits <= pace.limit <= fits + 5


@pytest.mark.parametrize("elsewhere", [False, True])
def test_each_item_has_its_own_result_and_nobody_stops_the_others(elsewhere: bool) -> None:
    def work(n: int) -> int:
        if n == 3:
            raise UsageError("three is taken")
        if n == 5:
            raise KeyError("a mistake in labenv")
        return n * n

    found = dict(paced(range(8), work, silent, name=str, elsewhere=elsewhere))
    assert {n: r for n, r in found.items() if isinstance(r, int)} == {n: n * n for n in (0, 1, 2, 4, 6, 7)}
    assert isinstance(found[3], UsageError)
    assert isinstance(found[5], LabenvError)
    assert "KeyError" in str(found[5])


def test_what_has_no_room_waits_for_those_that_run() -> None:
    running, most, lock = 0, 0, threading.Lock()

    def work(_: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1

    asked = paced(range(6), work, silent, name=str, room=lambda count: "no room" if count > 1 else "")
    assert all(result is None for _, result in asked)
    assert most == 1


def test_without_room_none_begins_and_each_gets_the_reason() -> None:
    begun: list[int] = []
    found = list(paced(range(4), begun.append, silent, name=str, room=lambda _: "the disk is full" if begun else ""))
    refused = [n for n, result in found if isinstance(result, EngineError) and str(result) == "the disk is full"]
    assert len(begun) + len(refused) == 4
    assert begun == [0]


def test_progress_says_how_far_it_is_and_what_a_student_must_know_has_the_name() -> None:
    told: list[Event] = []
    list(paced(range(3), lambda n: of_one(told.append, f"s{n}")(Event("ready", "slow", "warn")), told.append, name=str))
    assert told[0].kind == "start"
    assert told[-1].kind == "done"
    assert {event.step for event in told if event.kind == "warn"} == {"s0 ready", "s1 ready", "s2 ready"}
    assert any(event.message.startswith("0 done, ") for event in told)
