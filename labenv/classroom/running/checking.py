"""Checking many environments: what a check needs is imported once, and each of a few processes opens the engine once.

A process that dies, or does not end, costs its student a sentence and nobody else anything: another one takes its place.
"""

import multiprocessing
import os
import queue
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import as_completed
from contextlib import suppress
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from labenv.checks.results import Report
from labenv.environment import Environment
from labenv.errors import EngineError, LabenvError, UsageError
from labenv.events import Event, Listener, announced, silent
from labenv.parallel import Together

if TYPE_CHECKING:
    from labenv.classroom.running.worker import Failure, Said, Task
    from labenv.engine import Engine

_WORKER = "labenv.classroom.running.worker"
# Seconds that one environment may take, a second or two on an idle computer: the questions of a run end after 45, its connections too.
_LONGEST, _LONGEST_WHOLE = 180.0, 420.0
_GRACE = 3.0  # seconds in which a process that is told to end removes what its check left in the machines
STEP = "check"


def jobs() -> int:
    """How many environments are checked at once: a check uses more than one processor most of the time."""
    return (os.cpu_count() or 1) + 1


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
    wanted = tuple(steps) if steps else None
    many = "1 environment" if len(there) == 1 else f"{len(there)} environments"
    with (
        announced(listen, STEP, f"checking {many}"),
        Checkers(engine, len(there)) as checkers,
        Together(checkers.jobs) as pool,
    ):
        check = partial(
            checkers.check, steps=wanted, reached_only=reached_only, written=written, whole=whole, listen=listen
        )
        running = {pool.submit(check, each): each for each in there}
        try:
            for number, future in enumerate(as_completed(running), 1):
                environment = running[future]
                listen(Event(STEP, f"{number} of {len(there)}: {environment.student.id}"))
                try:
                    told: Report | LabenvError = future.result()
                except LabenvError as error:
                    told = error
                yield environment, told
        finally:  # whoever asked may have heard enough
            pool.shutdown(wait=False, cancel_futures=True)
            checkers.close()


class Checkers:
    """Processes that check environments. Threads share them; the end of the block ends them.

    >>> with Checkers(engine) as checkers:
    ...     report = checkers.check(environment)
    """

    def __init__(self, engine: "Engine", most: int | None = None) -> None:
        """Start no process yet; never more than `most`, or than `jobs` says."""
        self.jobs = max(1, min(jobs(), most or jobs()))
        self._endpoint = engine.endpoint
        self._free: queue.LifoQueue[_Process | None] = queue.LifoQueue()  # None: a process may be started
        for _ in range(self.jobs):
            self._free.put(None)
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
        listen: Listener = silent,
    ) -> Report:
        """The report of one environment, as `run_checks` gives it, as soon as a process is free. Raises what that raises.

        Raises EngineError if the process died, or was ended because it took too long.
        """
        from labenv.classroom.running.worker import Task  # only processes that check need what it imports

        task = Task(environment, tuple(steps) if steps else None, reached_only, written, whole)
        process = self._free.get()
        try:
            process = process or self._begun()
            return process.report(task, listen)
        finally:
            if process and not process.is_fit:
                self._end(process)
                process = None
            self._free.put(process)

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

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End them."""
        self.close()

    def _begun(self) -> "_Process":
        process = _Process(self._endpoint)
        with self._lock:
            self._there.add(process)
            is_over = self._over
        if is_over:
            self._end(process)
            raise EngineError("The checks were ended.")
        return process

    def _end(self, process: "_Process") -> None:
        process.end(0)
        with self._lock:
            self._there.discard(process)


class _Process:
    """One process, and the pipe to it. `is_fit` is whether it can take another task."""

    def __init__(self, endpoint: object) -> None:
        from labenv.classroom.running.worker import work  # as above

        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([_WORKER])
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=work, args=(theirs, endpoint, dict(os.environ)), daemon=True)
        self._process.start()
        theirs.close()
        self.is_fit = True

    def report(self, task: "Task", listen: Listener) -> Report:
        """Have an environment checked. Raises LabenvError as the check does, EngineError if there is no answer."""
        student = task.environment.student.id
        self.is_fit = False
        seconds = _LONGEST_WHOLE if task.whole else _LONGEST
        said = self._answer(task, student, seconds, listen)
        self.is_fit = True
        if isinstance(said, Report):
            return said
        raise (UsageError if said.code == UsageError.exit_code else EngineError)(said.sentence)

    def _answer(self, task: "Task", student: str, seconds: float, listen: Listener) -> "Report | Failure":
        deadline = time.monotonic() + seconds
        alone = f"To see what happens: labenv check -s {student}"
        try:
            self._pipe.send(task)
            while self._pipe.poll(max(0, deadline - time.monotonic())):
                said: Said = self._pipe.recv()
                if not isinstance(said, Event):
                    return said
                listen(replace(said, step=f"{student} {said.step}"))
        except (EOFError, OSError) as error:
            self._process.join(1)
            code = self._process.exitcode
            raise EngineError(
                f"The process that checked {student} ended before it was done ({code}). {alone}"
            ) from error
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
