"""Ending what a swarm does for a student whose environment was removed for good."""

from labenv.engine import Engine, swarm
from labenv.swarm import init, words
from labenv.swarm.client import of_manager


def forget(manager: Engine, student_id: str) -> None:
    """End a student's supervisor, whose environment was removed, and forget what was pushed. Raises EngineError."""
    swarm.remove(manager, words.supervisor(student_id))
    init.await_ended([student_id])
    of_manager().say("forget", student=student_id)
