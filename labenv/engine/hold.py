"""A lock that the engine itself keeps, for commands from several computers.

A container's name exists once, so whoever makes the container has the lock. It runs cat(1) on the holder's connection: with
that its input ends (Engine API, StdinOnce), and the engine removes it (AutoRemove). So the lock goes with its holder, however
that ends.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, cast

import docker.errors

from labenv.engine import Engine
from labenv.engine.errors import refusals

_HOLDER: Final = "labenv.holder"
_STARTING: Final = 30.0  # seconds after which a lock that was made and not started has lost its holder
_POLL: Final = 0.2
# Its input does not end if the holder's computer is cut off: a server of ssh notices that after hours (TCP keep-alive). Nothing that
# is done under a lock takes that long.
_HOLD: Final = ["timeout", "1800", "cat"]
_IMAGES: Final = ["labenv/machine", "labenv/base"]  # the second is all that an older labenv has built


@contextmanager
def held(engine: Engine, name: str, holder: str, wait: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock `name` of an engine for `holder` during the block; until then `wait` is told again and again who has it.

    An engine without an image of labenv's has no environment yet, and keeps no lock. Raises EngineError, and what `wait` raises.
    """
    with refusals(f"taking the lock {name}"):
        images = engine.api.images(filters={"reference": _IMAGES}, quiet=True)
    if not images:
        yield
        return
    with refusals(f"taking the lock {name}"):
        container = _made(engine, name, images[0], holder, wait)
        owner = cast(Any, engine.api.attach_socket(container, {"stdin": 1, "stream": 1}))
        engine.api.start(container)
    try:
        yield
    finally:
        with suppress(docker.errors.APIError):  # the engine may be removing it already
            engine.api.remove_container(container, force=True)
        owner.close()


def _made(engine: Engine, name: str, image: str, holder: str, wait: Callable[[str], None]) -> str:
    settings = engine.settings(auto_remove=True, network_mode="none")
    since: dict[str, float] = {}
    while True:
        try:
            made = engine.api.create_container(
                image, _HOLD, name=name, stdin_open=True, labels={_HOLDER: holder}, host_config=settings
            )
            return str(made["Id"])
        except docker.errors.APIError as error:
            if error.status_code != 409:
                raise
        with suppress(docker.errors.NotFound):  # it has just been let go
            there = engine.api.inspect_container(name)
            begun = since.setdefault(there["Id"], time.monotonic())
            if there["State"]["Status"] == "created" and time.monotonic() - begun > _STARTING:
                engine.api.remove_container(there["Id"], force=True)
            wait(there["Config"]["Labels"].get(_HOLDER, "another labenv"))
            time.sleep(_POLL)
