"""What came of a simulated class hour."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Spread:
    """Some times in seconds: how many there are, and their median, the one that 95 % do not exceed, and the longest; 0 if there is none."""

    count: int = 0
    median: float = 0.0
    most: float = 0.0
    worst: float = 0.0

    @classmethod
    def of(cls, times: Sequence[float]) -> "Spread":
        """Of these times (nearest rank)."""
        if not times:
            return cls()
        there = sorted(times)
        return cls(len(there), *(there[-(-len(there) * percent // 100) - 1] for percent in (50, 95, 100)))


@dataclass(frozen=True)
class Manager:
    """What the manager bears. The highest rates are over ten seconds, the store and what is written in bytes.

    `tasks` are placed by the scheduler, `pushes` arrive at the keeper, `pushed` bytes with them. `connections` are students who are in
    at the same time, each with a line to the gate.
    """

    tasks: int
    tasks_peak: float
    pushes: int
    pushes_peak: float
    pushed: int
    pushed_peak: float
    raft_store: int
    raft_written: int
    connections: int


@dataclass(frozen=True)
class Outcome:
    """A class hour as it was simulated.

    `waits` are from a student's arrival to the first environment that is up; `waiting` is how many waited at the same time at most, and
    `never` how many still waited at the end. `drained` and `failed` are how long those were without one whose node was drained
    or failed; `unplaced` is how many of them had none at the end. `lost` is how much work the failure cost each of them. `fullest` is how many environments
    were on one node at most, and `busy` the part of the time in which processors worked, on average, and of the busiest node in its busiest minute.
    """

    students: int
    nodes: int
    waits: Spread
    waiting: int
    never: int
    drained: Spread
    failed: Spread
    unplaced: int
    lost: Spread
    fullest: int
    busy: float
    busiest: float
    manager: Manager

    def to_dict(self) -> dict[str, Any]:
        """As `class plan --simulate --json` shows it, rounded."""
        return {name: _rounded(value) for name, value in asdict(self).items()}


def _rounded(there: Any) -> Any:
    if isinstance(there, dict):
        return {name: _rounded(value) for name, value in there.items()}
    return round(there, 3) if isinstance(there, float) else there
