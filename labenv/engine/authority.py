"""The authority that the machines of an environment trust, with the one certificate that it has signed.

It is made with the base image, so each build of that image brings another. A machine that joins others takes over theirs.
"""

from collections.abc import Iterable

import docker.errors

from labenv.engine import Engine, container_file
from labenv.engine.errors import refusals
from labenv.lab.overlay import Item

_FOLDER = "/etc/pki/labenv"
_TOP = _FOLDER.rpartition("/")[2]  # the folder, as an archive of it has it
# Each file of images/machine, /usr/lib/labenv/authority, with its mode.
_FILES = {"ca.crt": 0o644, "outside.crt": 0o644, "outside.key": 0o600}
_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
_MOST = 1 << 15  # bytes of the folder, packed; a file has less than one kilobyte


def taken_over(engine: Engine, containers: Iterable[str]) -> list[Item]:
    """The files of the authority as the first of these machines has them that is there, for the overlay of another.

    Empty if no machine is there, or if it has not all of them. Raises EngineError.
    """
    with refusals("reading the certificates of a machine"):
        for container in containers:
            try:
                read = container_file.contents(engine, container, _FOLDER, _MOST)
            except docker.errors.NotFound:
                continue
            found = {name: content for name in _FILES if (content := read.get(f"{_TOP}/{name}"))}
            if len(found) < len(_FILES):
                return []
            items = [Item(f"{_FOLDER}/{name}", content, _FILES[name]) for name, content in found.items()]
            return [*items, Item(_BUNDLE, found["ca.crt"], 0o644)]
    return []
