"""A class hour, simulated: who waits, what a drain and a failure cost, and that nobody gets lost on the way."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labenv.classroom.capacity.clock import Clock
from labenv.classroom.capacity.figures import FIGURES
from labenv.classroom.capacity.hour import Hour
from labenv.classroom.capacity.need import Need
from labenv.classroom.capacity.outcome import Outcome, Spread
from labenv.classroom.capacity.processors import Processors
from labenv.classroom.capacity.simulation import Simulation
from labenv.classroom.capacity.size import Size
from labenv.classroom.capacity.turns import Turns

GIB = 1 << 30
USUAL = Need(machines=3, networks=1, links=0, memory=200 << 20)
QUIET = Hour(drain_at=None, fail_at=None)
THREE = [Size(4, 16 * GIB)] * 3


# -- its parts -----------------------------------------------------------------------------------------------------------------------


def ends(number: int, *jobs: tuple[float, float, float]) -> list[float]:
    """When jobs end on so many processors: each begins at a time, with CPU-seconds of work and a number of threads."""
    clock = Clock()
    processors = Processors(clock, number)
    ended: dict[int, float] = {}

    def begin(place: int, seconds: float, threads: float) -> None:
        processors.work(seconds, threads, lambda: ended.__setitem__(place, clock.now))

    for place, (at, seconds, threads) in enumerate(jobs):
        clock.later(at, lambda place=place, seconds=seconds, threads=threads: begin(place, seconds, threads))  # type: ignore[misc]
    clock.run(10_000)
    assert processors.spent == pytest.approx(sum(seconds for _, seconds, _ in jobs))
    return [ended[place] for place in range(len(jobs))]


def test_jobs_share_a_processor_equally() -> None:
    assert ends(1, (0, 3, 1), (0, 3, 1)) == pytest.approx([6, 6])
    assert ends(1, (0, 1, 1), (0, 3, 1)) == pytest.approx([2, 4])
    assert ends(1, (0, 2, 1), (1, 2, 1)) == pytest.approx([3, 4])


def test_a_job_uses_no_more_processors_than_it_has_threads() -> None:
    assert ends(8, (0, 6, 3)) == pytest.approx([2])
    assert ends(2, (0, 6, 3)) == pytest.approx([3])
    assert ends(2, (0, 3, 3), (0, 1, 1)) == pytest.approx([2, 2])


@settings(deadline=None)
@given(
    st.integers(1, 8),
    st.lists(st.tuples(st.floats(0, 50), st.floats(0.01, 20), st.integers(1, 4)), min_size=1, max_size=12),
)
def test_all_work_is_done_once_and_none_faster_than_its_threads(
    number: int, jobs: list[tuple[float, float, float]]
) -> None:
    for (at, seconds, threads), end in zip(jobs, ends(number, *jobs), strict=True):
        assert end >= at + seconds / min(threads, number) - 1e-6


def test_a_node_that_is_gone_does_nothing_more() -> None:
    clock = Clock()
    processors = Processors(clock, 1)
    processors.work(5, 1, lambda: pytest.fail("it ended"))
    clock.run(2)
    processors.halt()
    clock.run(100)
    assert processors.spent == pytest.approx(2)


def test_turns_are_had_in_the_order_in_which_they_were_asked_for() -> None:
    turns, had = Turns(2), list[str]()
    for name in "abcd":
        turns.take(lambda name=name: had.append(name))  # type: ignore[misc]
    assert had == ["a", "b"]
    turns.leave()
    turns.leave()
    assert had == ["a", "b", "c", "d"]


def test_what_95_percent_do_not_exceed_is_one_of_the_times() -> None:
    assert Spread.of([float(number) for number in range(1, 101)]) == Spread(100, 50, 95, 100)
    assert Spread.of([7.0]) == Spread(1, 7, 7, 7)
    assert Spread.of([]) == Spread()


# -- the whole -----------------------------------------------------------------------------------------------------------------------


def simulated(students: int = 60, hour: Hour | None = None, sizes: list[Size] | None = None, seed: int = 1) -> Outcome:
    return Simulation(students, sizes or THREE, USUAL, hour, seed=seed).run()


def test_the_same_seed_gives_the_same_hour_and_another_one_another() -> None:
    assert simulated(seed=5) == simulated(seed=5)
    assert simulated(seed=5) != simulated(seed=6)


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 90), st.integers(1, 4), st.integers(0, 1000), st.integers(2, 20))
def test_no_environment_is_lost_or_in_two_places_and_no_memory_is_given_twice(
    students: int, servers: int, seed: int, gib: int
) -> None:
    sizes = [Size(2, gib * GIB)] * servers

    def look(now: Simulation) -> None:
        there = Counter(id(seat.server) for seat in now.seats if seat.server)
        for server, size in zip(now.servers, sizes, strict=True):
            assert server.memory == size.room - server.tasks * USUAL.memory
            assert server.memory >= 0
            if server.is_ready:
                assert there[id(server)] == server.tasks
        assert all(seat.server for seat in now.seats if seat.is_up)

    made = Simulation(students, sizes, USUAL, Hour(lasts=3600), seed=seed, watch=look)
    outcome = made.run()
    assert outcome.waits.count + outcome.never == students
    assert sum(seat.is_up for seat in made.seats) == students - outcome.never - outcome.unplaced


def test_without_a_drain_or_a_failure_everybody_comes_up_once_and_loses_nothing() -> None:
    outcome = simulated(hour=QUIET)
    assert (outcome.waits.count, outcome.never, outcome.unplaced) == (60, 0, 0)
    assert outcome.manager.tasks == 60
    assert outcome.drained == outcome.failed == outcome.lost == Spread()


def test_a_drain_loses_no_work_and_a_failure_no_more_than_since_the_last_push() -> None:
    drained = simulated(hour=replace(Hour(), fail_at=None))
    assert drained.drained.count > 0
    assert (drained.unplaced, drained.lost) == (0, Spread())
    failed = simulated(hour=replace(Hour(), drain_at=None))
    assert failed.failed.count == failed.lost.count > 0
    assert failed.lost.worst <= Hour().push_every + 5
    assert failed.failed.median > FIGURES.noticed[0] + FIGURES.task_again
    assert failed.unplaced == 0


def test_who_pushes_more_often_loses_less_and_the_keeper_gets_more() -> None:
    often, seldom = (simulated(hour=Hour(push_every=seconds)) for seconds in (60, 600))
    assert often.lost.median < seldom.lost.median
    assert often.manager.pushed > 5 * seldom.manager.pushed


def test_who_finds_no_room_waits_for_it_and_is_counted() -> None:
    small = [Size(2, 2 * GIB)]  # five environments
    outcome = simulated(students=8, sizes=small, hour=QUIET)
    assert (outcome.waits.count, outcome.never, outcome.fullest) == (5, 3, 5)
    two = simulated(students=10, sizes=small * 2, hour=Hour(drain_at=None))
    assert (two.never, two.unplaced) == (0, 5)


def test_environments_are_spread_over_the_servers() -> None:
    assert simulated(students=60, hour=QUIET).fullest == 20


def test_a_full_engine_takes_longer() -> None:
    flat = replace(FIGURES, up_growth=0.0, up_engine_growth=0.0)
    hour = replace(QUIET, within=0, early=1)
    real, unreal = (
        Simulation(100, [Size(2, 64 * GIB)], USUAL, hour, figures=figures).run() for figures in (FIGURES, flat)
    )
    assert real.waits.worst > 1.1 * unreal.waits.worst


def test_the_manager_is_asked_for_each_task_and_hears_of_each_push() -> None:
    manager = simulated(hour=QUIET).manager
    assert manager.connections == 60
    assert manager.pushed == manager.pushes * FIGURES.push_bytes
    assert manager.raft_store == 60 * (FIGURES.service_bytes + FIGURES.task_bytes)
    assert manager.raft_written > manager.raft_store
