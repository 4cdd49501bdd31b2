"""Which packages an image contains, in which versions: what two teachers compare who built it on different days.

An image's own record is dpkg's (dpkg(1), /var/lib/dpkg/status), so no label can say anything else, and images that an earlier
labenv built have it as well. It is read through a container that never starts.
"""

import hashlib
import re
from collections.abc import Iterator
from secrets import token_hex
from typing import cast

import docker.errors

from labenv.engine import Engine, container_file
from labenv.engine.errors import refusals
from labenv.errors import EngineError
from labenv.text import decoded

_STATUS = "/var/lib/dpkg/status"
# Packages of which an image has only some files, so that dpkg does not know them: "NAME VERSION" in each line.
_PARTS = "/usr/share/labenv/parts"
_MOST = 32 << 20
_ENTRY = re.compile(r"^(Package|Status|Version): *(.*)$", re.MULTILINE)
_UNFIT = re.compile(r"[^!-~]")


def installed(engine: Engine, image: str) -> dict[str, str]:
    """The version of each package in the image, by name, in order. Raises EngineError, also if the image has no record."""
    name = f"labenv-packages-{token_hex(4)}"
    with (
        refusals(f"reading the packages of {image}"),
        engine.helper(image, command=["none"], name=name) as container,
    ):
        try:
            status = _file(engine, container, _STATUS)
            try:
                parts = _file(engine, container, _PARTS)
            except docker.errors.NotFound:
                parts = ""
        except docker.errors.NotFound as error:
            raise EngineError(f"{image} has no list of its packages ({_STATUS}). Build it again.") from error
    found = [*_stanzas(status), *_lines(parts)]
    return {_UNFIT.sub("?", name): _UNFIT.sub("?", version) for name, version in sorted(found)}


def digest(packages: dict[str, str]) -> str:
    """A short value that two images share exactly if they have the same packages in the same versions."""
    return hashlib.sha256("".join(f"{name} {packages[name]}\n" for name in sorted(packages)).encode()).hexdigest()[:12]


def _stanzas(status: str) -> Iterator[tuple[str, str]]:
    for stanza in status.split("\n\n"):
        fields = dict(cast(list[tuple[str, str]], _ENTRY.findall(stanza)))
        if fields.get("Status", "").endswith(" installed") and "Package" in fields:
            yield fields["Package"], fields.get("Version", "")


def _lines(parts: str) -> Iterator[tuple[str, str]]:
    for line in parts.splitlines():
        name, _, version = line.partition(" ")
        yield name, version


def _file(engine: Engine, container: str, path: str) -> str:
    content = container_file.content(engine, container, path, _MOST)
    if content is None:
        raise EngineError(f"{path} in the image is not a file of at most {_MOST >> 20} MB. Build the image again.")
    return decoded(content, keep="\n")
