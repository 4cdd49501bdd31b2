"""The machines' images on an engine: what is there, what is missing, building and removing them."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker.errors

from labenv import __version__
from labenv.engine import Engine, debian, own_image, packages
from labenv.engine.errors import refusals
from labenv.engine.image_sources import (
    REPOSITORY_VOLUME,
    TOOLS,
    TOOLS_VOLUME,
    Image,
    context,
    named,
    title,
    usual,
    wanted,
)
from labenv.errors import EngineError
from labenv.events import Event, Listener, announced
from labenv.parallel import Together

_LAST_LINES = 15


@dataclass(frozen=True)
class Built:
    """An image on the engine: name, tag, size in bytes, whether it is what today's folders make.

    One of a lab that is not here is neither current nor `old`: nobody can tell.
    """

    name: str
    tag: str
    size: int
    current: bool
    old: bool

    def to_dict(self) -> dict[str, Any]:
        """As `images list --json` shows it."""
        return {"name": self.name, "tag": self.tag, "bytes": self.size, "current": self.current}


class Images:
    """Images on an engine: labenv's, or those that a lab can name (`of`)."""

    def __init__(self, engine: Engine, known: Mapping[str, Image] | None = None) -> None:
        self.engine = engine
        self._known = wanted() if known is None else known

    def present(self) -> list[Built]:
        """The images of labenv and of labs on the engine, including older ones. Raises EngineError."""
        with refusals("listing the images"):
            listed = self.engine.api.images(filters={"label": debian.LABEL})
        made = own_image.current()
        now, here = {debian.OWN, debian.own(), *made}, {image.lab for image in made.values()}
        built = []
        for image in listed:
            for tag in image["RepoTags"] or []:
                short = tag.removeprefix("localhost/")
                if short.startswith("labenv/"):
                    name = short.removeprefix("labenv/").split(":")[0]
                    is_known = (image.get("Labels") or {}).get(debian.LAB, "") in {"", *here}
                    built.append(Built(name, short, image["Size"], short in now, is_known and short not in now))
        return sorted(built, key=lambda image: (not image.current, image.name, image.tag))

    def packages(self, tags: Iterable[str]) -> dict[str, dict[str, str]]:
        """The packages of images on the engine with their versions, by tag. Raises EngineError."""
        tags = list(tags)
        with Together(max(1, len(tags))) as pool:
            return dict(zip(tags, pool.map(lambda tag: packages.installed(self.engine, tag), tags), strict=True))

    def missing(self, names: Iterable[str]) -> list[Image]:
        """Those of the images called `names`, and of the images they stand on, that the engine does not have."""
        return self.lacking(self._known[name] for name in named(names, self._known))

    def lacking(self, images: Iterable[Image]) -> list[Image]:
        """Those of these images, and of the images they stand on, that the engine does not have. Raises EngineError."""
        wished = list(images)
        with Together(max(1, len(wished))) as pool:
            if all(pool.map(lambda image: self._has(image.tag), wished)):  # the usual case; listing takes longer
                return []
        have = {image.tag for image in self.present()}
        chain: dict[str, Image] = {}
        for wish in wished:
            image: Image | None = wish
            while image and image.tag not in have:
                chain[image.tag] = image
                image = image.below
        return list(chain.values())

    def _has(self, tag: str) -> bool:
        with refusals("looking for an image"), suppress(docker.errors.NotFound):
            self.engine.api.inspect_image(tag)
            return True
        return False

    def ensure(self, names: Iterable[str], listen: Listener) -> list[str]:
        """Build what is missing for `names` and return the tags that were built. Raises EngineError with a step's log."""
        return self.build(self.missing(names), listen)

    def ensure_own(self, listen: Listener) -> str:
        """The tag of the image with labenv itself, which is built if it is missing. Raises EngineError with a step's log."""
        image = own_image.own()
        self.build(self.lacking([image]), listen)
        return image.tag

    def build(self, todo: list[Image], listen: Listener) -> list[str]:
        """Build these images, which `lacking` found, and return their tags. Raises EngineError with a step's log."""
        _in_order(todo, lambda image: self._build(image, listen))
        return [image.tag for image in todo]

    def _build(self, image: Image, listen: Listener) -> None:
        below = image.below.tag if image.below else debian.root(self.engine, listen)
        self._make(image, image.tag, below, listen)

    def build_afresh(self, prefix: str, listen: Listener) -> None:
        """Build the usual images from scratch, without any cache, under names of their own (for the bench)."""
        images = [wanted()[name] for name in usual()]
        tags = {image.tag: f"{prefix}/{image.name}:latest" for image in images}
        stock = debian.afresh(self.engine, f"{prefix}/debian:latest", listen)

        def build(image: Image) -> None:
            below = tags[image.below.tag] if image.below else stock
            self._make(image, tags[image.tag], below, listen, afresh=True)

        _in_order(images, build)

    def build_stock(self, folder: Path, tag: str, listen: Listener) -> None:
        """Build the image in `folder` on plain Debian (for the bench)."""
        self._make(Image("stock", None, tag, folder), tag, debian.root(self.engine, listen), listen)

    def _make(self, image: Image, tag: str, below: str, listen: Listener, afresh: bool = False) -> None:
        """Build an image under a tag, on the one that is called `below`."""
        step = f"image {image.name}"
        arguments = {"BASE": below}
        labels = {debian.LABEL: title(tag) if image.lab else image.name, debian.BUILD: __version__}
        if image.takes_sources and (sources := debian.sources()):
            arguments["SOURCES"] = sources
        if image.lab:
            labels[debian.LAB] = image.lab
        with (
            announced(listen, step, f"building {tag}"),
            refusals(f"building the image {image.name}"),
            own_image.beside(image, self.engine.architecture, listen) as more,
        ):
            stream = self.engine.api.build(
                fileobj=context(image.folder, more),
                custom_context=True,
                tag=tag,
                buildargs=arguments,
                labels=labels,
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
        doomed = [image for image in self.present() if image.old or not only_old]
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
                for built in doomed:
                    volume = TOOLS_VOLUME if built.name == TOOLS else REPOSITORY_VOLUME
                    with suppress(docker.errors.APIError):  # it was never filled, or a machine uses it
                        self.engine.api.remove_volume(f"{volume}{built.tag.rpartition(':')[2]}")
        return doomed


def _in_order(images: list[Image], build: Callable[[Image], None]) -> None:
    """Build images; those whose base exists already are built at the same time."""
    rest = {image.tag: image for image in images}
    while rest:
        ready = [image for image in rest.values() if not image.below or image.below.tag not in rest]
        with Together(len(ready)) as pool:
            list(pool.map(build, ready))
        for image in ready:
            del rest[image.tag]


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
