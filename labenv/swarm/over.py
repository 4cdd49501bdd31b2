"""Ending what a swarm does for a student whose environment was removed for good."""

from labenv.engine import Engine, save_store, swarm
from labenv.environments import history
from labenv.swarm import init, words
from labenv.swarm.client import of_manager


def forget(manager: Engine, student_id: str) -> None:
    """End a student's supervisor, whose environment was removed, and forget what was pushed. Raises EngineError.

    What was pushed was a save until now, and its history is kept with the last save only.
    """
    swarm.remove(manager, words.supervisor(student_id))
    init.await_ended([student_id])
    of_manager().say("forget", student=student_id)
    if not save_store.found(manager, student_id):
        history.drop(student_id)
