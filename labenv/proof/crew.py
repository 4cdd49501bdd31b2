"""Several processes that judge rows side by side."""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from contextlib import suppress

from labenv.computer import Computer
from labenv.environments import room
from labenv.errors import EngineError
from labenv.parallel import Together
from labenv.proof.names import Claim
from labenv.proof.rows import Outcome, Row, outcome

_PROCESS = 120 << 20  # bytes that a process of a proof uses
_STILLBORN = 2  # processes one after the other that die at their first row before nothing more is tried
_GRACE = 60  # seconds that a process gets to remove its environments


def size(machines: int, wanted: int | None) -> int:
    """How many environments of so many machines may be up at once: `wanted`, or what the computer has room for.

    Services wait a good part of their time, so that is twice as many as there are processors, if the memory is enough.
    """
    if wanted:
        return wanted
    jobs = 2 * (os.cpu_count() or 1)
    memory = room.available_memory(Computer())
    return max(1, min(jobs, memory // (machines * room.MEMORY * 2 + _PROCESS))) if memory else jobs


class Crew:
    """Processes that judge the rows of the lab `source` (a name or folder), each in environments of its own."""

    def __init__(self, source: str, claim: Claim) -> None:
        """Start nothing yet."""
        self._source = source
        self._claim = claim
        self._there: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._over = False

    def judge(self, rows: Sequence[Row], jobs: int, heard: Callable[[Outcome], None]) -> None:
        """Judge the rows and tell each outcome as it comes, one at a time. Raises EngineError if the engine is gone.

        When it is interrupted, the processes end at once, and what they made is left.
        """
        todo: queue.SimpleQueue[Row] = queue.SimpleQueue()
        for row in rows:
            todo.put(row)

        def tell(done: Outcome) -> None:
            with self._lock:
                heard(done)

        with Together(jobs) as pool:
            working = [pool.submit(self._work, todo, tell) for _ in range(min(jobs, len(rows)))]
            try:
                for done in as_completed(working):
                    done.result()
            finally:
                self._end()

    def _work(self, todo: "queue.SimpleQueue[Row]", tell: Callable[[Outcome], None]) -> None:
        """Have a process judge one row after the other; if it dies, another one goes on. Raises EngineError if that dies at once."""
        stillborn = 0
        while not self._over and stillborn < _STILLBORN and not todo.empty():
            with tempfile.TemporaryFile("w+") as errors:
                process = self._begun(errors.fileno())
                try:
                    lost, answers = self._feed(process, todo, tell)
                finally:
                    self._dismiss(process)
                errors.seek(0)
                said = f"the process that judged it ended with {process.returncode}: {_end_of(errors.read())}"
            if lost and not self._over:
                tell(Outcome(lost.id, (said,)))
                stillborn = 0 if answers else stillborn + 1
        if stillborn == _STILLBORN:
            raise EngineError(f"The rows of the lab cannot be judged: {said}")

    def _feed(
        self, process: "subprocess.Popen[str]", todo: "queue.SimpleQueue[Row]", tell: Callable[[Outcome], None]
    ) -> tuple[Row | None, int]:
        """Give a process rows until none is left; returns the row at which it died, if it did, and how many it answered.

        Raises EngineError if the engine is gone.
        """
        assert process.stdin
        assert process.stdout
        answers = 0
        while not self._over:
            try:
                row = todo.get_nowait()
            except queue.Empty:
                break
            with suppress(BrokenPipeError):
                process.stdin.write(f"{row.id}\n")
                process.stdin.flush()
            if not (answer := process.stdout.readline()):
                process.wait()
                return row, answers
            said = json.loads(answer)
            if "error" in said:
                raise EngineError(said["error"])
            tell(outcome(said["outcome"]))
            answers += 1
        return None, answers

    def _begun(self, errors: int) -> "subprocess.Popen[str]":
        student = self._claim.student()
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "labenv.proof.worker", self._source, student],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,  # Ctrl-C is for who started it
            pass_fds=[self._claim.descriptor],  # while it lives, what it made is not left over
        )
        with self._lock:
            self._there.add(process)
        return process

    def _dismiss(self, process: "subprocess.Popen[str]") -> None:
        """Let a process remove its environments and end."""
        assert process.stdin
        assert process.stdout
        with suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(0 if self._over else _GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        with self._lock:
            self._there.discard(process)

    def _end(self) -> None:
        """End all processes that are still there."""
        self._over = True
        with self._lock:
            for process in self._there:
                process.kill()


def _end_of(text: str) -> str:
    return " ".join(text.split())[-600:] or "it said nothing"
