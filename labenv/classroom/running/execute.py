"""One command in a machine of each student of a class."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from labenv.classroom.running import waves
from labenv.engine import Engine
from labenv.environment import Environment
from labenv.environments import history
from labenv.errors import EngineError, LabenvError
from labenv.events import Listener
from labenv.text import decoded

_MOST = 1_000_000  # bytes of output


@dataclass(frozen=True)
class Ran:
    """What a command did in a student's machine: its exit code, and both of its outputs together, clean, in lines."""

    student: str
    rc: int
    lines: tuple[str, ...]


def execute(
    engine: Engine,
    there: Sequence[Environment],
    machine: str,
    command: Sequence[str],
    listen: Listener,
    *,
    seconds: float = 60,
) -> Iterator[tuple[str, Ran | LabenvError]]:
    """Run a command as root in that machine of each environment, without input; yields each student with what it did.

    It is an error if it has not ended after so many seconds, or prints more than a megabyte: then it is stopped.
    """
    told = f"({shlex.join(command)}) 2>&1"

    def one(mine: Engine, environment: Environment, tell: Listener) -> Ran:
        node = environment.machine(machine)
        if node.state != "running":
            who = environment.student.id
            raise EngineError(f"{machine} is not running. Bring it back first: labenv class up --only {who}")
        with history.told(mine, environment, tell, "labenv class exec", machine=machine), mine.shell(node) as channel:
            done = channel.run(told, seconds, _MOST)
        return Ran(environment.student.id, done.rc, tuple(decoded(done.stdout).splitlines()))

    return waves.for_each(engine, there, one, listen, "running the command in")
