"""Which environment is meant."""

from labenv.engine import Engine
from labenv.environment import Environment
from labenv.errors import EngineError, UsageError


def chosen(engine: Engine, student: str | None) -> Environment:
    """The environment that is meant: the named student's, or the only one there is.

    Raises EngineError if it is not there, UsageError if none was named and there are several.
    """
    there = engine.environments(student)
    if len(there) == 1:
        return there[0]
    if there:
        names = ", ".join(environment.student.id for environment in there)
        raise UsageError(f"There are several environments: {names}. Say which one: -s STUDENT (or set LABENV_STUDENT).")
    if student:
        others = ", ".join(environment.student.id for environment in engine.environments())
        known = f" There are: {others}." if others else ""
        raise EngineError(f"{ascii(student)[1:-1]} has no environment.{known} Make one: labenv up STUDENT")
    raise EngineError("There is no environment yet. Make one: labenv up STUDENT")
