"""What the classes of a swarm want of it: where copies go besides the manager's disk, and how often they are pushed."""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from labenv import places
from labenv.errors import EngineError
from labenv.swarm import setup

EVERY = 300.0  # seconds between two pushes of an environment, unless a class wants another time


@dataclass(frozen=True)
class Wish:
    """What a class wants: copies also at a URL ("" for nowhere else), with the settings of fsspec in a file, every so many seconds."""

    url: str = ""
    settings: str = ""
    every: float = EVERY


def everything() -> dict[str, Wish]:
    """The wishes, by the class's id."""
    found = {}
    with suppress(OSError, ValueError, AttributeError):
        for class_id, told in json.loads(_file().read_text(encoding="utf-8")).items():
            with suppress(TypeError):  # another version of labenv wrote it
                found[class_id] = Wish(**told)
    return found


def keep(class_id: str, wish: Wish | None) -> None:
    """Keep what a class wants, or with None forget it. Raises EngineError if it cannot be written."""
    try:
        with setup.alone():
            told = {other: asdict(each) for other, each in everything().items() if other != class_id}
            told |= {class_id: asdict(wish)} if wish else {}
            setup.private(_file(), json.dumps(told).encode())
    except OSError as error:
        raise EngineError(f"{_file()} cannot be written: {error.strerror}. {places.way_out(_file())}") from error


def _file() -> Path:
    return setup.folder() / "wishes.json"
