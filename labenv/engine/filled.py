"""Volumes that an engine fills with a folder of an image: for all machines of the engine, and read-only in each."""

import time
from collections.abc import Callable
from contextlib import suppress

import docker.errors

from labenv.engine import Engine
from labenv.engine.errors import refusals

_PATIENCE = 10  # seconds for another command to fill the volume; it takes less than one


def bind(engine: Engine, volume: str, tag: str, place: str, ensure: Callable[[], object]) -> str:
    """The volume with what an image has at a place, as a bind of a machine at the same place.

    If the engine does not have it, the image is brought by `ensure`, and the volume filled. Raises EngineError.
    """
    deadline = time.monotonic() + _PATIENCE
    with refusals(f"filling the volume {volume}"):
        while not _is_filled(engine, volume):
            ensure()
            try:
                _fill(engine, volume, tag, place)
            except docker.errors.APIError as error:
                if error.status_code != 409:  # 409: another command is filling it, or died while it did
                    _drop(engine, volume)  # such as on a full disk: half filled, it would pass for filled
                    raise
                if time.monotonic() > deadline:
                    engine.api.remove_container(volume, force=True)
                    _drop(engine, volume)
                time.sleep(0.1)
    return f"{volume}:{place}:ro"


def _drop(engine: Engine, volume: str) -> None:
    with suppress(docker.errors.APIError):  # a machine uses it: then it was filled before
        engine.api.remove_volume(volume)


def _is_filled(engine: Engine, volume: str) -> bool:
    """Whether the volume is there, and the container that fills it, which has its name, is gone."""
    there = engine.api.volumes(filters={"name": volume})["Volumes"]
    return bool(there) and not engine.api.containers(all=True, filters={"name": f"^/?{volume}$"})


def _fill(engine: Engine, volume: str, tag: str, place: str) -> None:
    """An engine copies what an image has at a place into an empty volume there: at the latest when the container starts."""
    settings = engine.settings(binds=[f"{volume}:{place}"], network_mode="none")
    with engine.helper(tag, name=volume, entrypoint=["true"], command=[], host_config=settings) as helper:
        engine.api.start(helper)
        engine.api.wait(helper)
