"""Timing whole commands, as a shell sees them, on a computer that has come to rest."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labenv.errors import EngineError
from labenv.events import Event, Listener

_LIMIT = 300.0  # seconds that a single command may take, unless it says another
_REST = 4.0  # seconds to wait at most until the processors are idle
_LOOK = 0.3  # seconds over which idleness is measured


@dataclass(frozen=True)
class Measurement:
    """One measured thing: its values (seconds, or `unit`), their median, and its target, if it has one."""

    name: str
    unit: str
    values: tuple[float, ...]
    target: float | None = None

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    def to_dict(self) -> dict[str, Any]:
        """As `bench --json` shows it."""
        values = [round(value, 3) for value in self.values]
        return {
            "name": self.name,
            "unit": self.unit,
            "median": round(self.median, 3),
            "values": values,
            "target": self.target,
        }


@contextmanager
def said(listen: Listener, what: str) -> Iterator[None]:
    """Emit that it begins, and that it is done."""
    listen(Event(what, what, "start"))
    yield
    listen(Event(what, what, "done"))


def timed(work: Callable[[], Any]) -> float:
    """The seconds that it takes once the computer has come to rest."""
    _settle()
    before = time.monotonic()
    work()
    return time.monotonic() - before


def _settle() -> None:
    """Wait until the processors are idle: an engine still cleans up after the previous run (proc_stat(5))."""
    stat = Path("/proc/stat")
    deadline = time.monotonic() + _REST
    while stat.exists() and time.monotonic() < deadline:
        before = _idle_and_all(stat)
        time.sleep(_LOOK)
        idle, every = (now - then for now, then in zip(_idle_and_all(stat), before, strict=True))
        if idle > 0.95 * every:
            return


def _idle_and_all(stat: Path) -> tuple[int, int]:
    with stat.open() as lines:
        ticks = [int(word) for word in lines.readline().split()[1:]]
    return ticks[3] + ticks[4], sum(ticks)


def repeat(runs: int, work: Callable[[], Any]) -> tuple[float, ...]:
    """The same, so many times."""
    return tuple(timed(work) for _ in range(runs))


def pss(process: int) -> float:
    """The proportional set size of a process in MiB (proc(5), smaps_rollup); 0 where that cannot be seen."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def labenv(*arguments: str) -> list[str]:
    """A command of this labenv, as a process."""
    return [sys.executable, "-P", "-m", "labenv", *arguments]


def run_labenv(*arguments: str, most: float = _LIMIT) -> str:
    """Run a command of this labenv; returns what it prints. Raises EngineError if it fails, or takes more than so many seconds."""
    return call(labenv(*arguments), most=most)


def call(command: list[str], cwd: Path | None = None, *, most: float = _LIMIT) -> str:
    """Run a command; returns what it prints. Raises EngineError, with the end of its output, if it fails, or takes more than so many seconds."""
    begin = " ".join(command[:6])
    try:
        done = subprocess.run(
            command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=most, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"{begin} did not end within {most:.0f} s and was stopped.") from error
    if done.returncode:
        raise EngineError(f"{begin} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-2000:]}")
    return done.stdout
