"""A bundle: the images in one file, for a computer without a network.

It is the output of `docker save`, gzipped, so `docker load` can read it without labenv too.
"""

import contextlib
import gzip
import json
import os
import tarfile
import zlib
from pathlib import Path
from typing import Any

import docker.errors

from labenv.engine import Engine, refusals
from labenv.engine.images import Image, Images, usual, wanted
from labenv.errors import UsageError
from labenv.events import Event, Listener, announced

_LEVEL = 4  # of gzip: the next levels take twice the time for a twentieth of the size
_BLOCK = 1 << 20


def export(images: Images, names: list[str], file: Path, listen: Listener) -> int:
    """Write these images, in their current versions, to `file` without building any, and return its size in bytes.

    Raises UsageError if one is missing or the file cannot be written; then an existing file stays as it was.
    """
    missing = [image.name for image in images.missing(names)]
    if missing:
        raise UsageError(f"Not built yet: {', '.join(missing)}. Build first: labenv images build {' '.join(missing)}")
    with announced(listen, "export", f"writing {file}"):
        return pack(images.engine, [wanted()[name].tag for name in names], file)


def pack(engine: Engine, tags: list[str], file: Path, level: int = _LEVEL, *, before: bytes = b"") -> int:
    """Write images to `file`, gzipped, and return its size in bytes; `before` are members of a tar archive that come first.

    Raises UsageError if the file cannot be written, EngineError; then an existing file stays as it was.
    """
    part = file.with_name(file.name + ".part")
    try:
        with (
            refusals("exporting the images"),
            part.open("wb") as raw,
            gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=level, mtime=0) as packed,
        ):
            packed.write(before)
            for block in engine.save(tags, _BLOCK):
                packed.write(block)
        os.replace(part, file)
    except OSError as error:
        raise UsageError(
            f"{file} cannot be written: {error.strerror}. Choose another place or free some space."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return file.stat().st_size


def load(images: Images, file: Path, listen: Listener) -> list[str]:
    """Load a bundle and return its tags, in order.

    The whole file is read before the engine gets it. Raises UsageError if it is damaged, is not a bundle, or holds images of
    another version of labenv or for another processor; then nothing is loaded.
    """
    with announced(listen, "import", f"checking {file}"):
        tags = _examined(images, file)
    with announced(listen, "import", f"loading {len(tags)} images"):
        feed(images.engine, file, listen)
    return tags


def feed(engine: Engine, file: Path, listen: Listener) -> None:
    """Load a file of images into the engine. Raises EngineError."""
    with refusals(f"loading {file}"), file.open("rb") as raw:
        for line in engine.api.load_image(raw) or []:
            if "error" in line:  # part of an answer that began as a success; the SDK takes it for one
                raise docker.errors.APIError(line["error"])
            if text := str(line.get("stream", "")).strip():
                listen(Event("import", text))


def _examined(images: Images, file: Path) -> list[str]:
    try:
        with gzip.open(file, "rb") as packed:
            manifest, processors = _contents(packed)
    except FileNotFoundError as error:
        raise UsageError(f"There is no file {file}.") from error
    except (OSError, EOFError, zlib.error, tarfile.TarError, ValueError, LookupError, TypeError) as error:
        raise UsageError(f"{file} is not a complete labenv bundle ({error}). Copy it or export it again.") from error
    tags = [tag for entry in manifest for tag in entry["RepoTags"] or []]
    lacking: list[Image] = [wanted()[name] for name in usual() if wanted()[name].tag not in tags]
    if lacking:
        raise UsageError(
            f"{file} was made by another version of labenv: it does not contain {', '.join(image.tag for image in lacking)}. "
            f"Export it with the version of labenv that you use here."
        )
    here = images.engine.architecture
    if processors != {here}:
        raise UsageError(
            f"{file} is for {', '.join(sorted(processors))} processors, but this engine runs on {here}. Export one on a {here} computer."
        )
    return [image.tag for image in wanted().values() if image.tag in tags]  # the engine writes them in any order


def _contents(packed: gzip.GzipFile) -> tuple[list[dict[str, Any]], set[str]]:
    manifest: list[dict[str, Any]] = []
    documents: dict[str, dict[str, Any]] = {}
    with tarfile.open(fileobj=packed, mode="r|") as archive:
        for member in archive:
            if member.isfile() and member.size < _BLOCK:
                content = archive.extractfile(member)
                with contextlib.suppress(ValueError):
                    document: Any = json.load(content) if content else None
                    if member.name == "manifest.json":
                        manifest = document
                    elif isinstance(document, dict):
                        documents[member.name] = document
    while packed.read(_BLOCK):  # the checksum is at the very end
        pass
    if not manifest:
        raise ValueError("it has no manifest.json")
    return manifest, {documents[entry["Config"]]["architecture"] for entry in manifest}
