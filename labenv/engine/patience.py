"""How long one labenv command waits for the machines' answers."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from labenv import computer

# Seconds for one question, which takes milliseconds; for all questions to one machine; and for those to all of them. Where the DNS is
# dead, a check of honest machines waits for 24 (resolv.conf(5): programs ask a name server for ten seconds). A computer that is short
# of processor time gets more.
_QUESTION: Final = 20.0
_ONE: Final = 30.0
_ALL: Final = 45.0
_LEAST: Final = 1.0  # seconds that a question must have
_SHARE: Final = 0.1  # of the time that the command itself takes, besides: `watch` runs for hours


class Patience:
    """What is left of the time that one command waits for machines, by the names of their containers; threads may share it.

    A student is root in the machines, so anything there may take as long as it likes.
    """

    def __init__(self) -> None:
        """Begin with all of it."""
        self._began = time.monotonic()
        self._one: defaultdict[str, float] = defaultdict(float)
        self._all = 0.0  # questions that are asked at the same time count once
        self._open = 0
        self._since = 0.0
        self._lock = threading.Lock()

    def left(self, container: str) -> float:
        """How many seconds the next question to a machine may take; zero when it is not to be asked again for now."""
        slowness = computer.slowness()
        left = min(slowness * _ONE - self._one[container], slowness * _ALL - self._all)
        left += _SHARE * (time.monotonic() - self._began)
        return min(left, slowness * _QUESTION) if left >= _LEAST else 0

    @contextmanager
    def waiting(self, container: str) -> Iterator[None]:
        """Wait for a machine during the block."""
        began = time.monotonic()
        with self._lock:
            self._since = self._since if self._open else began
            self._open += 1
        try:
            yield
        finally:
            ended = time.monotonic()
            with self._lock:
                self._one[container] += ended - began
                self._open -= 1
                if not self._open:
                    self._all += ended - self._since
