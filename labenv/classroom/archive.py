"""Reads a submission without trusting it: nothing is written to disk, and everything has a limit.

The tar format is read here block by block, because only its plain form is allowed: tarfile would follow extensions that
rename, enlarge or repeat members.
"""

import contextlib
import hashlib
import json
import os
import stat
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labenv.classroom.handin import FORMAT, LARGEST, MANIFEST, is_name

_BLOCK = tarfile.BLOCKSIZE
_LARGEST_FILE = 16_000_000
_LARGEST_WHOLE = 64_000_000
_STEEPEST = 200  # logs shrink to a twentieth of their size, a zip bomb to a thousandth
_SMALL = 1_000_000  # allowed at any ratio
_MOST = 300


class Unreadable(Exception):
    """The archive cannot come from labenv; the text says why."""


@dataclass(frozen=True)
class Archive:
    """An archive's members by name, its manifest, and in `notes` how the members contradict the manifest."""

    members: dict[str, bytes]
    manifest: dict[str, Any]
    notes: tuple[str, ...]

    def text(self, name: str) -> str:
        """A member as text, empty if there is none."""
        return self.members.get(name, b"").decode(errors="replace")


def read(file: Path) -> Archive:
    """The archive in a file. Raises Unreadable."""
    members = _members(_unpacked(_content(file)))
    manifest = document(members.get(MANIFEST), MANIFEST)
    for name in ("student", "domain", "network", "lab", "labenv", "time"):
        if not isinstance(manifest.get(name), str) or len(manifest[name]) > 100:
            raise Unreadable(f"its {MANIFEST} has no valid '{name}'")
    if manifest.get("format") != FORMAT:
        raise Unreadable(
            f"its format is {str(manifest.get('format'))[:20]}, which this version of labenv does not know"
        )
    return Archive(members, manifest, tuple(_contradictions(members, manifest)))


def document(data: bytes | None, name: str) -> dict[str, Any]:
    """A JSON object. Raises Unreadable if it is not one, or is nested too deeply."""
    if data is None:
        raise Unreadable(f"it has no {name}")
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"its {name} is not JSON") from error
    if not isinstance(tree, dict):
        raise Unreadable(f"its {name} is not a JSON object")
    return tree


def _content(file: Path) -> bytes:
    try:
        # Non-blocking, because a named pipe would never end.
        with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK), "rb") as source:
            if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
                raise Unreadable("it is not a regular file")
            data = source.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise Unreadable(f"it cannot be read: {error.strerror}") from error
    except ValueError as error:  # a name with a null character
        raise Unreadable(f"it cannot be read: {error}") from error
    if len(data) > _LARGEST_FILE:
        raise Unreadable(f"it is larger than {_LARGEST_FILE} bytes")
    return data


def _unpacked(data: bytes) -> bytes:
    most = min(_LARGEST_WHOLE, max(_SMALL, len(data) * _STEEPEST))
    unzip = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)  # gzip's format alone
    try:
        whole = unzip.decompress(data, most + 1)
    except zlib.error as error:
        raise Unreadable("it is not a gzip file, or it is damaged") from error
    if len(whole) > most:
        raise Unreadable("it unpacks to more data than a submission can have")
    if not unzip.eof:
        raise Unreadable("it is truncated")
    return whole


def _members(tar: bytes) -> dict[str, bytes]:
    members: dict[str, bytes] = {}
    place = 0
    while (block := tar[place : place + _BLOCK]).strip(b"\0"):
        try:
            entry = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.HeaderError, ValueError) as error:
            raise Unreadable("it is not a tar archive, or it is damaged") from error
        shown = ascii(entry.name[:80])
        if entry.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            raise Unreadable(f"its member {shown} is not a regular file")
        if not is_name(entry.name):
            raise Unreadable(f"its member {shown} does not belong in a submission")
        if entry.name in members:
            raise Unreadable(f"its member {shown} occurs twice")
        if not 0 <= entry.size <= LARGEST:
            raise Unreadable(f"its member {shown} is larger than {LARGEST} bytes")
        content = tar[place + _BLOCK : place + _BLOCK + entry.size]
        if len(content) < entry.size:
            raise Unreadable("it is truncated")
        members[entry.name] = content
        if len(members) > _MOST:
            raise Unreadable(f"it has more than {_MOST} members")
        place += _BLOCK + -(-entry.size // _BLOCK) * _BLOCK
    return members


def _contradictions(members: dict[str, bytes], manifest: dict[str, Any]) -> list[str]:
    listed: dict[str, Any] = {}
    for entry in manifest["members"] if isinstance(manifest.get("members"), list) else []:
        with contextlib.suppress(TypeError, KeyError):  # an invalid entry is skipped
            listed[str(entry["name"])[:200]] = (entry["sha256"], entry["size"])
    there = {name: content for name, content in members.items() if name != MANIFEST}
    notes = [f"{name} is not in the manifest" for name in there if name not in listed]
    notes += [f"{name} is in the manifest, but missing" for name in list(listed)[:_MOST] if name not in there]
    for name, content in there.items():
        if name in listed and listed[name] != (hashlib.sha256(content).hexdigest(), len(content)):
            notes.append(f"checksum of {name} does not match")
    return notes
