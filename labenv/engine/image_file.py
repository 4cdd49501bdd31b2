"""A file of images, as `docker save` writes it, from somebody else: verified, then written again for the engine.

An engine and a check may read one file differently: two members of one name, a link, a name in another form. So the engine
never gets the file itself. It gets a new archive that labenv writes, with the verified contents alone, under a temporary
tag; the image's real name is set once the engine has what was verified. Configurations and layers are named by their SHA-256
(OCI image specification), so nothing else of the file is needed.
"""

import hashlib
import json
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import docker.errors

from labenv import plain_tar
from labenv.engine import Engine
from labenv.engine.errors import refusals
from labenv.engine.layer import Headers, is_gzip, is_tar, unzipped
from labenv.errors import EngineError
from labenv.events import Event, Listener, counting, silent
from labenv.plain_tar import Unreadable
from labenv.text import shown

# docs/teacher.md says them. The images of the course with the desktop unpack to about 1 GB; each machine adds what it changed.
LARGEST_WHOLE = 4_000_000_000
_LARGEST_DOCUMENT = 1_000_000
_LARGEST_DOCUMENTS = 32_000_000
_MOST_MEMBERS = 2_000
_MOST_IMAGES = 20
MOST_HEADERS = 500_000  # in layers: an empty file takes a block of the disk too

_HEX = r"[0-9a-f]{64}"
_NAME = re.compile(r"[\w.-]+(/[\w.-]+)*", re.ASCII)
# A layer that two images share. Docker before 25 and Podman write it like this.
_LINK = re.compile(rf"{_HEX}/layer\.tar")
_TARGET = re.compile(rf"\.\./({_HEX}(?:/layer)?\.tar)")
_BLOB = re.compile(rf"(?:blobs/sha256/)?({_HEX})(?:\.json)?")
_MANIFESTS = ("image.index.v1+json", "image.manifest.v1+json", "manifest.list.v2+json", "manifest.v2+json")
_ALWAYS = {"manifest.json", "repositories", "oci-layout", "index.json", "blobs", "blobs/sha256"}


@dataclass(frozen=True)
class Packed:
    """An image in a file: its tags, its configuration as it stands there and what that says, and its layers' members."""

    tags: tuple[str, ...]
    raw: bytes
    config: dict[str, Any]
    layers: tuple[str, ...]

    @property
    def digest(self) -> str:
        """The SHA-256 of its configuration: the image's id, on most engines."""
        return hashlib.sha256(self.raw).hexdigest()

    @property
    def settings(self) -> dict[str, Any]:
        """What it sets for containers made from it, without what is empty."""
        return {key: value for key, value in (self.config["config"] or {}).items() if value}

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        return dict(self.settings.get("Labels", {}))


@dataclass(frozen=True)
class ImageFile:
    """A file whose every member was verified; `digests` are the members' SHA-256, `sizes` their bytes."""

    path: Path
    images: tuple[Packed, ...]
    digests: Mapping[str, str]
    sizes: Mapping[str, int]

    def foreign(self, architecture: str) -> str:
        """The other processors that images are for, fit to be shown; empty if all are for this one."""
        there = {str(image.config.get("architecture")) for image in self.images}
        return ", ".join(map(shown, sorted(there))) if there != {architecture} else ""


