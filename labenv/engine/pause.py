"""Pausing a machine, and resuming it.

An engine learns late of what it has done: for a moment after a machine resumes, it may say that it is paused (again), and
refuse to run anything in it. But it learns of everything in order (moby: daemon/monitor.go, one queue for each container):
once it knows of the end of a process that was started later, it knows of everything before.
"""

import time
from contextlib import suppress
from typing import Any

import docker.errors

from labenv.errors import EngineError

_TRIES = 3  # runc gives up where processes come and go faster than it freezes them
_PATIENCE = 30.0
_POLL = 0.01


def hold(api: Any, container: str) -> bool:
    """Pause a running machine; False where that is not possible (rootless on cgroup v1)."""
    for _ in range(_TRIES):
        with suppress(docker.errors.APIError):
            api.pause(container)
            return True
    return False


def go_on(api: Any, container: str) -> None:
    """Resume a machine; return when it runs and the engine says so. Raises EngineError if it stays paused."""
    deadline = time.monotonic() + _PATIENCE
    while not _runs(api, container):
        if not api.inspect_container(container)["State"]["Paused"]:
            return  # nothing can be run in it for another reason
        if time.monotonic() > deadline:
            raise EngineError(
                f"{container} stays paused, although it was resumed. Restart the engine, then run: labenv up"
            )
        time.sleep(_POLL)


def _runs(api: Any, container: str) -> bool:
    with suppress(docker.errors.APIError):  # it is not paused
        api.unpause(container)
    try:
        process = api.exec_create(container, ["true"])
        api.exec_start(process)
        while api.exec_inspect(process)["Running"]:
            time.sleep(_POLL)
    except docker.errors.APIError:
        return False
    return True
