"""What happens in the hour of a class: when students come, what they do, and which nodes are drained or fail."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

_POINTS = 2400  # at which it is known who has come: one a second


@dataclass(frozen=True)
class Hour:
    """An hour of a class. Times are in seconds since it began.

    Most students come in the first `within` seconds, most of these in the middle of them; the others until `late_until`. Each has
    everything checked every `check_every` seconds on average. Every `push_every` seconds an environment's state goes to the manager.
    A node is drained at `drain_at` and takes environments again at `back_at`; another one fails at `fail_at`. None: it does not happen.
    """

    within: float = 600
    early: float = 0.8  # the part of the students
    late_until: float = 2400
    check_every: float = 360
    push_every: float = 300
    drain_at: float | None = 1500
    back_at: float | None = 2100
    fail_at: float | None = 2700
    lasts: float = 3600

    def arrival(self, chance: Random) -> float:
        """When one of the students comes."""
        if chance.random() < self.early:
            return chance.triangular(0, self.within)
        return chance.uniform(0, max(self.within, self.late_until))

    def expected(self, students: int) -> list[float]:
        """When so many students come on average, in order: the quantiles of what `arrival` draws.

        >>> Hour(within=600, early=1).expected(1)
        [300.0]
        """
        until = max(self.within, self.late_until)
        times = [until * place / _POINTS for place in range(_POINTS + 1)]
        parts = [self._come(time, until) for time in times]
        return [_between(times, parts, (place + 0.5) / students) for place in range(students)]

    def _come(self, time: float, until: float) -> float:
        """The part of the students that has come by then."""
        part = min(1.0, time / self.within) if self.within else 1.0
        in_the_burst = 2 * part * part if part < 0.5 else 1 - 2 * (1 - part) ** 2
        late = time / until if until else 1.0
        return self.early * in_the_burst + (1 - self.early) * late


def _between(times: Sequence[float], parts: Sequence[float], wanted: float) -> float:
    """The time at which that part has come, on straight lines between the points."""
    place = bisect_left(parts, wanted)
    if place == 0:
        return times[0]
    low, high = parts[place - 1], parts[place]
    return times[place - 1] + (times[place] - times[place - 1]) * (wanted - low) / (high - low)
