"""Setting the environments of a class to the start of a stage."""

from collections.abc import Iterator, Sequence

from labenv.classroom.running import waves
from labenv.engine import Engine
from labenv.environment import Environment
from labenv.environments import saves
from labenv.environments.up import Outcome
from labenv.errors import LabenvError
from labenv.events import Listener


def check(there: Sequence[Environment], machine: str | None, stage: str | None) -> None:
    """Raise UsageError for a machine or a stage that one of them does not have."""
    for environment in there:
        saves.check_reset(environment, machine, stage)


def reset(
    engine: Engine, there: Sequence[Environment], machine: str | None, stage: str | None, listen: Listener
) -> Iterator[tuple[str, Outcome | LabenvError]]:
    """Make each environment, or one machine of each, again from scratch at a stage; the work is saved first.

    Yields each student with what was done, as `saves.reset` returns it.
    """
    return waves.for_each(
        engine,
        there,
        lambda mine, each, tell: saves.reset(mine, each, machine, stage, tell),
        listen,
        "resetting",
    )
