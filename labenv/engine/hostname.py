"""The host name that a machine is to have from its next boot on.

The kernel lets no program in a container change it, so a machine writes the wish into a file (images/base, setup), and whatever
makes the machine again makes it under that name.
"""

import re
from contextlib import suppress

import docker.errors

from labenv.engine import Engine, container_file
from labenv.engine.errors import refusals
from labenv.text import decoded

# hostname(7), as engines take it.
VALID = re.compile(r"(?=.{1,63}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")

_WISH = "/var/lib/labenv/files/hostname"
_MOST = 4096  # bytes; as an archive, which one block of 512 and an end make of a short file


def wished(engine: Engine, container: str) -> str | None:
    """The name that a machine has asked for, None if for none or for one that is not valid. Raises EngineError.

    It may have it by now.
    """
    with refusals(f"reading {container}'s host name"), suppress(docker.errors.NotFound):
        name = decoded(container_file.content(engine, container, _WISH, _MOST) or b"", keep="\n").strip()
        return name if VALID.fullmatch(name) else None
    return None


def current(engine: Engine, container: str) -> str:
    """The name that a machine has. Raises EngineError."""
    with refusals(f"asking for {container}'s host name"):
        return str(engine.api.inspect_container(container)["Config"]["Hostname"])
