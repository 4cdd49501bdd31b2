"""Reads a submission without trusting it: nothing is written to disk, and everything has a limit."""

import contextlib
import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labenv import plain_tar
from labenv.classroom.handins.handin import FORMAT, LARGEST, MANIFEST, is_name
from labenv.plain_tar import Unreadable
from labenv.text import decoded

LARGEST_FILE = 16_000_000
_LARGEST_WHOLE = 64_000_000
_STEEPEST = 200  # logs shrink to a twentieth of their size, a zip bomb to a thousandth
_SMALL = 1_000_000  # allowed at any ratio
_MOST = 300


@dataclass(frozen=True)
class Archive:
    """An archive's members by name, its manifest, and in `notes` how the members contradict the manifest.

    `stamps` are the members' own times, in seconds since 1970.
    """

    members: dict[str, bytes]
    manifest: dict[str, Any]
    notes: tuple[str, ...]
    stamps: dict[str, float]

    def text(self, name: str) -> str:
        """A member as text, empty if there is none."""
        return decoded(self.members.get(name, b""))


def read(file: Path) -> Archive:
    """The archive in a file. Raises Unreadable."""
    return read_bytes(_content(file))


def read_bytes(data: bytes) -> Archive:
    """The archive that is these bytes. Raises Unreadable."""
    if len(data) > LARGEST_FILE:
        raise Unreadable(f"it is larger than {LARGEST_FILE} bytes")
    members, stamps = _members(data)
    manifest = document(members.get(MANIFEST), MANIFEST)
    for name in ("student", "domain", "network", "lab", "labenv", "time"):
        if not isinstance(manifest.get(name), str) or len(manifest[name]) > 100:
            raise Unreadable(f"its {MANIFEST} has no valid '{name}'")
    if manifest.get("format") != FORMAT:
        raise Unreadable(
            f"its format is {str(manifest.get('format'))[:20]}, which this version of labenv does not know"
        )
    return Archive(members, manifest, tuple(_contradictions(members, manifest)), stamps)


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
        with plain_tar.opened(file) as source:
            data = source.read(LARGEST_FILE + 1)
    except OSError as error:
        raise Unreadable(f"it cannot be read: {error.strerror}") from error
    except ValueError as error:  # a name with a null character
        raise Unreadable(f"it cannot be read: {error}") from error
    return data


def _members(data: bytes) -> tuple[dict[str, bytes], dict[str, float]]:
    whole = plain_tar.Unzipped(io.BytesIO(data), min(_LARGEST_WHOLE, max(_SMALL, len(data) * _STEEPEST)))
    members: dict[str, bytes] = {}
    stamps: dict[str, float] = {}
    for member, content in plain_tar.members(whole):
        if member.kind != "file":
            raise Unreadable(f"its member {member.shown} is not a regular file")
        if not is_name(member.name):
            raise Unreadable(f"its member {member.shown} does not belong in a submission")
        if member.name in members:
            raise Unreadable(f"its member {member.shown} occurs twice")
        if member.size > LARGEST:
            raise Unreadable(f"its member {member.shown} is larger than {LARGEST} bytes")
        members[member.name], stamps[member.name] = b"".join(content), member.time
        if len(members) > _MOST:
            raise Unreadable(f"it has more than {_MOST} members")
    whole.drain()
    return members, stamps


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
