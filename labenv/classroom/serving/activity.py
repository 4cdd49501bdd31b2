"""When somebody last worked in an environment, by facts that need no program of labenv's to have watched.

Work is what was typed into a terminal in a machine (a terminal's file has the time of the last reading from it), a change of a file
that the history watches or that is in /root, and a start of the machine. Mail that arrives is no work, nor are checks.
"""

from labenv.engine import Engine
from labenv.environment import Environment, Machine
from labenv.errors import EngineError
from labenv.parallel import Together

# Seconds since 1970, one a line. /proc/1 has the time of the machine's start.
_FACTS = """\
stat -c %X /dev/pts/[0-9]* 2>/dev/null
stat -c %Y /proc/1
eval "find /root $(sed '/^[!#]/d' /etc/labenv/history 2>/dev/null | tr '\\n' ' ') -xdev -type f -newerct @{since} -printf '%C@\\n'" 2>/dev/null | sort -n | tail -n 1
true"""
_LARGEST = 10_000  # bytes of an answer


def last(engine: Engine, environment: Environment, since: float) -> float:
    """When somebody last worked there (seconds since 1970), `since` if not later than that. Machines that do not answer count nothing."""

    def of(machine: Machine) -> float:
        try:
            with engine.shell(machine) as shell:
                said = shell.run(_FACTS.format(since=int(since)), most=_LARGEST).text
        except EngineError:
            return since
        return max([since, *_times(said)])

    run = [machine for machine in environment.machines if machine.state == "running"]
    with Together(max(1, len(run))) as pool:
        return max([since, *pool.map(of, run)])


def _times(said: str) -> list[float]:
    found = []
    for line in said.splitlines():
        try:
            found.append(float(line))
        except ValueError:
            continue
    return found