@dataclass
class _Seen:
    """The members of a file: digests of their bytes and, for layers, of what they unpack to; small ones as they are."""

    digests: dict[str, str] = field(default_factory=dict)
    unpacked: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    small: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    room: int = field(default_factory=lambda: LARGEST_WHOLE)
    documents_room: int = _LARGEST_DOCUMENTS
    headers_room: int = field(default_factory=lambda: MOST_HEADERS)

    def real(self, name: str) -> str:
        """The member with the content of `name`."""
        return self.links.get(name, name)

    def document(self, name: str) -> Any:
        """A small member, read as JSON. Raises Unreadable."""
        try:
            return json.loads(self.small[name], object_pairs_hook=_once)
        except KeyError as error:
            raise Unreadable(f"it has no {shown(name)}, or a large one") from error
        except (ValueError, RecursionError) as error:
            raise Unreadable(f"its {shown(name)} is not JSON") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose keys differ in more than case: Go ignores that, and merges what has one key (encoding/json)."""
    if len({key.casefold() for key, _ in pairs}) < len(pairs):
        raise ValueError("a key occurs twice")
    return dict(pairs)


def verified(path: Path, extra: re.Pattern[str] | None = None, *, listen: Listener = silent) -> ImageFile:
    """Read a whole gzipped file of images; members whose name matches `extra` may be there too.

    Raises Unreadable for what `docker save` would not write, and for what is larger than labenv accepts; OSError.
    """
    seen = _Seen()
    with plain_tar.opened(path) as packed:
        count = counting(listen, "import", path.stat().st_size)
        whole = plain_tar.Unzipped(_Counted(packed, count), LARGEST_WHOLE)
        for member, content in plain_tar.members(whole, notes=True):
            _take(seen, member, content)
        whole.drain()
    try:
        entries = seen.document("manifest.json")
        if len(entries) > _MOST_IMAGES:
            raise Unreadable(f"it has more than {_MOST_IMAGES} images")
        images = tuple(_image(seen, entry) for entry in entries)
        _refuse_unnamed(seen, _named(seen, images), extra)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise Unreadable(f"its manifest.json does not describe images ({error!a})") from error
    if not images:
        raise Unreadable("it contains no image")
    return ImageFile(path, images, seen.digests, seen.sizes)


def load(engine: Engine, file: ImageFile, tags: Mapping[str, tuple[str, str]], listen: Listener) -> None:
    """Load the images into the engine: for each one's digest, under a temporary tag and, once compared, under its own.

    Raises EngineError if the engine refuses, or has something else than was verified: then no image has its own tag.
    """
    count = counting(listen, "import", file.path.stat().st_size)
    with refusals(f"loading {file.path}"):
        try:
            for line in (
                engine.api.load_image(_rewritten(file, {digest: first for digest, (first, _) in tags.items()}, count))
                or []
            ):
                if "error" in line:  # part of an answer that began as a success; the SDK takes it for one
                    raise docker.errors.APIError(line["error"])
                if text := str(line.get("stream", "")).strip():
                    listen(Event("import", text))
            ids = {image.digest: _compared(engine, image, tags[image.digest][0]) for image in file.images}
            for digest, (_, name) in tags.items():
                engine.api.tag(ids[digest], *name.split(":"), force=True)
        finally:
            for first, _ in tags.values():
                with suppress(docker.errors.APIError):
                    engine.api.remove_image(first)


def _compared(engine: Engine, image: Packed, tag: str) -> str:
    """The id of the loaded image. Raises EngineError if it is not the one that was verified."""
    there = engine.api.inspect_image(tag)
    # The containerd image store names an image by its manifest, not by its configuration.
    same = there["Id"].removeprefix("sha256:") == image.digest
    if not same and there["RootFS"].get("Layers") != image.config["rootfs"]["diff_ids"]:
        raise EngineError(f"The engine has loaded another image than the one that was verified ({there['Id']}).")
    told = {key: value for key, value in (there.get("Config") or {}).items() if value}
    if other := sorted(key for key, value in told.items() if image.settings.get(key) != value):
        raise EngineError(f"The engine has loaded other settings than those that were verified ({', '.join(other)}).")
    return str(there["Id"])


class _Counted:
    """A source that tells how much of it was read."""

    def __init__(self, source: BinaryIO, count: Callable[[int], None]) -> None:
        self._source, self._count = source, count

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes."""
        piece = self._source.read(size)
        self._count(len(piece))
        return piece


def _rewritten(
    file: ImageFile, tags: Mapping[str, str], count: Callable[[int], None] = lambda _: None
) -> Iterator[bytes]:
    """A tar archive of these images under these tags, in pieces. Its manifest comes last, when all else was compared."""
    layers = {name for image in file.images for name in image.layers}
    with plain_tar.opened(file.path) as packed:
        unzipped = plain_tar.Unzipped(_Counted(packed, count), LARGEST_WHOLE)
        for member, content in plain_tar.members(unzipped, notes=True):
            if member.name in layers:
                yield _header(_place(file, member.name), member.size)
                digest = hashlib.sha256()
                for piece in content:
                    digest.update(piece)
                    yield piece
                yield bytes(-member.size % tarfile.BLOCKSIZE)
                if digest.hexdigest() != file.digests[member.name]:
                    raise EngineError(f"{file.path} was changed while it was read. Nothing was loaded.")
    for image in file.images:
        yield from _member(f"{image.digest}.json", image.raw)
    manifest = [
        {
            "Config": f"{image.digest}.json",
            "RepoTags": [tags[image.digest]],
            "Layers": [_place(file, name) for name in image.layers],
        }
        for image in file.images
    ]
    yield from _member("manifest.json", json.dumps(manifest).encode())
    yield bytes(2 * tarfile.BLOCKSIZE)


def _place(file: ImageFile, layer: str) -> str:
    return f"{file.digests[layer]}/layer.tar"


def _member(name: str, content: bytes) -> Iterator[bytes]:
    yield _header(name, len(content)) + content + bytes(-len(content) % tarfile.BLOCKSIZE)


def _header(name: str, size: int) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size = size
    return entry.tobuf(tarfile.USTAR_FORMAT)


def _take(seen: _Seen, member: plain_tar.Member, content: Iterator[bytes]) -> None:
    name = member.name
    if not _NAME.fullmatch(name) or {".", ".."} & set(name.split("/")):
        raise Unreadable(f"its member {member.shown} has a name that `docker save` does not write")
    if name in seen.digests or name in seen.links or name in seen.folders:
        raise Unreadable(f"its member {member.shown} occurs twice")
    if len(seen.digests) + len(seen.links) + len(seen.folders) >= _MOST_MEMBERS:
        raise Unreadable(f"it has more than {_MOST_MEMBERS} members")
    if member.kind == "folder":
        seen.folders.add(name)
    elif member.kind == "link":
        target = _TARGET.fullmatch(member.target)
        if not _LINK.fullmatch(name) or not target:
            raise Unreadable(f"its member {member.shown} is a link that `docker save` does not write")
        seen.links[name] = target[1]
    else:
        _digest(seen, member, content)


