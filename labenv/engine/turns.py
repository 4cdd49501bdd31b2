"""Starting several machines, each as soon as the one before has its network.

For each thing that it writes down about networks, Docker before 28 opens a file of its own and locks it, and whoever
finds that file locked sleeps for 50 ms (bbolt, flockRetryTimeout). Machines that start at the very same moment have each
other sleep for a tenth of a second or two, with idle processors. Docker says when a container has its network
(Engine API, "Monitor events").
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from labenv.engine import Engine

if TYPE_CHECKING:
    from docker.types import CancellableStream

# Seconds until the next one starts all the same: the engine may be at something else, or have refused the one before.
_PATIENCE = 0.2


@contextmanager
def in_turn(engine: Engine, networks: Sequence[str]) -> Iterator[Callable[[str], None]]:
    """A way to start machines on these networks of the engine, which many threads may call. Raises as Engine.start does."""
    if engine.facts.podman or engine.facts.version >= (28, 0):
        yield engine.start
        return
    turn = threading.Semaphore()
    wanted = {"type": ["network"], "event": ["connect"], "network": list(networks)}
    events: list[CancellableStream[dict[str, Any]]] = []

    def listen() -> None:
        # The stream was closed, or the engine gives none: whoever starts a machine hears what is wrong with it.
        with suppress(Exception):
            events.append(engine.api.events(decode=True, filters=wanted))
            for _ in events[0]:
                turn.release()

    def start(container: str) -> None:
        turn.acquire(timeout=_PATIENCE)
        engine.start(container)

    threading.Thread(target=listen, daemon=True).start()
    try:
        yield start
    finally:
        for stream in events:
            with suppress(Exception):
                stream.close()
