"""How many servers a class needs, from what was measured: no engine is asked, and nothing is left to chance."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from labenv.classroom.capacity import limits, predicted
from labenv.classroom.capacity.figures import FIGURES, Figures
from labenv.classroom.capacity.hour import Hour
from labenv.classroom.capacity.need import Need
from labenv.classroom.capacity.outcome import Spread
from labenv.classroom.capacity.size import Size
from labenv.errors import UsageError
from labenv.student import LINKS

SIZES = (Size(4, 16 << 30), Size(8, 32 << 30), Size(16, 64 << 30))  # those that are shown if nobody names one
MOST = 100_000  # students
PATIENCE = 60.0  # seconds that 95 % of the students wait at most
_SHARE = 0.7  # of the processors that checks and pushes may take: what comes in bursts finds the rest
_MEMORY, _ARRIVALS, _WORK, _LINKS = "memory", "arrivals", "processors", "links"
NAMES = {
    _MEMORY: "memory",
    _ARRIVALS: "how fast environments come up",
    _WORK: "processors, for checks and pushes",
    _LINKS: "links to the world outside",
}


@dataclass(frozen=True)
class Plan:
    """How many servers of one size a class needs.

    `most` has for each thing that can run out (a key of NAMES) for how many environments a server has enough of it. `servers` are those that the
    environments need and one more, which may fail; the manager is not among them. `sysctls` are the kernel's limits to raise on
    each server. `wait` is how long students wait on average, if the servers share them evenly.
    """

    size: Size
    students: int
    servers: int
    most: dict[str, int]
    wait: Spread
    sysctls: dict[str, int]

    @property
    def each(self) -> int:
        """The environments on the fullest server, if all of them run."""
        return math.ceil(self.students / self.servers)

    @property
    def each_after_failure(self) -> int:
        """The same, if one has failed."""
        return math.ceil(self.students / (self.servers - 1))

    @property
    def binds(self) -> str:
        """What runs out first: a key of NAMES."""
        return min(self.most, key=self.most.__getitem__)

    def to_dict(self) -> dict[str, Any]:
        """As `class plan --json` shows it."""
        return {
            "size": str(self.size),
            "servers": self.servers,
            "binds": self.binds,
            "most": self.most,
            "each": self.each,
            "each_after_failure": self.each_after_failure,
            "wait": {"median": round(self.wait.median, 1), "most": round(self.wait.most, 1)},
            "sysctls": self.sysctls,
        }


def plan(
    students: int,
    size: Size,
    need: Need,
    hour: Hour | None = None,
    *,
    patience: float = PATIENCE,
    figures: Figures = FIGURES,
) -> Plan:
    """The servers of that size that so many students need, if 95 % of them are to wait for at most `patience` seconds.

    Raises UsageError for a number of students that is none, and for servers of which one has no room for one environment.
    """
    if not 1 <= students <= MOST:
        raise UsageError(f"{students} is no number of students of a class. Give one from 1 to {MOST}.")
    hour = hour or Hour()
    most = dict(_most(size, need, hour, patience, figures))
    least = min(most, key=most.__getitem__)
    if not most[least]:
        raise UsageError(_too_small(size, need, least, patience))
    servers = math.ceil(students / most[least]) + 1
    each = math.ceil(students / servers)
    wait = predicted.waits(hour.expected(each), size.processors, need.machines, figures)
    sysctls = limits.to_raise(math.ceil(students / (servers - 1)), need)
    return Plan(size, students, servers, most, Spread.of(wait), sysctls)


def _most(size: Size, need: Need, hour: Hour, patience: float, figures: Figures) -> Iterator[tuple[str, int]]:
    yield _MEMORY, size.room // need.memory
    yield _ARRIVALS, _arriving(size, need, hour, patience, figures)
    each = figures.check / hour.check_every + figures.push / hour.push_every + figures.idle
    yield _WORK, int(_SHARE * size.processors / each)
    if need.links:
        yield _LINKS, int(LINKS / need.links)


def _arriving(size: Size, need: Need, hour: Hour, patience: float, figures: Figures) -> int:
    """The most students of one server of whom 95 % wait for so long at most while they arrive; 0 if a single one waits for longer.

    Not more than there is memory for, and one: the rest would not matter.
    """

    def is_borne(number: int) -> bool:
        waits = predicted.waits(hour.expected(number), size.processors, need.machines, figures)
        return Spread.of(waits).most <= patience

    most = size.room // need.memory + 1
    borne, refused = 0, 1
    while refused <= most and is_borne(refused):
        borne, refused = refused, 2 * refused
    refused = min(refused, most + 1)
    while refused - borne > 1:
        middle = (borne + refused) // 2
        borne, refused = (middle, refused) if is_borne(middle) else (borne, middle)
    return borne


def _too_small(size: Size, need: Need, least: str, patience: float) -> str:
    if least == _MEMORY:
        return (
            f"A server of the size {size} has no room for one environment: that reserves {need.memory >> 20} MiB, and "
            f"{(size.memory - size.room) >> 20} are for the system. Name a larger one."
        )
    return (
        f"On a server of the size {size} even a single student waits for longer than {patience:g} s. Name a larger one, or "
        "let students wait longer: --wait SECONDS"
    )


def plans(sizes: Sequence[Size], students: int, need: Need, hour: Hour, patience: float) -> list[Plan]:
    """A plan for each size. Raises UsageError as `plan` does."""
    return [plan(students, size, need, hour, patience=patience) for size in sizes]
