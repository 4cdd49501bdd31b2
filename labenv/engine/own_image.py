"""The image with labenv itself, for what runs labenv on an engine as a container: `python3 -m labenv` against the engine's socket.

It stands on `python`, which has Debian's Python and the packages that labenv needs; those change seldom, so a new state of labenv is
one small layer. Its tag is a hash over all of labenv's files. To read them takes longer than most commands may, so this image is not
among those that are `wanted`, and only who asks for it finds out its tag.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from labenv import resources
from labenv.engine import image_sources, wheels
from labenv.engine.image_sources import OWN, Image
from labenv.events import Listener

PACKAGES = "python"  # the image that it stands on, whose folder has the list of packages
_LIST = "requirements.txt"
_VERSION = "labenv/_version.py"  # each commit has another, and nothing depends on it


@cache
def own() -> Image:
    """The image with labenv as it runs now. Raises EngineError for files that a machine could not read."""
    folder = resources.images() / OWN
    below = image_sources.wanted()[PACKAGES]
    counted = {name: path for name, path in _files().items() if name != _VERSION}
    return Image(OWN, below, f"labenv/{OWN}:{image_sources.digest(folder, below.tag, counted)}", folder)


def known(others: Mapping[str, Image] | None = None) -> Mapping[str, Image]:
    """The images that a command can name: labenv's, or the `others` given, and the one with labenv itself."""
    named = image_sources.wanted() if others is None else others
    return named if OWN in named else {**named, OWN: own()}


def current() -> Mapping[str, Image]:
    """As `image_sources.current`, with the image with labenv itself."""
    return {**image_sources.current(), own().tag: own()}


@contextmanager
def beside(image: Image, architecture: str, listen: Listener) -> Iterator[Mapping[str, Path]]:
    """What an image is built from beside its folder, by its place there: labenv's files or its packages, and nothing for most.

    Raises EngineError if the packages cannot be had.
    """
    if image.lab or image.name not in (OWN, PACKAGES):
        yield {}
    elif image.name == OWN:
        yield _files()
    else:
        with wheels.unpacked(image.folder / _LIST, architecture, f"image {image.name}", listen) as folder:
            yield {f"packages/{name}": path for name, path in image_sources.files(folder).items()}


def _files() -> dict[str, Path]:
    """labenv's own files as a wheel has them, whether it runs from one or from a checkout."""
    parts = {
        "labenv": resources.package(),
        "labenv/_data/images": resources.images(),
        "labenv/_data/compose": resources.topologies(),
    }
    found = {f"{place}/{name}": path for place, of in parts.items() for name, path in image_sources.files(of).items()}
    return dict(sorted(found.items()))
