"""A simulated node: an engine on some processors, and the environments that come up, are checked and go down there."""

from collections.abc import Callable

from labenv.classroom.capacity.clock import Clock
from labenv.classroom.capacity.figures import MACHINES, Figures
from labenv.classroom.capacity.processors import Processors
from labenv.classroom.capacity.turns import Turns


class Node:
    """A node with so many processors, whose environments have so many machines each on average.

    `environments` is how many are there, running or on their way up or down.
    """

    def __init__(self, clock: Clock, processors: int, machines: float, figures: Figures) -> None:
        self._figures = figures
        self._machines = machines
        self._times = machines / MACHINES  # what they take, compared with those that were measured
        self.processors = Processors(clock, processors)
        self.environments = 0
        self._engine = Turns(1)
        self._turns = Turns(2 * processors)  # as labenv.classroom.running.pace begins

    def up(self, command: float, more: float, then: Callable[[], None]) -> None:
        """Bring an environment up when it is its turn: with so many CPU-seconds for the command itself, and so many `more` for its machines."""
        at = self._figures
        self.environments += 1
        before = self.environments - 1

        def begin() -> None:
            self.processors.work(command + at.up_plan, 1, prepared)

        def prepared() -> None:
            self._engine.take(networks)

        def networks() -> None:
            self.processors.work(self._times * (at.up_engine + at.up_engine_growth * before), 1, boot)

        def boot() -> None:
            self._engine.leave()
            self.processors.work(self._times * (at.up_machines + at.up_growth * before + more), self._machines, done)

        def done() -> None:
            self._turns.leave()
            then()

        self._turns.take(begin)

    def work(self, seconds: float, then: Callable[[], None]) -> None:
        """Have a check or a push done: so many CPU-seconds, one after another."""
        self.processors.work(seconds, 1, then)

    def down(self, then: Callable[[], None]) -> None:
        """Remove an environment."""

        def gone() -> None:
            self.environments -= 1
            then()

        self.processors.work(self._times * self._figures.down, 1, gone)

    def fail(self) -> None:
        """Lose everything at once."""
        self.processors.halt()
        self.environments = 0
