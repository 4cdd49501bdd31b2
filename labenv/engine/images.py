"""The machines' images: built from images/, told apart by a hash of what they are made of.

Each folder of images/ is one image; its Dockerfile's ARG names the image it stands on. The tag is a hash over the
folder and the image below, so an unchanged image is never built again and a changed one always is.
"""

import hashlib
import os
import re
import shutil
import subprocess
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import docker.errors

from labenv import resources
from labenv.engine import Engine, refusals
from labenv.errors import EngineError, UsageError
from labenv.events import Event, Listener, announced

_STOCK = "debian:bookworm-slim"
_OWN_ROOT = "labenv/debian:bookworm"
_LABEL = "labenv.image"
_PARENT = re.compile(r"^ARG (?:BASE|ROOT)=(\S+)", re.MULTILINE)
_LAST_LINES = 15


@dataclass(frozen=True)
class Image:
    """An image of labenv: its folder's name, what it stands on (`None`: Debian itself), its tag."""

    name: str
    parent: str | None
    tag: str


@dataclass(frozen=True)
class Built:
    """An image on the engine: name, tag, size in bytes, whether it is what the folders of today make."""

    name: str
    tag: str
    size: int
    current: bool

    def to_dict(self) -> dict[str, Any]:
        """As `images list --json` shows it."""
        return {"name": self.name, "tag": self.tag, "bytes": self.size, "current": self.current}


@cache
def wanted() -> dict[str, Image]:
    """The images by name, each after the one it stands on. Raises UsageError for a folder that stands on none."""
    found: dict[str, Image] = {}
    folders = {path.parent.name: path.parent for path in sorted(resources.images().glob("*/Dockerfile"))}
    parents = {name: _parent(folder) for name, folder in folders.items()}
    while folders:
        ready = [name for name in folders if (parents[name] or "") in {"", *found}]
        if not ready:
            raise UsageError(f"images/: {', '.join(folders)} stand on images that are not there.")
        for name in ready:
            parent = parents[name]
            below = found[parent].tag if parent else _STOCK
            found[name] = Image(name, parent, f"labenv/{name}:{_hash(folders.pop(name), below)}")
    return found


class Images:
    """The counterparts on an engine of the images that `wanted` names."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def present(self) -> list[Built]:
        """The images of labenv on the engine, with older ones. Raises EngineError."""
        with refusals("listing the images"):
            listed = self.engine.api.images(filters={"label": _LABEL})
        current = {image.tag for image in wanted().values()}
        built = []
        for image in listed:
            for tag in image["RepoTags"] or []:
                short = tag.removeprefix("localhost/")
                if short.startswith("labenv/"):
                    name = short.removeprefix("labenv/").split(":")[0]
                    built.append(Built(name, short, image["Size"], short in current))
        return sorted(built, key=lambda image: (not image.current, image.name, image.tag))

    def missing(self, names: Iterable[str]) -> list[Image]:
        """Those of the images called `names`, and of what they stand on, that the engine does not have."""
        have = {image.tag for image in self.present()}
        chain: dict[str, Image] = {}
        for name in names:
            image: Image | None = wanted()[name]
            while image and image.tag not in have:
                chain[image.name] = image
                image = wanted()[image.parent] if image.parent else None
        return [image for image in wanted().values() if image.name in chain]

    def ensure(self, names: Iterable[str], listen: Listener) -> list[str]:
        """Build what is missing for `names` and return the tags that were built. Raises EngineError with a step's log."""
        todo = self.missing(names)
        if not todo:
            return []
        rest = {image.name: image for image in todo}
        while rest:
            ready = [image for image in rest.values() if image.parent not in rest]
            with ThreadPoolExecutor(len(ready)) as pool:
                list(pool.map(lambda image: self._build(image, listen), ready))
            for image in ready:
                del rest[image.name]
        return [image.tag for image in todo]

    def _build(self, image: Image, listen: Listener) -> None:
        root = wanted()[image.parent].tag if image.parent else self._root(listen)
        step = f"image {image.name}"
        argument = "BASE" if image.parent else "ROOT"
        with announced(listen, step, f"building {image.tag}"), refusals(f"building the image {image.name}"):
            stream = self.engine.api.build(
                path=str(resources.images() / image.name),
                tag=image.tag,
                buildargs={argument: root},
                labels={_LABEL: image.name},
                network_mode="host",  # the packages come over this machine's own line, whatever its MTU and resolver
                rm=True,
                forcerm=True,
                decode=True,
            )
            _follow(stream, step, listen)

    def _root(self, listen: Listener) -> str:
        """The Debian image that the base stands on: the stock one if it is or can be had, else one made here."""
        api = self.engine.api
        have = {tag.removeprefix("localhost/") for image in api.images() for tag in image["RepoTags"] or []}
        for tag in (_STOCK, _OWN_ROOT):
            if tag in have:
                return tag
        with announced(listen, "debian", f"fetching {_STOCK}"):
            try:
                api.pull(*_STOCK.split(":"))
                return _STOCK
            except docker.errors.APIError as error:
                listen(
                    Event(
                        "debian", f"{_STOCK} cannot be pulled ({error.explanation}); making one with mmdebstrap", "note"
                    )
                )
        with announced(listen, "debian", "making Debian 12 with mmdebstrap"):
            _bootstrap(self.engine, listen)
        return _OWN_ROOT

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
            raise EngineError(f"In use: {'; '.join(used)}. Bring those environments down first (`labenv status`).")
        if not dry_run:
            with refusals("removing the images"):
                for image in reversed(list(wanted().values())):  # an image goes before the one it stands on
                    for built in [b for b in doomed if b.name == image.name]:
                        self.engine.api.remove_image(built.tag)
        return doomed


