"""The processors of a simulated node: all threads that want to run share them equally, as Linux does (sched(7), SCHED_OTHER).

So each thread runs at one speed, 1 while there are processors enough. How far a thread that never waits would have come is
the node's own time; a job ends when that time has moved on by the work of each of its threads. This is how a fair queue is kept in
order without touching each job when one begins or ends (A. Demers, S. Keshav and S. Shenker, "Analysis and Simulation of a Fair
Queueing Algorithm", 1989).
"""

import heapq
from collections.abc import Callable
from itertools import count

from labenv.classroom.capacity.clock import Call, Clock

_NEARLY = 1e-9  # CPU-seconds: less than floating point numbers tell apart after hours


class Processors:
    """So many processors."""

    def __init__(self, clock: Clock, number: int) -> None:
        self._clock = clock
        self.number = number
        self._spent = 0.0
        self._threads = 0.0
        self._own = 0.0
        self._then = clock.now
        self._order = count()
        self._jobs: list[tuple[float, int, float, Callable[[], None]]] = []
        self._next: Call | None = None

    def work(self, seconds: float, threads: float, then: Callable[[], None]) -> None:
        """Have so many CPU-seconds of work done by so many threads, which end together; `then` is called when they have."""
        self._advance()
        heapq.heappush(self._jobs, (self._own + seconds / threads, next(self._order), threads, then))
        self._threads += threads
        self._plan()

    def halt(self) -> None:
        """Drop all work: the node is gone."""
        self._advance()
        self._jobs.clear()
        self._threads = 0
        self._plan()

    @property
    def spent(self) -> float:
        """The CPU-seconds that were spent until now."""
        self._advance()
        return self._spent

    @property
    def _speed(self) -> float:
        return min(1.0, self.number / self._threads) if self._threads else 0.0

    def _advance(self) -> None:
        passed = self._clock.now - self._then
        self._own += passed * self._speed
        self._spent += passed * self._speed * self._threads
        self._then = self._clock.now

    def _plan(self) -> None:
        if self._next:
            self._next.call_off()
        self._next = self._clock.later((self._jobs[0][0] - self._own) / self._speed, self._end) if self._jobs else None

    def _end(self) -> None:
        self._advance()
        ended = []
        while self._jobs and self._jobs[0][0] <= self._own + _NEARLY:
            _, _, threads, then = heapq.heappop(self._jobs)
            self._threads -= threads
            ended.append(then)
        if not self._jobs:
            self._threads = 0.0  # no rest of many additions
        self._plan()
        for then in ended:
            then()
