"""What the machines' images are made from: the folders of images/, and those that a lab has for itself.

Each folder is one image; its Dockerfile's ARG names the image it stands on. The tag is a hash over the folder and the image below, so
an unchanged image is never built again and a changed one always is. A lab's own images come before labenv's of the same name.
"""

import hashlib
import io
import os
import re
import tarfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from labenv import plain_tar, resources
from labenv.engine import debian
from labenv.errors import EngineError, UsageError
from labenv.lab import labs, model, topology, trust
from labenv.lab.model import Lab
from labenv.student import Student

_PARENT = re.compile(r"^ARG BASE=(\S+)", re.MULTILINE)
_SOURCES = re.compile(r"^ARG SOURCES\b", re.MULTILINE)
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}", re.ASCII)
_OURS = "labenv/"
_LARGEST = 1_000_000_000  # bytes of an image's folder, which goes to the engine as a whole
OWN = "labenv"  # the image with labenv itself (labenv.engine.own_image): its tag depends on all of labenv's files
# The image that is in every machine as a volume (labenv.engine.tools), and the volume's name before the hash of the image.
TOOLS, TOOLS_VOLUME = "tools", "labenv-tools-"
# Where an image has the packages that yum or apt finds, and the volume of labenv.engine.repository likewise.
REPOSITORY, REPOSITORY_VOLUME = "/usr/share/labenv/repo", "labenv-repository-"
_NOTHING: Mapping[str, Path] = {}
_ANYBODY = Student("anybody", 200, "anna", "")  # a topology's images are the same for everybody


@dataclass(frozen=True)
class Image:
    """An image of labenv or a lab: its name there, the image it stands on (`None`: Debian itself), its tag, its folder, its `lab`."""

    name: str
    below: "Image | None"
    tag: str
    folder: Path
    lab: str = ""

    @property
    def takes_sources(self) -> bool:
        """Whether its Dockerfile takes lines of sources.list: only what stands on Debian itself needs them."""
        return not self.below and bool(_SOURCES.search(_dockerfile(self.folder)))


@cache
def wanted() -> dict[str, Image]:
    """The images of labenv by name, each after the one it stands on; without the one with labenv itself, which few commands need.

    Raises UsageError for a folder whose base does not exist.
    """
    return _found(resources.images(), {}, "")


def of(lab: Lab) -> Mapping[str, Image]:
    """The images that a lab can name: its own, and labenv's of other names.

    Raises UsageError for a folder of its own that cannot be an image, EngineError as for labenv's.
    """
    return _of(lab.folder / "images", lab.id)


@cache
def _of(folder: Path, lab: str) -> Mapping[str, Image]:
    return wanted() | _found(folder, wanted(), lab) if folder.is_dir() else wanted()


def _found(place: Path, given: Mapping[str, Image], lab: str) -> dict[str, Image]:
    """The images in the folders of a place; they stand on each other, or on those that are `given`."""
    found: dict[str, Image] = {}
    folders = {path.parent.name: path.parent for path in sorted(place.glob("*/Dockerfile"))}
    if not lab:
        folders.pop(OWN, None)
    parents = {name: _parent(folder) for name, folder in folders.items()}
    while folders:
        ready = [name for name in folders if _is_ready(name, parents[name], folders, found, given)]
        if not ready:
            raise UsageError(f"{place}: {', '.join(folders)} stand on images that do not exist. Fix their ARG BASE.")
        for name in ready:
            parent = parents[name]
            below = (found.get(parent) if parent != name else None) or given.get(parent)
            called = f"{lab}-{name}" if lab else name
            if not _NAME.fullmatch(name) or (lab and called in given):
                raise UsageError(
                    f"{place / name}: an image cannot be called '{name}' here. Rename the folder: a-z, 0-9 and '-'."
                )
            made_of = digest(folders.pop(name), below.tag if below else debian.STOCK)
            found[name] = Image(name, below, f"{_OURS}{called}:{made_of}", place / name, lab)
    return found


def _is_ready(
    name: str, parent: str, folders: Mapping[str, Path], found: Mapping[str, Image], given: Mapping[str, Image]
) -> bool:
    """Whether what an image stands on is known: nothing, one that is found, or else one that is given."""
    return not parent or parent in found or (parent in given and (parent == name or parent not in folders))


def needed(lab: Lab) -> list[str]:
    """The names of the images that a lab may need at any of its stages, with all of its machines, and labenv's own tools."""
    nodes = topology.of(lab, _ANYBODY).nodes
    later = [name for entries in lab.images.values() for _, name in entries]
    images = {node.image for node in nodes} | set(later) | {TOOLS}
    known = of(lab)
    while more := {image.below.name for name in images if (image := known.get(name)) and image.below} - images:
        images |= more
    return named(sorted(images, key=[*known, *sorted(images)].index), known)


