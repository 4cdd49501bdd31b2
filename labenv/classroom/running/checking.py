"""Checking many environments: what a check needs is imported once, and each of a few processes opens the engine once.

A process that dies, or does not end, costs its student a sentence and nobody else anything: another one takes its place.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Self

from labenv.checks.onlooker import Onlooker, Overtaken
from labenv.checks.results import Report
from labenv.classroom.running import waves
from labenv.environment import Environment
from labenv.errors import EngineError, LabenvError, UsageError
from labenv.events import Event, Listener, silent
from labenv.text import many

if TYPE_CHECKING:
    from labenv.classroom.running.worker import Failure, Said, Task
    from labenv.engine import Engine

_WORKER = "labenv.classroom.running.worker"
# Seconds that one environment may take, a second or two on an idle computer: the questions of a run end after 45, its connections too.
_LONGEST, _LONGEST_WHOLE = 180.0, 420.0
_OFTEN = 0.2  # seconds between two times that an onlooker is asked whether it is over
_GRACE = 3.0  # seconds in which a process that is told to end removes what its check left in the machines


def check_all(
    engine: "Engine",
    environments: Iterable[Environment],
    *,
    steps: Iterable[str] | None = None,
    reached_only: bool = False,
    written: bool = True,
    whole: bool = False,
    listen: Listener = silent,
) -> Iterator[tuple[Environment, Report | LabenvError]]:
    """Check environments, several at once, and yield each with its report, or why it could not be checked, as they end.

    The other arguments are those of `run_checks`; a report is the same as there. Interrupted, or closed, it ends the checks that run.
    """
    there = list(environments)
    with Checkers(engine) as checkers:
        check = partial(
            checkers.check,
            steps=tuple(steps) if steps else None,
            reached_only=reached_only,
            written=written,
            whole=whole,
            listen=listen,
        )
        elsewhere = not engine.is_local
        yield from waves.paced(
            there, check, listen, name=_name, doing=f"checking {many(len(there), 'environment')}", elsewhere=elsewhere
        )


def _name(environment: Environment) -> str:
    return environment.student.id


class Checkers:
    """Processes that check environments, one for each thread that wants one at the same time. The end of the block ends them.

    >>> with Checkers(engine) as checkers:
    ...     report = checkers.check(environment)
    """

    def __init__(self, engine: "Engine") -> None:
        """Start no process yet."""
        self._engine = engine
        self._idle: list[_Process] = []
        self._there: set[_Process] = set()
        self._lock = threading.Lock()
        self._over = False

    def check(
        self,
        environment: Environment,
        *,
        steps: Iterable[str] | None = None,
        reached_only: bool = False,
        written: bool = True,
        whole: bool = False,
        onlooker: Onlooker | None = None,
        listen: Listener = silent,
    ) -> Report:
        """The report of one environment, as `run_checks` gives it. Raises what that raises.

        Raises EngineError if the process died, or was ended because it took too long.
        """
        from labenv.classroom.running.worker import Task  # what it imports is for who checks

        process = self._taken()
        try:
            limits = tuple(steps) if steps else None, reached_only, written, whole
            where = self._engine.holding(environment.student.id).endpoint
            task = Task(environment, where, *limits, onlooker.urgent if onlooker else None)
            return process.report(task, listen, onlooker, partial(self._engine.away, environment.student.id))
        finally:
            self._give_back(process)

    def close(self) -> None:
        """End all processes, also those that check: they remove first what they have left in the machines."""
        with self._lock:
            self._over = True
            there = list(self._there)
        for process in there:
            process.ask_to_end()
        deadline = time.monotonic() + _GRACE
        for process in there:
            process.end(max(0, deadline - time.monotonic()))

    def __enter__(self) -> Self:
        """These."""
        return self

    def __exit__(self, *_: object) -> None:
        """End them."""
        self.close()

    def _taken(self) -> "_Process":
        """A process that nobody else uses now."""
        with self._lock:
            if self._over:
                raise EngineError("The checks were ended.")
            if self._idle:
                return self._idle.pop()
            process = _Process()
            self._there.add(process)
            return process

    def _give_back(self, process: "_Process") -> None:
        if not process.is_fit:
            process.end(0)
        with self._lock:
            if process.is_fit:
                self._idle.append(process)
            else:
                self._there.discard(process)


class _Process:
    """One process, and the pipe to it. `is_fit` is whether it can take another task."""

    def __init__(self) -> None:
        from labenv.classroom.running.worker import work  # as above

        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([_WORKER])
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=work, args=(theirs, dict(os.environ)), daemon=True)
        with _apart():
            self._process.start()
        theirs.close()
        self.is_fit = True

    def report(
        self, task: "Task", listen: Listener, onlooker: Onlooker | None, away: Callable[[], EngineError | None]
    ) -> Report:
        """Have an environment checked. Raises LabenvError as the check does, EngineError if there is no answer.

        Nobody waits for the end of a check of what goes elsewhere: `away` is asked why, which is raised.
        """
        self.is_fit = False
        said = self._answer(task, listen, onlooker or Onlooker(), away)
        self.is_fit = True
        if isinstance(said, Overtaken):
            raise said
        if isinstance(said, Report):
            return said
        raise (UsageError if said.code == UsageError.exit_code else EngineError)(said.sentence)

    def _answer(
        self, task: "Task", listen: Listener, onlooker: Onlooker, away: Callable[[], EngineError | None]
    ) -> "Report | Overtaken | Failure":
        student = task.environment.student.id
        alone = f"To see what happens: labenv check -s {student}"
        seconds = _LONGEST_WHOLE if task.whole else _LONGEST
        deadline = time.monotonic() + seconds
        is_told = False
        try:
            self._pipe.send(task)
            while time.monotonic() < deadline:
                if not self._pipe.poll(_OFTEN):
                    if why := away():
                        raise why
                    if task.urgent is not None and not is_told and onlooker.is_over():
                        self._pipe.send(None)
                        is_told = True
                    continue
                said: Said = self._pipe.recv()
                if isinstance(said, Event):
                    listen(replace(said, step=f"{student} {said.step}"))
                elif isinstance(said, tuple):
                    onlooker.tell(said)
                else:
                    return said
        except (EOFError, OSError) as error:
            self._process.join(1)
            code = self._process.exitcode
            raise EngineError(f"The process that checked {student} ended too early ({code}). {alone}") from error
        raise EngineError(f"The checks of {student} did not end within {seconds:.0f} s and were stopped. {alone}")

    def ask_to_end(self) -> None:
        """Have it end as soon as it can."""
        with suppress(OSError):
            self._pipe.close()
        self._process.terminate()

    def end(self, grace: float) -> None:
        """End it, within some seconds."""
        self._process.join(grace)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


@contextmanager
def _apart() -> Iterator[None]:
    """Have what is started meanwhile not hear Ctrl-C, also not while it still imports: whoever started it ends it.

    Nor does it import what lies in the current folder, such as a socket.py that a student handed in (python(1), PYTHONSAFEPATH).
    """
    os.environ["PYTHONSAFEPATH"] = "1"
    resource_tracker.ensure_running()  # multiprocessing starts it, too, and lets SIGINT through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
