"""What labenv's own commands in a machine stand on: a shell and a few small programs of labenv's own (images/tools).

They lie in one volume for all machines of the engine, read-only in each. A student is root there, but may neither unmount it nor
move its place, which lies directly below /. They need no library, so /etc/ld.so.preload does not reach them.
"""

from labenv.engine import Engine, filled
from labenv.engine.image_sources import TOOLS, TOOLS_VOLUME, wanted
from labenv.engine.images import Images
from labenv.engine.stream import TOOLS as PLACE
from labenv.events import Listener


def bind(engine: Engine, listen: Listener) -> str:
    """The volume with the tools as a bind of a machine; it is filled first if the engine does not have it. Raises EngineError."""
    tag = wanted()[TOOLS].tag
    volume = f"{TOOLS_VOLUME}{tag.rpartition(':')[2]}"
    return filled.bind(engine, volume, tag, PLACE, lambda: Images(engine).ensure([TOOLS], listen))
