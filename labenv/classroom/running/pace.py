"""How many things may run at the same time: what the computer does is measured while they run.

The number goes up by one while something is to be had by it, and down by a part when it was too much: additive increase,
multiplicative decrease, as TCP finds a network's capacity (RFC 5681).
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from labenv.computer import Computer

MOST = 64  # threads; no computer that runs labs bears more
_DOWN = 0.75


class Pace(Protocol):
    """How many things may run at once (`limit`), by what was seen of those that did."""

    @property
    def limit(self) -> int:
        """How many may run at once now."""

    def ended(self, seconds: float) -> None:
        """Take note that one of them has ended, which took so long."""

    def look(self, running: int) -> None:
        """Measure, while so many of them run."""


class Processors:
    """By the processors of this computer: whether they are idle, and how many processes wait for one (proc_stat(5))."""

    _IDLE = 0.05  # the part of the time in which a further one finds a free processor
    _QUEUE = 8  # processes for each processor that could run, on average: with more, some stop answering in time
    _SPAN = 0.25  # seconds that one measurement covers at least
    _LAST = 0.3  # what the last look counts in that average

    def __init__(self, computer: Computer, count: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        """Measure this computer, which has `count` processors."""
        self._computer = computer
        self._count = count or os.cpu_count() or 1
        self._clock = clock
        self._limit = float(2 * self._count)  # while one waits for the engine, another uses its processor
        self._queue = 0.0
        self._then = (clock(), *self._ticks()[:2])

    @property
    def limit(self) -> int:
        """How many may run at once now."""
        return int(self._limit)

    def ended(self, seconds: float) -> None:
        """Nothing is learned from that: the processors say more."""

    def look(self, running: int) -> None:
        """Compare what the processors did since the look before."""
        now = self._clock()
        if now - self._then[0] < self._SPAN:
            return
        idle, every, queue = self._ticks()
        spare, ticks = idle - self._then[1], every - self._then[2]
        self._then = now, idle, every
        self._queue += self._LAST * (queue - self._queue)
        if self._queue > self._QUEUE * self._count:
            self._limit = max(self._count, self._limit * _DOWN)
        elif spare > self._IDLE * ticks and running >= self.limit:
            self._limit = min(MOST, self._limit + 1)

    def _ticks(self) -> tuple[int, int, int]:
        """The idle ticks and all ticks since boot, and how many processes run or could."""
        lines = self._computer.read("proc/stat").splitlines()
        ticks = [int(word) for word in lines[0].split()[1:9]]
        queue = next((int(line.split()[1]) for line in lines if line.startswith("procs_running ")), 0)
        return ticks[3] + ticks[4], sum(ticks), queue


@dataclass
class Answers:
    """By the time that things take: for an engine on another computer, whose processors cannot be seen.

    What takes longer than the fastest one waits for something. So of those that run, this part waits; one more is started while
    that are few, and fewer when they are many (L. Brakmo and L. Peterson, "TCP Vegas", 1995).
    """

    _limit: float = 2
    _fastest: float = 0
    _FEW, _MANY = 1.5, 4.0

    @property
    def limit(self) -> int:
        """How many may run at once now."""
        return int(self._limit)

    def ended(self, seconds: float) -> None:
        """Take note that one of them has ended, which took so long."""
        self._fastest = min(self._fastest or seconds, seconds)
        waiting = self._limit * (1 - self._fastest / seconds) if seconds > 0 else 0
        if waiting < self._FEW:
            self._limit = min(MOST, self._limit + 1)
        elif waiting > self._MANY:
            self._limit = max(1, self._limit * _DOWN)

    def look(self, running: int) -> None:
        """There is nothing to be seen but what has ended."""
