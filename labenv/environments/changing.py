"""The one way to change an environment: one command at a time, after cleaning up whatever an interrupted command left."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

from labenv.engine import Engine
from labenv.environment import Environment, class_name
from labenv.environments.lock import command_of_holder, locked
from labenv.environments.plan import Plan, plan_again
from labenv.environments.recovery import recover
from labenv.errors import EngineError
from labenv.events import Listener, silent
from labenv.lab import labs


@dataclass
class Change:
    """A student's environment while one command may change it."""

    engine: Engine
    student_id: str

    def look(self) -> Environment | None:
        """The environment as it is now, None if there is none. Raises EngineError."""
        there = self.engine.environments(self.student_id)
        return there[0] if there else None

    @property
    def environment(self) -> Environment:
        """The environment as it is now. Raises EngineError if there is none."""
        if there := self.look():
            return there
        raise EngineError(f"{self.student_id} has no environment. Make one: labenv up {self.student_id}")

    @cached_property
    def plan(self) -> Plan:
        """What the environment was made from. Raises UsageError if its lab or topology is missing, EngineError."""
        there = self.environment
        names = [machine.name for machine in there.machines]
        lab, source = labs.of(there), there.topology
        plan = plan_again(there.student, lab, there.stage, source, names, belongs=there.belongs, pools=there.pools)
        return replace(plan, foreign=there.foreign, past=there.past)


def changed_by(engine: Engine, student_id: str) -> str:
    """The labenv command that is changing a student's environment now, such as "restore good"; empty if none is known to.

    Raises EngineError.
    """
    return command_of_holder(engine, student_id)


@contextmanager
def changing(engine: Engine, student_id: str, listen: Listener, *, removing: bool = False) -> Iterator[Change]:
    """Hold a student's environment during the block, after finishing or undoing what was interrupted.

    With `removing` nothing is finished first, because it is removed anyway. Raises EngineError.
    """
    with locked(engine, student_id, listen):
        if not removing:
            recover(engine, student_id, listen)
        yield Change(engine, student_id)


@contextmanager
def staying(engine: Engine, student_id: str, listen: Listener) -> Iterator[None]:
    """Let nobody else between the changes of a student's environment that are made during the block. Raises EngineError."""
    with locked(engine, student_id, listen):
        yield


@contextmanager
def changing_class(engine: Engine, class_id: str) -> Iterator[None]:
    """Hold what a class has for all of its students during the block. Who comes meanwhile waits, and is told nothing. Raises EngineError."""
    with locked(engine, class_name(class_id), silent):
        yield
