"""Files of a container, read through the engine: so its programs have no say, and it need not run."""

import io
from contextlib import suppress

from labenv import plain_tar
from labenv.engine import Engine


def content(engine: Engine, container: str, path: str, most: int) -> bytes | None:
    """What is in the file; None for what is no file, or takes more than `most` bytes as an archive.

    Raises docker.errors.NotFound if there is no such path, and what else the engine answers.
    """
    return next(iter(contents(engine, container, path, most).values()), None)


def contents(engine: Engine, container: str, path: str, most: int) -> dict[str, bytes]:
    """What is in the files below the folder, or in the one that it is, by their names in an archive; those in its first `most` bytes.

    For several it is cheaper than `content`: the engine starts a process for each answer. Raises as `content` does.
    """
    stream, _ = engine.api.get_archive(container, path)
    packed = bytearray()
    for piece in stream:
        packed += piece
        if len(packed) > most:
            break
    stream.close()
    found: dict[str, bytes] = {}
    with suppress(plain_tar.Unreadable):
        for member, pieces in plain_tar.members(io.BytesIO(packed), notes=True):
            if member.kind == "file":
                found[member.name] = b"".join(pieces)
    return found
