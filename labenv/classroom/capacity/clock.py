"""The time of a simulation: what is to happen, in its order.

SimPy, the library for this, has resources that are had one after another, but none that all share. Shared processors
(labenv.classroom.capacity.processors) are most of this simulation, and the rest of SimPy that it would use is this module.
"""

import heapq
from collections.abc import Callable
from itertools import count


class Call:
    """Something that is to happen, unless it is called off."""

    def __init__(self, action: Callable[[], None]) -> None:
        self._action: Callable[[], None] | None = action

    def call_off(self) -> None:
        """Let it not happen."""
        self._action = None

    def happen(self) -> None:
        """Do it, unless it was called off."""
        if self._action:
            self._action()


class Clock:
    """The time in seconds since the simulation began. What is due at the same time happens in the order in which it was said.

    `watch` is called after each thing that happened.
    """

    def __init__(self, watch: Callable[[], None] = lambda: None) -> None:
        self.now = 0.0
        self._watch = watch
        self._order = count()
        self._calls: list[tuple[float, int, Call]] = []

    def later(self, seconds: float, action: Callable[[], None]) -> Call:
        """Let something happen in so many seconds; returns it, so that it can be called off."""
        call = Call(action)
        heapq.heappush(self._calls, (self.now + max(0.0, seconds), next(self._order), call))
        return call

    def run(self, until: float) -> None:
        """Let happen what is due before that time, and go to it."""
        while self._calls and self._calls[0][0] <= until:
            self.now, _, call = heapq.heappop(self._calls)
            call.happen()
            self._watch()
        self.now = until
