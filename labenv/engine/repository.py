"""The packages that yum finds in a machine which a student takes along to a lab whose image of it is another one.

The machine goes on standing on the image of the earlier lab. So it gets the repository of the new one's as a volume.
"""

from collections.abc import Mapping

from labenv.engine import Engine, debian, filled
from labenv.engine.errors import refusals
from labenv.engine.image_sources import REPOSITORY, REPOSITORY_VOLUME, Image, title
from labenv.engine.images import Images
from labenv.errors import EngineError
from labenv.events import Event, Listener


def bind(engine: Engine, known: Mapping[str, Image], wanted: Image, copied: str, listen: Listener) -> tuple[str, ...]:
    """The bind of a machine that is made from the image `copied`, where another one, of those `known`, is wanted; empty where it stands on that.

    An image that cannot be had is no error: the user is told what that means. Raises EngineError if the engine does not answer.
    """
    with refusals("looking at an image"):
        stands_on = (engine.api.inspect_image(copied)["Config"]["Labels"] or {}).get(debian.LABEL, "")
    if stands_on == (title(wanted.tag) if wanted.lab else wanted.name):
        return ()
    volume = f"{REPOSITORY_VOLUME}{wanted.tag.rpartition(':')[2]}"
    try:
        return (
            filled.bind(
                engine, volume, wanted.tag, REPOSITORY, lambda: Images(engine, known).ensure([wanted.name], listen)
            ),
        )
    except EngineError as error:
        text = f"yum finds only the packages of earlier labs in a machine, because the image {wanted.name} cannot be had. {error}"
        listen(Event("packages", text, "warn"))
        return ()
