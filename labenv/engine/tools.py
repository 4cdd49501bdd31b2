"""What labenv's own commands in a machine stand on: a shell and a few small programs of labenv's own (images/tools).

They lie in one volume for all machines of the engine, read-only in each. A student is root there, but may neither unmount it nor
move its place, which lies directly below /. They need no library, so /etc/ld.so.preload does not reach them.
"""

import time
from contextlib import suppress

import docker.errors

from labenv.engine import Engine
from labenv.engine.errors import refusals
from labenv.engine.image_sources import TOOLS, TOOLS_VOLUME, wanted
from labenv.engine.images import Images
from labenv.engine.stream import TOOLS as PLACE
from labenv.events import Listener

_PATIENCE = 10  # seconds for another command to fill the volume; it takes less than one


def bind(engine: Engine, listen: Listener) -> str:
    """The volume with the tools as a bind of a machine; it is filled first if the engine does not have it. Raises EngineError."""
    tag = wanted()[TOOLS].tag
    volume = f"{TOOLS_VOLUME}{tag.rpartition(':')[2]}"
    deadline = time.monotonic() + _PATIENCE
    with refusals("filling the volume of labenv's tools"):
        while not _is_filled(engine, volume):
            Images(engine).ensure([TOOLS], listen)
            try:
                _fill(engine, volume, tag)
            except docker.errors.APIError as error:
                if error.status_code != 409:  # 409: another command is filling it, or died while it did
                    _drop(engine, volume)  # such as on a full disk: half filled, it would pass for filled
                    raise
                if time.monotonic() > deadline:
                    engine.api.remove_container(volume, force=True)
                    _drop(engine, volume)
                time.sleep(0.1)
    return f"{volume}:{PLACE}:ro"


def _drop(engine: Engine, volume: str) -> None:
    with suppress(docker.errors.APIError):  # a machine uses it: then it was filled before
        engine.api.remove_volume(volume)


def _is_filled(engine: Engine, volume: str) -> bool:
    """Whether the volume is there, and the container that fills it, which has its name, is gone."""
    there = engine.api.volumes(filters={"name": volume})["Volumes"]
    return bool(there) and not engine.api.containers(all=True, filters={"name": f"^/?{volume}$"})


def _fill(engine: Engine, volume: str, tag: str) -> None:
    """An engine copies what an image has at a place into an empty volume there: at the latest when the container starts."""
    settings = engine.settings(binds=[f"{volume}:{PLACE}"], network_mode="none")
    with engine.helper(tag, name=volume, host_config=settings) as helper:
        engine.api.start(helper)
        engine.api.wait(helper)
