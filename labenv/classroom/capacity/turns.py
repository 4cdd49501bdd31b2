"""What is had one after another in a simulation: in the order in which it was asked for."""

from collections import deque
from collections.abc import Callable


class Turns:
    """So many places, each for one at a time."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: deque[Callable[[], object]] = deque()

    def take(self, then: Callable[[], object]) -> None:
        """Call `then` as soon as there is a place for it, which may be now."""
        if self._free:
            self._free -= 1
            then()
        else:
            self._waiting.append(then)

    def leave(self) -> None:
        """Give a place to the one that has waited longest."""
        if self._waiting:
            self._waiting.popleft()()
        else:
            self._free += 1

    def clear(self) -> None:
        """Forget who waits."""
        self._waiting.clear()
