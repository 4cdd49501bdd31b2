"""Starting several machines, each as soon as the one before has its network.

For each thing that it stores about networks, Docker before 28 opens a file and locks it; if the file is already locked, it
sleeps for 50 ms (bbolt, flockRetryTimeout). Machines that start at exactly the same moment make each other sleep for a tenth
of a second or two while the processors are idle. Docker says when a container has its network (Engine API, "Monitor
events").
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from labenv.engine import Engine

if TYPE_CHECKING:
    from docker.types import CancellableStream

# Seconds until the next one starts anyway: the engine may be busy, or may have refused the one before.
_PATIENCE = 0.2


@contextmanager
def in_turn(engine: Engine, networks: Sequence[str]) -> Iterator[Callable[[str], None]]:
    """A function that starts machines on these networks, which many threads may call. Raises as Engine.start does."""
    if engine.facts.podman or engine.facts.version >= (28, 0):
        yield engine.start
        return
    queue, told = threading.Lock(), threading.Condition()
    started = connected = 0
    wanted = {"type": ["network"], "event": ["connect"], "network": list(networks)}
    events: list[CancellableStream[dict[str, Any]]] = []

    def listen() -> None:
        nonlocal connected
        # The stream was closed, or the engine offers none: whoever starts a machine sees what is wrong with it.
        with suppress(Exception):
            events.append(engine.api.events(decode=True, filters=wanted))
            for _ in events[0]:
                with told:
                    connected += 1
                    told.notify()

    def start(container: str) -> None:
        nonlocal started
        # Patience counts from the start before, not from the call: calls come together, and so would their starts.
        with queue:
            with told:
                told.wait_for(lambda: connected >= started, _PATIENCE)
            started += 1
        engine.start(container)

    threading.Thread(target=listen, daemon=True).start()
    try:
        yield start
    finally:
        for stream in events:
            with suppress(Exception):
                stream.close()
