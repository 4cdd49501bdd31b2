"""How long one node takes to bring environments up, without a class around it: by the model of a node that the simulation has too."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from labenv.classroom.capacity.clock import Clock
from labenv.classroom.capacity.figures import FIGURES, MACHINES, RECORDED, Figures, Recorded
from labenv.classroom.capacity.node import Node

_STEP = 600.0


@dataclass(frozen=True)
class Compared:
    """What the model predicts of a measurement, in seconds."""

    measured: Recorded
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """As `class plan --simulate --json` shows it."""
        there = self.measured
        return {
            "environments": there.environments,
            "machines": there.machines,
            "processors": there.processors,
            "predicted": round(self.seconds, 1),
            "measured": there.seconds,
        }


def compared() -> list[Compared]:
    """The measurements by which no figure was chosen, beside what the model says of them."""
    return [Compared(there, of(there)) for there in RECORDED if not there.fitted]


def of(there: Recorded, figures: Figures = FIGURES) -> float:
    """The seconds that the model predicts for what was measured."""
    return class_up(there.environments, there.processors, there.machines, figures)


def class_up(environments: int, processors: int, machines: int = MACHINES, figures: Figures = FIGURES) -> float:
    """The seconds that `labenv class up` takes until so many new environments are up and verified, on an engine that has none.

    At the lab's first stage; each environment has so many machines.

    >>> class_up(1, 2) < class_up(30, 2)
    True
    """
    return max(_ended([figures.command] * environments, processors, 0.0, machines, figures))


def waits(arrivals: Sequence[float], processors: int, machines: float, figures: Figures = FIGURES) -> list[float]:
    """How many seconds each of the students waits who come at these times and whose environments are placed on one node, in order."""
    placed = figures.task_placed + figures.task_told
    ended = _ended(arrivals, processors, figures.supervisor, machines, figures)
    return [placed + end - came for end, came in zip(ended, arrivals, strict=True)]


def _ended(begins: Sequence[float], processors: int, command: float, machines: float, figures: Figures) -> list[float]:
    """When each environment is up that begins at one of these times."""
    clock = Clock()
    node = Node(clock, processors, machines, figures)
    ended: dict[int, float] = {}

    def end(place: int) -> None:
        ended[place] = clock.now

    for place, begin in enumerate(begins):
        clock.later(begin, partial(node.up, command, 0.0, partial(end, place)))
    while len(ended) < len(begins):
        clock.run(clock.now + _STEP)
    return [ended[place] for place in range(len(begins))]
