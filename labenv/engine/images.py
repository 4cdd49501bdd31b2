"""The machines' images: built from images/, identified by a hash of what they are made of.

Each folder of images/ is one image; its Dockerfile's ARG names the image it stands on. The tag is a hash over the folder
and the image below, so an unchanged image is never built again and a changed one always is.
"""

import hashlib
import io
import os
import re
import tarfile
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import docker.errors

from labenv import __version__, resources
from labenv.engine import Engine, debian, packages, refusals
from labenv.errors import EngineError, UsageError
from labenv.events import Event, Listener, announced
from labenv.parallel import Together

_PARENT = re.compile(r"^ARG BASE=(\S+)", re.MULTILINE)
_LAST_LINES = 15
# Most people never need these: built on first use, by `labenv desktop` and by a lab on plain Debian.
_ON_REQUEST = frozenset({"desktop", "debian"})
# The image that is in every machine as a volume (labenv.engine.tools), and the volume's name before the hash of the image.
TOOLS, TOOLS_VOLUME = "tools", "labenv-tools-"


@dataclass(frozen=True)
class Image:
    """An image of labenv: its folder's name, the image it stands on (`None`: Debian itself), its tag."""

    name: str
    parent: str | None
    tag: str


@dataclass(frozen=True)
class Built:
    """An image on the engine: name, tag, size in bytes, whether it is what today's folders make."""

    name: str
    tag: str
    size: int
    current: bool

    def to_dict(self) -> dict[str, Any]:
        """As `images list --json` shows it."""
        return {"name": self.name, "tag": self.tag, "bytes": self.size, "current": self.current}


@cache
def wanted() -> dict[str, Image]:
    """The images by name, each after the one it stands on. Raises UsageError for a folder whose base does not exist."""
    found: dict[str, Image] = {}
    folders = {path.parent.name: path.parent for path in sorted(resources.images().glob("*/Dockerfile"))}
    parents = {name: _parent(folder) for name, folder in folders.items()}
    while folders:
        ready = [name for name in folders if (parents[name] or "") in {"", *found}]
        if not ready:
            raise UsageError(f"images/: {', '.join(folders)} stand on images that do not exist. Fix their ARG BASE.")
        for name in ready:
            parent = parents[name]
            below = found[parent].tag if parent else debian.STOCK
            found[name] = Image(name, parent, f"labenv/{name}:{_hash(folders.pop(name), below)}")
    return found


def usual() -> list[str]:
    """The names of the images that every lab may need; the others are built on demand."""
    return [name for name in wanted() if name not in _ON_REQUEST]


def named(names: Iterable[str]) -> list[str]:
    """The names, if they are all images. Raises UsageError naming the images."""
    names = list(names)
    for name in names:
        if name not in wanted():
            raise UsageError(f"There is no image '{name}'. The images are: {', '.join(wanted())}.")
    return names


