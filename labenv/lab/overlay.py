"""The overlay of a machine: the student's own files, rendered from the lab's templates.

An overlay is laid over the machine's image before the first boot, so nothing has to be restarted to take effect.
"""

import hashlib
import io
import os
import re
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from labenv.errors import UsageError
from labenv.lab import templates
from labenv.lab.model import File, Lab
from labenv.lab.topology.records import Node, Topology
from labenv.student import Student
from labenv.text import shown

# Postfix waits until a main.cf is two seconds old before it trusts it, so rendered files get an old time. A fixed time also
# makes the same input give the same bytes.
BORN = 1_700_000_000


# A lab's file that says which host name a machine begins with, if not the topology's; and what labenv calls the machine.
HOSTNAME, MACHINE = "/etc/labenv/hostname", "/etc/labenv/machine"


_PATH = re.compile(r"(/(?!\.{1,2}(/|$))[^/\x00-\x1f]+)+")


@dataclass(frozen=True)
class Item:
    """One file of an overlay: an absolute path with its content, or a symbolic link."""

    path: str
    content: bytes
    mode: int
    link: str | None = None
    uid: int = 0


def overlay(lab: Lab, topology: Topology, node: Node, student: Student, stage: str) -> list[Item]:
    """The files of machine `node` for that student at that stage: the topology's for it, then the lab's, which win.

    The files of its sources are there as they are at the end of those labs; its own win.

    Raises Unrenderable for a template that cannot be rendered, UsageError for a path that leads elsewhere.
    """
    context = {
        "student": student,
        "members": (student,),
        "network": student.prefix,
        "machine": node,
        "machines": tuple(node for node in topology.nodes if not node.profile),
    }
    items = [Item(MACHINE, f"{node.name}\n".encode(), 0o644)] if node.systemd else []
    if node.own:
        own = context | {"reached": partial(lab.reached, at=stage)}
        items += [_item(file, node.own.templates, context=own) for file in node.own.files]
    for each in lab.sources:
        at = stage if each is lab else each.last_stage
        its = context | {"reached": partial(each.reached, at=at)}
        folders = [lab.folder / "templates" for lab in reversed(each.sources)]
        items += [_item(file, *folders, context=its) for file in each.files_of(node.name, at)]
    return list({item.path: item for item in items}.values())


def lent(node: Node, members: Sequence[Student]) -> list[Item]:
    """The files that the topology has for a machine of these students together. Raises as `overlay` does."""
    if not node.own:
        return []
    context = {"members": members, "machine": node}
    return [_item(file, node.own.templates, context=context) for file in node.own.files]


def _item(file: File, folder: Path, *others: Path, context: dict[str, Any]) -> Item:
    """A file from a folder of templates; they may include those of `others`."""

    def line(text: str) -> str:
        return templates.text(text, **context) if "{{" in text else text

    path = line(file.path)
    if not _PATH.fullmatch(path):  # `render` would write it elsewhere
        where = f"{folder.parent}: files: {shown(path)}"
        raise UsageError(f"{where}: expected an absolute path without '..' for {context['machine'].name}.")
    if file.link:
        return Item(path, b"", 0o777, line(file.link))
    return Item(path, templates.file(folder, file.template or "", *others, **context).encode(), file.mode, uid=file.uid)


def hostname(items: list[Item]) -> str | None:
    """The host name that a machine's overlay gives it, None if it gives none."""
    return next((item.content.decode().strip() for item in items if item.path == HOSTNAME), None)


def as_tar(items: list[Item]) -> bytes:
    """The overlay as a tar archive rooted at /; folders are left to the image."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for item in items:
            entry = tarfile.TarInfo(item.path.lstrip("/"))
            entry.mode, entry.mtime = item.mode, BORN
            entry.uid = entry.gid = item.uid
            if item.link:
                entry.type, entry.linkname = tarfile.SYMTYPE, item.link
            entry.size = len(item.content)
            archive.addfile(entry, io.BytesIO(item.content))
    return buffer.getvalue()


def fingerprint(*parts: str | bytes) -> str:
    """A short hash of what a machine is made from, to tell later whether it would be made the same way again."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:16]


def write(items: list[Item], folder: Path) -> None:
    """Write the overlay as a tree below `folder`."""
    for item in items:
        target = folder / item.path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if item.link:
            target.symlink_to(item.link)
            continue
        target.write_bytes(item.content)
        target.chmod(item.mode)
        os.utime(target, (BORN, BORN))
