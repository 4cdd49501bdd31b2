"""Saving all environments of a class under one name."""

from collections.abc import Iterator, Sequence

from labenv.classroom.running import waves
from labenv.engine import Engine
from labenv.engine.save_store import Save
from labenv.environment import Environment
from labenv.environments import saves
from labenv.errors import LabenvError
from labenv.events import Listener


def save(
    engine: Engine, there: Sequence[Environment], name: str | None, listen: Listener
) -> Iterator[tuple[str, Save | LabenvError]]:
    """Save each environment under that name, or the next free one of save-1, save-2, …; yields each student with the save.

    Raises UsageError for a name that no save can have.
    """
    if name is not None:
        saves.check_name(name)
    return waves.for_each(engine, there, lambda mine, each, tell: saves.save(mine, each, name, tell), listen, "saving")