def _parent(folder: Path) -> str | None:
    """The image folder that a Dockerfile's ARG line names (`ARG BASE=labenv/mail`); None if it stands on Debian."""
    match = _PARENT.search((folder / "Dockerfile").read_text())
    if not match:
        raise UsageError(
            f"{folder}/Dockerfile: a line such as 'ARG BASE=labenv/base' must name the image it stands on."
        )
    return match[1].removeprefix("labenv/") if match[1].startswith("labenv/") else None


def _hash(folder: Path, below: str) -> str:
    digest = hashlib.sha256(below.encode())
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            continue
        if path.is_symlink():
            kind, content = "l", os.readlink(path).encode()
        else:  # of the mode only what git keeps, so that a umask makes no other image
            kind, content = "x" if path.stat().st_mode & 0o100 else "f", path.read_bytes()
        digest.update(f"{path.relative_to(folder)} {kind} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:12]


def _follow(stream: Iterable[dict[str, Any]], step: str, listen: Listener) -> None:
    """Pass a build's output on; raise EngineError with its last lines if it failed."""
    last: deque[str] = deque(maxlen=_LAST_LINES)
    for part in stream:
        if "error" in part:
            raise EngineError(
                f"{step}: the build failed: {part['error'].strip()}\nIts last lines were:\n  "
                + "\n  ".join(last)
                + "\nMend what they say (a network, the disk, a package) and repeat; finished images are kept."
            )
        for line in part.get("stream", "").splitlines():
            if line.strip():
                last.append(line)
                listen(Event(step, line.strip()))


def _bootstrap(engine: Engine, listen: Listener) -> None:
    command = ["mmdebstrap", "--variant=apt", '--aptopt=Acquire::Languages "none"', "bookworm"]
    if not shutil.which("mmdebstrap"):
        _install_mmdebstrap(listen)
    shm = Path("/dev/shm")
    environment = dict(os.environ, TMPDIR=str(shm)) if shm.is_dir() and shutil.disk_usage(shm).free > 1 << 30 else None
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout
        assert process.stderr
        with ThreadPoolExecutor(1) as pool:
            log = pool.submit(_drain, process.stderr, listen)
            with refusals("importing Debian 12"):
                name, tag = _OWN_ROOT.split(":")
                engine.api.import_image(src=process.stdout, repository=name, tag=tag)
            last = log.result()
    if process.returncode:
        with refusals("removing the unfinished Debian image"):
            engine.api.remove_image(_OWN_ROOT, force=True)
        raise EngineError("mmdebstrap failed. Its last lines were:\n  " + "\n  ".join(last))


def _drain(stderr: Iterable[bytes], listen: Listener) -> deque[str]:
    last: deque[str] = deque(maxlen=_LAST_LINES)
    for raw in stderr:
        line = raw.decode(errors="replace").strip()
        last.append(line)
        listen(Event("debian", line.removeprefix("I: ")))
    return last


def _install_mmdebstrap(listen: Listener) -> None:
    if not (shutil.which("apt-get") and os.geteuid() == 0):
        raise EngineError(
            f"No {_STOCK} on the engine, and none can be pulled. Go online once, or import a bundle made elsewhere "
            f"(`labenv images import FILE`), or on Debian or Ubuntu let root make it: sudo apt-get install mmdebstrap."
        )
    listen(Event("debian", "installing mmdebstrap from the distribution", "note"))
    packages = ["mmdebstrap", "debian-archive-keyring"]
    for arguments in (["update", "-q"], ["install", "-qy", "--no-install-recommends", *packages]):
        done = subprocess.run(
            ["apt-get", *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
        )
        if done.returncode:
            raise EngineError(f"apt-get {arguments[0]} failed:\n{(done.stdout + done.stderr)[-1500:]}")
