"""Holding a machine still, and letting it go on.

An engine hears late of what it has done: for a moment after a machine goes on it may say that it is paused (again), and
refuse to run anything in it. It hears of everything in order, though (moby: daemon/monitor.go, one queue a container):
once it knows of the end of a process that was started later, it knows of all that was before.
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
    """Pause a running machine; False where that cannot be had (rootless on cgroup v1)."""
    for _ in range(_TRIES):
        with suppress(docker.errors.APIError):
            api.pause(container)
            return True
    return False


def go_on(api: Any, container: str) -> None:
    """Let a machine go on; return when it does, and the engine says so. Raises EngineError if it stays paused."""
    deadline = time.monotonic() + _PATIENCE
    while not _runs(api, container):
        if not api.inspect_container(container)["State"]["Paused"]:
            return  # it is another reason why nothing can be run in it
        if time.monotonic() > deadline:
            raise EngineError(
                f"{container} stays paused though it was told to go on. Start the engine again, and then: labenv up"
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