def usual() -> list[str]:
    """The names of the images of the default lab; others are built on first use."""
    return needed(labs.load(labs.default()))


def named(names: Iterable[str], known: Mapping[str, Image] | None = None) -> list[str]:
    """The names, if they are all images that are known: labenv's, if no others are given. Raises UsageError naming the images."""
    names, known = list(names), wanted() if known is None else known
    for name in names:
        if name not in known:
            raise UsageError(f"There is no image '{name}'. The images are: {', '.join(known)}.")
    return names


def current() -> dict[str, Image]:
    """The images of labenv and of all labs that it knows of, by tag: those that are found, and those that the user has trusted."""
    found = {image.tag: image for image in wanted().values()}
    for folder in dict.fromkeys([*(place.folder for place in labs.everywhere()), *trust.folders()]):
        if (folder / "images").is_dir():
            with suppress(UsageError):  # `lab lint` says what is wrong with that one
                found |= {image.tag: image for image in of(model.read(folder)).values()}
    return found


def latest() -> dict[str, Image]:
    """The same images by their tags without the hash, as an image on an engine names them in its label: "mail", "mylab-web"."""
    return {title(tag): image for tag, image in current().items()}


def title(tag: str) -> str:
    """The name of an image on an engine: its tag without the hash."""
    return tag.rpartition("/")[2].partition(":")[0]


def _dockerfile(folder: Path) -> str:
    try:
        with plain_tar.opened(folder / "Dockerfile") as source:
            return source.read(_LARGEST).decode()
    except (OSError, ValueError, plain_tar.Unreadable) as error:
        raise UsageError(f"{folder}/Dockerfile cannot be read ({error}).") from error


def _parent(folder: Path) -> str:
    """The image that a Dockerfile's ARG line names (`ARG BASE=labenv/mail`); empty if it stands on Debian."""
    match = _PARENT.search(_dockerfile(folder))
    if not match:
        raise UsageError(
            f"{folder}/Dockerfile: a line such as 'ARG BASE=labenv/base' must name the image that it stands on."
        )
    return match[1].removeprefix(_OURS) if match[1].startswith(_OURS) else ""


def context(folder: Path, beside: Mapping[str, Path] = _NOTHING) -> io.BytesIO:
    """What the engine builds from, a tar archive: exactly what its tag stands for, independent of umask and owner.

    `beside` are further files by their place in it.
    """

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mode = 0o755 if entry.mode & 0o100 else 0o644
        return entry

    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for name, path in {**files(folder), **beside}.items():
            archive.add(path, name, filter=plain)
    context.seek(0)
    return context


def files(folder: Path) -> dict[str, Path]:
    """What an image is made from, by its place there: all files in its folder but what nobody is asked to trust (labenv.lab.trust)."""
    below = {path: path.relative_to(folder) for path in sorted(folder.rglob("*"))}
    return {
        str(name): path
        for path, name in below.items()
        if not trust.NOT_FILES & set(name.parts) and (path.is_symlink() or not path.is_dir())
    }


def digest(folder: Path, below: str, beside: Mapping[str, Path] = _NOTHING) -> str:
    """What an image of that folder and the files `beside` is, given the image below.

    Raises EngineError for files that a machine could not read, UsageError for a folder that is too large, and for what is no file.
    """
    found = hashlib.sha256(below.encode())
    size = 0
    for name, path in {**files(folder), **beside}.items():
        if not path.is_symlink():
            if not path.is_file():
                raise UsageError(f"{path} is not a regular file. Remove it from the image's folder.")
            size += path.stat().st_size
            if size > _LARGEST:
                raise UsageError(
                    f"{folder} has more than {_LARGEST // 1_000_000} MB. Remove what the image does not need."
                )
        if path.is_symlink():
            kind, content = "l", os.readlink(path).encode()
        else:  # only the mode that git keeps, so that a umask does not change the image
            kind, content = "x" if path.stat().st_mode & 0o100 else "f", path.read_bytes()
            if b"\r\n" in content and b"\0" not in content:
                raise EngineError(
                    f"{path} has the line ends of Windows, with which no program in a machine can read it. Clone labenv again with "
                    "git, which keeps them right."
                )
        found.update(f"{name} {kind} {len(content)}\n".encode() + content)
    return found.hexdigest()[:12]
