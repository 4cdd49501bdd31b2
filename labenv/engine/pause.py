"""Pausing a machine, and resuming it.

An engine learns late of what it has done: for a moment after a machine resumes, it may say that it is paused (again), and
refuse to run anything in it. But it learns of everything in order (moby: daemon/monitor.go, one queue for each container):
once it knows of the end of a process that was started later, it knows of everything before.

If a process was just being started in the machine (`docker exec`), runc may freeze itself with it. The engine then waits for
that start with everything else about the machine, also with resuming it, so the processes are let go without the engine.
"""

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import docker.errors
import requests

from labenv.engine import cgroups
from labenv.errors import EngineError

if TYPE_CHECKING:
    from labenv.engine import Engine

_TRIES = 3  # runc gives up where processes come and go faster than it freezes them
_PATIENCE = 30.0
_STUCK = 5.0  # seconds; a busy engine takes one
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
    waiting = threading.Timer(_STUCK, _thaw, (engine, container))
    waiting.daemon = True
    waiting.start()
    try:
        _go_on(engine, container)
    finally:
        waiting.cancel()


def _thaw(engine: "Engine", container: str) -> None:
    with suppress(docker.errors.DockerException, requests.RequestException):
        # The list comes from the engine's memory; a look at the machine itself would wait with everything else.
        for found in engine.api.containers(filters={"name": f"^/{container}$"}):
            cgroups.thaw(engine, found["Id"])


def _go_on(engine: "Engine", container: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not _runs(engine, container):
        if not engine.api.inspect_container(container)["State"]["Paused"]:
            return  # nothing can be run in it for another reason
        if time.monotonic() > deadline:
            raise EngineError(
                f"{container} stays paused, although it was resumed. Restart the engine, then run: labenv up"
            )
        time.sleep(_POLL)


def _runs(engine: "Engine", container: str) -> bool:
    api = engine.api
    with suppress(docker.errors.APIError):  # it is not paused
        api.unpause(container)
    try:
        process = api.exec_create(container, ["true"])
        api.exec_start(process, detach=True)
        deadline = time.monotonic() + _PATIENCE  # a student may have replaced even that program
        while api.exec_inspect(process)["Running"] and time.monotonic() < deadline:
            time.sleep(_POLL)
    except docker.errors.APIError:
        return False
    return True