class Images:
    """The images that `wanted` names, on an engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def present(self) -> list[Built]:
        """The images of labenv on the engine, including older ones. Raises EngineError."""
        with refusals("listing the images"):
            listed = self.engine.api.images(filters={"label": debian.LABEL})
        current = {debian.OWN, debian.own(), *(image.tag for image in wanted().values())}
        built = []
        for image in listed:
            for tag in image["RepoTags"] or []:
                short = tag.removeprefix("localhost/")
                if short.startswith("labenv/"):
                    name = short.removeprefix("labenv/").split(":")[0]
                    built.append(Built(name, short, image["Size"], short in current))
        return sorted(built, key=lambda image: (not image.current, image.name, image.tag))

    def packages(self, tags: Iterable[str]) -> dict[str, dict[str, str]]:
        """The packages of images on the engine with their versions, by tag. Raises EngineError."""
        tags = list(tags)
        with Together(max(1, len(tags))) as pool:
            return dict(zip(tags, pool.map(lambda tag: packages.installed(self.engine, tag), tags), strict=True))

    def missing(self, names: Iterable[str]) -> list[Image]:
        """Those of the images called `names`, and of the images they stand on, that the engine does not have."""
        names = list(names)
        with Together(max(1, len(names))) as pool:
            if all(pool.map(lambda name: self._has(wanted()[name].tag), names)):  # the usual case; listing takes longer
                return []
        have = {image.tag for image in self.present()}
        chain: dict[str, Image] = {}
        for name in names:
            image: Image | None = wanted()[name]
            while image and image.tag not in have:
                chain[image.name] = image
                image = wanted()[image.parent] if image.parent else None
        return [image for image in wanted().values() if image.name in chain]

    def _has(self, tag: str) -> bool:
        with refusals("looking for an image"), suppress(docker.errors.NotFound):
            self.engine.api.inspect_image(tag)
            return True
        return False

    def ensure(self, names: Iterable[str], listen: Listener) -> list[str]:
        """Build what is missing for `names` and return the tags that were built. Raises EngineError with a step's log."""
        todo = self.missing(names)
        if not todo:
            return []
        _in_order(todo, lambda image: self._build(image, listen))
        return [image.tag for image in todo]

    def _build(self, image: Image, listen: Listener) -> None:
        below = wanted()[image.parent].tag if image.parent else debian.root(self.engine, listen)
        self._make(image.name, resources.images() / image.name, image.tag, below, listen)

    def build_afresh(self, prefix: str, listen: Listener) -> None:
        """Build the usual images from scratch, without any cache, under names of their own (for the bench)."""
        images = [wanted()[name] for name in usual()]
        tags: dict[str | None, str] = {image.name: f"{prefix}/{image.name}:latest" for image in images}
        tags[None] = debian.afresh(self.engine, f"{prefix}/debian:latest", listen)
        _in_order(
            images,
            lambda i: self._make(
                i.name, resources.images() / i.name, tags[i.name], tags[i.parent], listen, afresh=True
            ),
        )

    def build_stock(self, folder: Path, tag: str, listen: Listener) -> None:
        """Build the image in `folder` on plain Debian (for the bench)."""
        self._make("stock", folder, tag, debian.root(self.engine, listen), listen)

    def _make(self, name: str, folder: Path, tag: str, below: str, listen: Listener, afresh: bool = False) -> None:
        step = f"image {name}"
        arguments = {"BASE": below}
        if name in wanted() and not wanted()[name].parent and (sources := debian.sources()):
            arguments["SOURCES"] = sources
        with announced(listen, step, f"building {tag}"), refusals(f"building the image {name}"):
            stream = self.engine.api.build(
                fileobj=_context(folder),
                custom_context=True,
                tag=tag,
                buildargs=arguments,
                labels={debian.LABEL: name, debian.BUILD: __version__},
                network_mode="host",  # the packages come over this computer's own network, whatever its MTU and resolver
                nocache=afresh,
                rm=True,
                forcerm=True,
                decode=True,
            )
            _follow(stream, step, listen)

    def remove_tagged(self, prefixes: tuple[str, ...]) -> None:
        """Remove every image whose tag begins with one of `prefixes` (what the bench built). Raises EngineError."""
        with refusals("removing images"):
            for image in self.engine.api.images():
                for tag in image["RepoTags"] or []:
                    if tag.removeprefix("localhost/").startswith(prefixes):
                        self.engine.api.remove_image(tag, force=True)

    def remove(self, only_old: bool, dry_run: bool) -> list[Built]:
        """Remove labenv's images (only those of older versions, if asked) and return them.

        Raises EngineError naming the machines if one is in use; then none is removed.
        """
        doomed = [image for image in self.present() if not (only_old and image.current)]
        with refusals("looking for machines that use the images"):
            users: dict[str, str] = {}
            for container in self.engine.api.containers(all=True):
                users[container["Image"].removeprefix("localhost/")] = container["Names"][0].lstrip("/")
        used = [f"{image.tag} by {users[image.tag]}" for image in doomed if image.tag in users]
        if used and not dry_run:
            raise EngineError(f"In use: {'; '.join(used)}. Remove those environments first: labenv down -s STUDENT")
        if not dry_run:
            with refusals("removing the images"):
                order = [*wanted()]  # an image is removed before the one it stands on, and Debian itself last
                roots = {debian.OWN, debian.own()}
                place = {
                    b.tag: -1 if b.tag in roots else order.index(b.name) if b.name in order else 99 for b in doomed
                }
                for built in sorted(doomed, key=lambda b: place[b.tag], reverse=True):
                    self.engine.api.remove_image(built.tag)
                for built in (built for built in doomed if built.name == TOOLS):
                    with suppress(docker.errors.APIError):  # it was never filled, or a machine uses it
                        self.engine.api.remove_volume(f"{TOOLS_VOLUME}{built.tag.rpartition(':')[2]}")
        return doomed


def _in_order(images: list[Image], build: Callable[[Image], None]) -> None:
    """Build images; those whose base exists already are built at the same time."""
    rest = {image.name: image for image in images}
    while rest:
        ready = [image for image in rest.values() if image.parent not in rest]
        with Together(len(ready)) as pool:
            list(pool.map(build, ready))
        for image in ready:
            del rest[image.name]


def _parent(folder: Path) -> str | None:
    """The image that a Dockerfile's ARG line names (`ARG BASE=labenv/mail`); None if it stands on Debian."""
    match = _PARENT.search((folder / "Dockerfile").read_text(encoding="utf-8"))
    if not match:
        raise UsageError(
            f"{folder}/Dockerfile: a line such as 'ARG BASE=labenv/base' must name the image that it stands on."
        )
    return match[1].removeprefix("labenv/") if match[1].startswith("labenv/") else None


def _context(folder: Path) -> io.BytesIO:
    """What the engine builds from, a tar archive: exactly what `_hash` covers, independent of umask and owner."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mode = 0o755 if entry.mode & 0o100 else 0o644
        return entry

    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_symlink() or not path.is_dir():
                archive.add(path, path.relative_to(folder), filter=plain)
    context.seek(0)
    return context


def _hash(folder: Path, below: str) -> str:
    """What an image of that folder is, given the image below. Raises EngineError for files that a machine could not read."""
    digest = hashlib.sha256(below.encode())
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            continue
        if path.is_symlink():
            kind, content = "l", os.readlink(path).encode()
        else:  # only the mode that git keeps, so that a umask does not change the image
            kind, content = "x" if path.stat().st_mode & 0o100 else "f", path.read_bytes()
            if b"\r\n" in content and b"\0" not in content:
                raise EngineError(
                    f"{path} has the line ends of Windows, with which no program in a machine can read it. Clone labenv again with "
                    "git, which keeps them right."
                )
        digest.update(f"{path.relative_to(folder)} {kind} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:12]


def _follow(stream: Iterable[dict[str, Any]], step: str, listen: Listener) -> None:
    """Pass a build's output on; raise EngineError with its last lines if it failed."""
    last: deque[str] = deque(maxlen=_LAST_LINES)
    for part in stream:
        if "error" in part:
            raise EngineError(
                f"{step}: the build failed: {part['error'].strip()}\nIts last lines:\n  "
                + "\n  ".join(last)
                + "\nFix the cause (the network, the disk, a package) and repeat; finished images are kept."
            )
        for line in part.get("stream", "").splitlines():
            if line.strip():
                last.append(line)
                listen(Event(step, line.strip()))
