"""What to say when a machine goes while somebody works in it: a person's shell, command or log ends with it."""

import time

from labenv.engine import Engine
from labenv.engine.session import life
from labenv.environment import Environment, Machine
from labenv.errors import EngineError

_LATE = 2.0  # seconds until the engine has learned that a machine died: its commands die first
_POLL = 0.02


def error_if_gone(
    engine: Engine, environment: Environment, machine: Machine, before: str, *, ended: str, again: str, wait: bool
) -> EngineError | None:
    """The error for what ended because the machine did; None if the machine lives on.

    `before` is the machine's life (labenv.engine.session) from when it began, `ended` what has ended, as a clause, `again`
    the command with which to begin again. With `wait`, the machine may be about to die. Raises EngineError if the engine is gone.
    """
    who = environment.student.id
    deadline = time.monotonic() + (_LATE if wait else 0)
    while (now := life(engine, machine.container)) == before:
        if time.monotonic() > deadline:
            return None
        time.sleep(_POLL)
    from labenv.environments.changing import changed_by  # half the house, which no shell needs to begin

    command = changed_by(engine, who)
    by = f" (labenv {command})" if command else ""
    if command.startswith("down") or not (now or command):
        way = f"To bring it back: labenv up {who}"
    else:
        way = f"Continue with: {again}"
    return EngineError(f"{machine.name} was switched off{by}, so {ended}. {way}")
