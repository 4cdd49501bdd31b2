"""Pausing a machine, and resuming it.

An engine learns late of what it has done: for a moment after a machine resumes, it may say that it is paused (again), and
refuse to run anything in it. But it learns of everything in order (moby: daemon/monitor.go, one queue for each container):
once it knows of the end of a process that was started later, it knows of everything before.

If a process was just being started in the machine (`docker exec`), runc may freeze itself with it. The engine then waits for
that start with everything else about the machine, also with resuming it, so the processes are let go without the engine. When
its turn comes, runc refuses to resume what is not frozen (libcontainer: Container.Resume), and the engine would take the machine
for paused for ever: the processes are stopped once more, for the engine to resume. No start is caught by that, as the engine
starts nothing in a machine that it takes for paused.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import docker.errors
import requests

from labenv.engine import cgroups
from labenv.errors import EngineError

if TYPE_CHECKING:
    from labenv.engine import Engine

_TRIES = 3  # runc gives up where processes come and go faster than it freezes them
_PATIENCE = 30.0
_STUCK = 2.0  # seconds; a busy engine takes one
_POLL = 0.01


def hold(engine: "Engine", container: str) -> bool:
    """Pause a running machine; False where that is not possible (rootless on cgroup v1)."""
    for _ in range(_TRIES):
        with suppress(docker.errors.APIError):
            engine.api.pause(container)
            return True
    return False


def go_on(engine: "Engine", container: str) -> None:
    """Resume a machine; return when it runs and the engine says so. Raises EngineError if it stays paused."""
    deadline = time.monotonic() + _PATIENCE
    frozen_first = ""
    while not _runs_again(engine, container, frozen_first):
        found = engine.api.inspect_container(container)
        if not found["State"]["Paused"]:
            return  # nothing can be run in it for another reason
        if time.monotonic() > deadline:
            raise EngineError(
                f"{container} stays paused, although it was resumed. Restart the engine, then run: labenv up"
            )
        time.sleep(_POLL)
        frozen_first = found["Id"]


def _runs_again(engine: "Engine", container: str, frozen_first: str) -> bool:
    """Have the engine resume a machine, after its processes are stopped if its id is given; whether something can be run in it."""
    with _let_go(engine, container):
        if frozen_first:
            cgroups.freeze(engine, frozen_first, on=True)
        try:
            engine.api.unpause(container)
        except docker.errors.APIError:  # it is not paused, or not frozen
            if frozen_first:  # the engine has learnt meanwhile that it runs
                cgroups.freeze(engine, frozen_first, on=False)
        return _runs(engine, container)


def _runs(engine: "Engine", container: str) -> bool:
    api = engine.api
    try:
        process = api.exec_create(container, ["true"])
        api.exec_start(process, detach=True)
        deadline = time.monotonic() + _PATIENCE  # a student may have replaced even that program
        while api.exec_inspect(process)["Running"] and time.monotonic() < deadline:
            time.sleep(_POLL)
    except docker.errors.APIError:
        return False
    return True


@contextmanager
def _let_go(engine: "Engine", container: str) -> Iterator[None]:
    """What is asked of the engine meanwhile may wait for a process that froze: let it go if that takes too long."""
    waiting = threading.Timer(_STUCK, _thaw, (engine, container))
    waiting.daemon = True
    waiting.start()
    try:
        yield
    finally:
        waiting.cancel()


def _thaw(engine: "Engine", container: str) -> None:
    with suppress(docker.errors.DockerException, requests.RequestException):
        # The list comes from the engine's memory; a look at the machine itself would wait with everything else.
        for found in engine.api.containers(filters={"name": f"^/{container}$"}):
            cgroups.freeze(engine, found["Id"], on=False)
