"""A bundle: the images in one file, for a computer without a network.

It is the output of `docker save`, gzipped, so `docker load` can read it without labenv too.
"""

import contextlib
import gzip
import os
import re
from dataclasses import replace
from pathlib import Path
from secrets import token_hex

from labenv.engine import Engine, debian, image_file, own_image
from labenv.engine.errors import refusals
from labenv.engine.image_file import ImageFile, Packed
from labenv.engine.image_sources import Image, usual, wanted
from labenv.engine.images import Images
from labenv.engine.labels import FIREWALL
from labenv.errors import UsageError
from labenv.events import Listener, announced, counting
from labenv.plain_tar import Unreadable

_LEVEL = 4  # of gzip: the next levels take twice the time for a twentieth of the size
_BLOCK = 1 << 20
_TAG = re.compile(r"labenv/[a-z0-9-]+:[\w.-]{1,40}", re.ASCII)
# What the Dockerfiles of images/ set, and what engines write for them.
_SETTINGS = {"Env", "Cmd", "Entrypoint", "WorkingDir", "StopSignal", "Labels", "Image", "Hostname"}
_LABELS = {debian.LABEL, debian.LAB, debian.BUILD, FIREWALL, "io.buildah.version"}


def export(images: Images, wished: list[Image], file: Path, listen: Listener) -> int:
    """Write these images, in their current versions, to `file` without building any, and return its size in bytes.

    Raises UsageError if one is missing or the file cannot be written; then an existing file stays as it was.
    """
    if missing := images.lacking(wished):
        names = [image.name for image in missing]
        own = next((f"--lab {image.lab} " for image in missing if image.lab), "")
        raise UsageError(f"Not built yet: {', '.join(names)}. Build first: labenv images build {own}{' '.join(names)}")
    with announced(listen, "export", f"writing {file}"):
        return pack(images.engine, [image.tag for image in wished], file, listen)


def pack(
    engine: Engine, tags: list[str], file: Path, listen: Listener, level: int = _LEVEL, *, before: bytes = b""
) -> int:
    """Write images to `file`, gzipped, and return its size in bytes; `before` are members of a tar archive that come first.

    Raises UsageError if the file cannot be written, EngineError; then an existing file stays as it was.
    """
    part = file.with_name(file.name + ".part")
    count = counting(listen, "export")
    try:
        part.unlink(missing_ok=True)
        with (
            refusals("exporting the images"),
            open(part, "xb", opener=_private) as raw,
            gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=level, mtime=0) as packed,
        ):
            packed.write(before)
            for block in engine.save(tags, _BLOCK):
                packed.write(block)
                count(len(block))
        os.replace(part, file)
    except OSError as error:
        raise UsageError(
            f"{file} cannot be written: {error.strerror}. Choose another place or free some space."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return file.stat().st_size


def _private(path: str, flags: int) -> int:
    """A new file for its owner alone: a save contains the machines' password hashes. No link is followed."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def load(images: Images, file: Path, listen: Listener) -> list[str]:
    """Load a bundle and return its tags, in order.

    The whole file is verified before the engine gets it. Raises UsageError if it is damaged, is not a bundle, or holds
    anything but images of this version of labenv for this processor; then nothing is loaded.
    """
    with announced(listen, "import", f"checking {file}"):
        given = _examined(images, file, listen)
    with announced(listen, "import", f"loading {len(given.images)} images"):
        tags = {image.digest: (_temporary(image.tags[0]), image.tags[0]) for image in given.images}
        image_file.load(images.engine, given, tags, listen)
    there = [image.tags[0] for image in given.images]
    return [tag for tag in own_image.current() if tag in there]  # a file has them in any order


def _temporary(tag: str) -> str:
    """Where it is left behind, `labenv images remove --old` removes it."""
    return f"{tag.split(':', maxsplit=1)[0]}:incoming-{token_hex(4)}"


def _examined(images: Images, file: Path, listen: Listener) -> ImageFile:
    try:
        given = image_file.verified(file, listen=listen)
        given = replace(given, images=tuple(_named(image) for image in given.images))
    except FileNotFoundError as error:
        raise UsageError(f"There is no file {file}.") from error
    except (OSError, Unreadable) as error:
        raise UsageError(f"{file} is not a complete labenv bundle ({error}). Copy it or export it again.") from error
    tags = [image.tags[0] for image in given.images]
    lacking: list[Image] = [wanted()[name] for name in usual() if wanted()[name].tag not in tags]
    if lacking:
        raise UsageError(
            f"{file} was made by another version of labenv: it does not contain {', '.join(image.tag for image in lacking)}. "
            f"Export it with the version of labenv that you use here."
        )
    if strange := sorted(set(tags) - own_image.current().keys()):
        raise UsageError(
            f"{file} contains {strange[0]}, which is not an image of this version of labenv. Export it again: labenv images "
            f"export FILE"
        )
    here = images.engine.architecture
    if processors := given.foreign(here):
        raise UsageError(
            f"{file} is for {processors} processors, but this engine runs on {here}. Export one on a {here} computer."
        )
    return given


def _named(image: Packed) -> Packed:
    """The image with its one tag as labenv writes it. Raises Unreadable unless it can be an image of labenv."""
    tags = [tag.removeprefix("localhost/") for tag in image.tags]
    if len(tags) != 1 or not _TAG.fullmatch(tags[0]):
        raise Unreadable(f"it contains {', '.join(tags)[:80]!a}, which is not an image of labenv")
    if set(image.settings) - _SETTINGS:
        raise Unreadable(
            f"{tags[0]} sets {', '.join(sorted(set(image.settings) - _SETTINGS))}, which no image of labenv does"
        )
    name = tags[0].removeprefix("labenv/").split(":")[0]
    if image.labels.get(debian.LABEL) != name or set(image.labels) - _LABELS:
        raise Unreadable(f"{tags[0]} has labels that no image of labenv has")
    return replace(image, tags=(tags[0],))