def _digest(seen: _Seen, member: plain_tar.Member, content: Iterator[bytes]) -> None:
    start = next(content, b"")
    packed = hashlib.sha256()
    pieces = _hashed(chain([start], content), packed)
    if is_gzip(start):
        plain = hashlib.sha256()
        _walk(seen, _counted(seen, _hashed(unzipped(pieces), plain)))
        seen.unpacked[member.name] = plain.hexdigest()
    elif is_tar(start):
        _walk(seen, pieces)
        seen.unpacked[member.name] = packed.hexdigest()
    else:
        for _ in pieces:
            pass
    seen.digests[member.name] = packed.hexdigest()
    seen.sizes[member.name] = member.size
    if member.size <= _LARGEST_DOCUMENT and (name := member.name) and (_BLOB.fullmatch(name) or name in _ALWAYS):
        seen.documents_room -= member.size
        if seen.documents_room < 0:
            raise Unreadable("its descriptions of images are too large")
        seen.small[name] = start


def _hashed(pieces: Iterable[bytes], digest: "hashlib._Hash") -> Iterator[bytes]:
    for piece in pieces:
        digest.update(piece)
        yield piece


def _counted(seen: _Seen, pieces: Iterable[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        seen.room -= len(piece)
        if seen.room < 0:
            raise Unreadable(f"its layers unpack to more than the {LARGEST_WHOLE / 1e6:.0f} MB that they may have")
        yield piece


def _walk(seen: _Seen, pieces: Iterable[bytes]) -> None:
    headers = Headers(seen.headers_room)
    for piece in pieces:
        headers.feed(piece)
    headers.end()
    seen.headers_room = headers.room


def _image(seen: _Seen, entry: dict[str, Any]) -> Packed:
    """The image that an entry of the manifest describes. Raises Unreadable; LookupError, TypeError, ValueError if it does not."""
    name = seen.real(entry["Config"])
    blob = _BLOB.fullmatch(name)
    config = seen.document(name)
    if not blob or blob[1] != seen.digests[name]:
        raise Unreadable(f"{shown(name)} was changed")
    layers = tuple(seen.real(layer) for layer in entry["Layers"])
    for layer, wanted in zip(layers, config["rootfs"]["diff_ids"], strict=True):
        if layer in seen.digests and layer not in seen.unpacked:
            raise Unreadable(f"its layer {shown(layer)} is neither a tar archive nor one packed with gzip")
        if f"sha256:{seen.unpacked[layer]}" != wanted:
            raise Unreadable(f"{shown(layer)} was changed")
    tags = tuple(str(tag) for tag in entry["RepoTags"] or ())
    image = Packed(tags, seen.small[name], config, layers)
    if any(not isinstance(part, str) for pair in image.labels.items() for part in pair):
        raise Unreadable(f"{shown(name)} has labels that are not text")
    return image


def _named(seen: _Seen, images: Iterable[Packed]) -> set[str]:
    """The members that belong to the images: configurations, layers, and what engines write beside them."""
    named = _ALWAYS | {layer for image in images for layer in image.layers}
    for image in images:
        named |= {f"{image.digest}.json", f"blobs/sha256/{image.digest}"}
    # The older format has a folder for each layer, with its own description.
    for name in {*named, *(link for link, target in seen.links.items() if target in named)}:
        if name.endswith("/layer.tar"):
            folder = name.removesuffix("/layer.tar")
            named |= {folder, f"{folder}/json", f"{folder}/VERSION", name}
    # The newer one has an index of manifests, which name configurations and layers (OCI image layout).
    waiting = ["index.json"] if "index.json" in seen.small else []
    while waiting:
        told = seen.document(waiting.pop())
        for part in (told.get("manifests") or []) + (told.get("layers") or []) + [told.get("config") or {}]:
            name = "blobs/" + str(part.get("digest", "")).replace(":", "/")
            if name not in named:
                named.add(name)
                if str(part.get("mediaType", "")).endswith(_MANIFESTS) and name in seen.small:
                    waiting.append(name)
    return named


def _refuse_unnamed(seen: _Seen, named: set[str], extra: re.Pattern[str] | None) -> None:
    for name in (*seen.digests, *seen.links, *seen.folders):
        if name not in named and not (extra and extra.fullmatch(name)):
            raise Unreadable(f"its member {shown(name)} belongs to no image")
        blob = re.fullmatch(rf"blobs/sha256/({_HEX})", name)
        if blob and name in seen.digests and blob[1] != seen.digests[name]:
            raise Unreadable(f"{shown(name)} was changed")
