"""The disk with the machines' files: how much is free, and which environment uses most of it."""

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker.errors

from labenv.engine import Engine
from labenv.engine.errors import refusals
from labenv.engine.labels import LABEL, MACHINE
from labenv.errors import EngineError

_LOW = 1 << 30
_FULL = 16 << 20
_FEW = 500  # inodes; a machine that boots makes some hundred files
_NAMED = 3  # environments in a sentence


@dataclass(frozen=True)
class Disk:
    """A disk, by a `path` on it: the bytes that are free, and the inodes (None where there is no fixed number of them)."""

    path: str
    free: int
    inodes: int | None

    @property
    def is_full(self) -> bool:
        """Whether hardly anything can be written there."""
        return self.free < _FULL or (self.inodes is not None and self.inodes < _FEW)

    @property
    def is_low(self) -> bool:
        """Whether it is worth finding out who uses it, which takes the engine long."""
        return self.free < _LOW or self.is_full

    @property
    def left(self) -> str:
        """What is free there."""
        few = self.inodes is not None and self.inodes < _FEW and self.free >= _FULL
        return f"{self.inodes} files can still be made" if few else f"{self.free >> 20} MiB are free"


@dataclass(frozen=True)
class Use:
    """What a student's environment uses: bytes in all, and by machine ("saves" are its saves, "desktop" has its files)."""

    student: str
    size: int
    parts: dict[str, int]

    @property
    def sentence(self) -> str:
        """Who, how much, and the part that uses most."""
        part, most = max(self.parts.items(), key=lambda item: item[1])
        return f"{self.student} uses {_size(self.size)} ({part} {_size(most)})"


def looked_at(path: Path) -> Disk | None:
    """The disk that holds a folder, or what is above it if this user may not look into that; None if there is no such folder."""
    for each in (path, *path.parents):
        with suppress(PermissionError):
            try:
                status = os.statvfs(each)
            except OSError:
                return None
            return Disk(str(path), status.f_bavail * status.f_frsize, status.f_favail if status.f_files else None)
    return None


def of(engine: Engine) -> Disk | None:
    """The disk with the machines' files; None if it is not on this computer. Raises EngineError if the engine is gone."""
    if not engine.is_local:
        return None
    with refusals("looking at the disk"):
        # A machine knows where its files are, and an engine says that sooner than it describes itself.
        for container in engine.api.containers(all=True, limit=1, filters={"label": MACHINE}):
            with suppress(docker.errors.NotFound):  # somebody removes it meanwhile
                driver = engine.api.inspect_container(container["Id"]).get("GraphDriver") or {}
                if folder := (driver.get("Data") or {}).get("UpperDir"):
                    return looked_at(Path(folder).parents[2])  # overlay2/ID/diff below the engine's own folder
    folders = [Path(engine.info.get("DockerRootDir") or "/")]
    if "io.containerd.snapshotter.v1" in str(engine.info.get("DriverStatus")):
        folders.append(Path("/var/lib/containerd"))  # where Docker keeps images that containerd stores
    disks = [disk for disk in map(looked_at, folders) if disk]
    return min(disks, key=lambda disk: disk.free, default=None)


def uses(engine: Engine) -> list[Use]:
    """What each environment uses, the largest first. Takes the engine seconds: it adds up the sizes of files."""
    with refusals("adding up sizes"):
        found = engine.api.df()
    parts: dict[str, dict[str, int]] = {}
    for student, part, size in _parts(found):
        mine = parts.setdefault(student, {})
        mine[part] = mine.get(part, 0) + size
    every = [Use(student, sum(mine.values()), mine) for student, mine in parts.items()]
    return sorted(every, key=lambda use: -use.size)


def warning(engine: Engine) -> str:
    """A sentence about the engine's disk if it is almost full, with who fills it; empty otherwise. Raises EngineError."""
    disk = of(engine)
    return said(disk, engine) if disk and disk.is_low else ""


def said(disk: Disk, engine: Engine) -> str:
    """How full a disk is that is low, and who fills it, with the way out."""
    try:
        largest = [use.sentence for use in uses(engine)[:_NAMED] if use.size >= 1 << 20]
    except EngineError:  # on a full disk an engine may be unable to say
        largest = []
    who = f" {'; '.join(largest)}." if largest else ""
    state = "The disk is full" if disk.is_full else "The disk is almost full"
    return (
        f"{state} where the engine keeps its data ({disk.path}): {disk.left}.{who} Remove large files in a machine (labenv shell), "
        f"saves (labenv saves) or images of earlier versions (labenv images remove --old)."
    )


def _parts(found: dict[str, Any]) -> Iterable[tuple[str, str, int]]:
    """Student, part and size of all that the engine counted."""
    for container in found.get("Containers") or []:
        if student := (container.get("Labels") or {}).get(LABEL):
            name = container["Names"][0].lstrip("/").removeprefix(f"labenv-{student}-")
            yield student, container["Labels"].get(MACHINE, name), container.get("SizeRw") or 0
    for volume in found.get("Volumes") or []:
        if student := (volume.get("Labels") or {}).get(LABEL):
            yield student, "desktop", max((volume.get("UsageData") or {}).get("Size") or 0, 0)
    for image in found.get("Images") or []:
        if student := (image.get("Labels") or {}).get(LABEL):
            yield student, "saves", max(image["Size"] - max(image.get("SharedSize") or 0, 0), 0)


def _size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.0f} MB"
