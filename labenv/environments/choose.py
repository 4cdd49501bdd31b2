"""Which environment a command means."""

from labenv.engine import Engine
from labenv.environment import Environment
from labenv.errors import EngineError, UsageError


def chosen(engine: Engine, student: str | None) -> Environment:
    """The environment that a command means: the named student's, or the only one that exists.

    Raises EngineError if it does not exist, UsageError if no student was named and there are several environments.
    """
    # Machines on which a submission is judged are meant by nobody who does not name them.
    there = [one for one in engine.environments(student) if student or not one.replays]
    if len(there) == 1:
        return there[0]
    if there:
        names = ", ".join(environment.student.id for environment in there)
        raise UsageError(f"Several environments exist: {names}. Choose one: -s STUDENT (or set LABENV_STUDENT).")
    if student:
        others = ", ".join(environment.student.id for environment in engine.environments())
        known = f" Existing environments: {others}." if others else ""
        raise EngineError(f"{ascii(student)[1:-1]} has no environment.{known} Make one: labenv up STUDENT")
    raise EngineError("There is no environment yet. Make one: labenv up STUDENT")
