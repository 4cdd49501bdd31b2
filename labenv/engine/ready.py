"""Waiting until an environment's services answer, spoken to from inside its network.

The wait ends when each has said its banner (or answered a query), or early, with the reason, when a machine died.
"""

import shlex
import time
from collections.abc import Sequence

from labenv.engine import Engine
from labenv.engine.channel import Channel
from labenv.environment import Environment
from labenv.errors import EngineError
from labenv.lab import Answer

_DEADLINE = 60.0  # seconds; a slow laptop needs about five
_SLICE = 2  # seconds between two looks at whether the machines still live

# An open port is not yet a service: the first line it says is. QUIT and LOGOUT end the conversation in order, so that
# nothing but a connect and a disconnect is in the student's log.
_SAYS = (
    "exec 3<>/dev/tcp/$0/$1 && IFS= read -r -t 5 line <&3 && "
    r"printf 'QUIT\r\n' >&3 && [[ $line == \"$2\"* ]]"
).replace(r"\"", '"')


def await_answers(engine: Engine, environment: Environment, answers: Sequence[Answer]) -> None:
    """Return once all `answers` were had, asked for on the first machine of the environment.

    Raises EngineError with the dead machine's last words, or with what did not answer within a minute.
    """
    deadline = time.monotonic() + _DEADLINE
    channel = Channel(engine.api, environment.machines[0].container)
    waiting = list(answers)
    try:
        while waiting:
            _refuse_dead(engine, environment)
            test = _probe(environment, waiting[0])
            loop = f"timeout {_SLICE} sh -c {shlex.quote(f'until {test}; do sleep 0.02; done')} 2>/dev/null"
            if channel.run(loop).rc == 0:
                waiting.pop(0)
            elif time.monotonic() > deadline:
                silent = ", ".join(f"{answer.machine}:{answer.port}" for answer in waiting)
                raise EngineError(
                    f"No answer from {silent} within {_DEADLINE:.0f} seconds. The machines run; look into the log: "
                    f"labenv logs {waiting[0].machine} -s {environment.student.id}"
                )
    finally:
        channel.close()


def _probe(environment: Environment, answer: Answer) -> str:
    address = environment.machine(answer.machine).address
    if answer.banner:
        return shlex.join(["bash", "-c", _SAYS, address, str(answer.port), answer.banner])
    return f"dig +short +time=1 +tries=1 @{address} SOA {answer.zone or environment.student.domain} | grep -q ."


def _refuse_dead(engine: Engine, environment: Environment) -> None:
    [current] = engine.environments(environment.student.id) or [environment]
    for machine in current.machines:
        if machine.state == "missing":
            raise EngineError(
                f"{machine.name} was removed meanwhile. `labenv up {environment.student.id}` makes it again."
            )
        if machine.state != "running":
            state, code, words = engine.last_words(machine.container)
            raise EngineError(_epitaph(machine.name, state, code, words))


def _epitaph(name: str, state: str, code: int, words: str) -> str:
    if code == 255 and not words:  # what systemd does when it gets no inotify instance
        return (
            f"{name} died at boot with exit code 255 and an empty log. The usual cause: this machine is out of inotify "
            f"instances (fs.inotify.max_user_instances, 128 by default, lasts for some 18 to 40 machines). "
            f"Raise it, then run `labenv up` again: sysctl -w fs.inotify.max_user_instances=1024"
        )
    return f"{name} is {state} (exit code {code}) instead of running. Its last output: {words or 'none'}"
