"""One process that checks environments, one at a time, as they come over a pipe.

pytest works on the whole process (standard output, os.environ), so what goes on side by side needs processes. The server that all
of them are forked from has imported this module, and with it all that a check needs (multiprocessing, forkserver): a process begins in
some milliseconds, and opens each engine once.
"""

import gc
import os
import signal
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

from labenv.checks import collect, interface, session, soonest  # noqa: F401  # for the processes that are forked
from labenv.checks.onlooker import Onlooker, Overtaken
from labenv.checks.results import CheckResult, Report
from labenv.checks.run import run_checks
from labenv.engine import Engine, origin  # noqa: F401  # as above
from labenv.engine.endpoint import Endpoint
from labenv.engine.find import reconnect
from labenv.environment import Environment
from labenv.environments import history  # noqa: F401  # as above
from labenv.errors import LabenvError
from labenv.events import Event
from labenv.lab import sandbox  # noqa: F401  # as above


@dataclass(frozen=True)
class Task:
    """An environment to check, and where its engine answers; the other fields are arguments of `run_checks`, and what is urgent for an onlooker, if there is one."""

    environment: Environment
    endpoint: Endpoint
    steps: tuple[str, ...] | None = None
    reached_only: bool = False
    written: bool = True
    whole: bool = False
    urgent: frozenset[str] | None = None


@dataclass(frozen=True)
class Failure:
    """Why an environment could not be checked: a sentence, and its exit code."""

    sentence: str
    code: int


# What a process says: events and what is certain while it checks, then the report, or why there is none.
Said = Event | tuple[CheckResult, ...] | Report | Overtaken | Failure


def work(pipe: "Connection", environ: dict[str, str]) -> None:
    """Check environments until the pipe ends. SIGTERM ends a check as Ctrl-C does: nothing is left in the machines."""
    os.environ.clear()
    os.environ.update(environ)
    os.dup2(2, 1)  # what a check may print is no output of the command
    gc.freeze()
    engines: dict[str, Engine] = {}
    with suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        while True:
            task: Task | None = pipe.recv()
            if task is None:  # what was to be given up has ended
                continue
            try:
                where = task.endpoint.url
                engines[where] = engines.get(where) or Engine(reconnect(task.endpoint))
                pipe.send(_checked(engines[where], task, pipe))
            except Overtaken as overtaken:
                pipe.send(overtaken)
            except LabenvError as error:
                pipe.send(Failure(str(error), error.exit_code))
    sys.stderr.flush()
    os._exit(0)  # no thread that still waits for a machine keeps the process


def _checked(engine: Engine, task: Task, pipe: "Connection") -> Report:
    alone = threading.Lock()  # threads beside the checks have something to say, too

    def say(something: Said) -> None:
        with alone:
            pipe.send(something)

    def listen(event: Event) -> None:
        if event.kind in ("note", "warn"):
            say(event)

    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return run_checks(
            engine.apart(),
            task.environment,
            steps=list(task.steps) if task.steps else None,
            reached_only=task.reached_only,
            written=task.written,
            whole=task.whole,
            onlooker=Onlooker(say, pipe.poll, task.urgent) if task.urgent is not None else None,
            listen=listen,
        )
    finally:  # between two checks there is nothing to clean up
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _interrupt(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt
