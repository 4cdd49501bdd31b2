"""Reads a tar archive without trusting it: block by block, and only the plain form (POSIX.1-1988, ustar).

tarfile would follow extensions that rename, enlarge or repeat members, and read a header of any size into memory.
"""

import os
import stat
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

_BLOCK = tarfile.BLOCKSIZE
_PIECE = 1 << 20
_LARGEST_NOTE = 1 << 16
GZIP = 16 + zlib.MAX_WBITS  # gzip's format alone (zlib manual, inflateInit2)
# Of a member's extended header (pax), these would change what its plain header says.
_CHANGING = (b" path=", b" linkpath=", b" size=", b" GNU.sparse")


class Unreadable(Exception):
    """The file is not what it should be; the text says why, beginning with "it" or "its"."""


class Source(Protocol):
    """What an archive is read from."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; fewer than that only at the end."""


@dataclass(frozen=True)
class Member:
    """A member: a file of `size` bytes, a symbolic link to `target`, or a folder (whose name here ends without `/`).

    `time` is when it was last changed, in seconds since 1970; it may be any number.
    """

    name: str
    kind: str
    size: int
    target: str
    time: float

    @property
    def shown(self) -> str:
        """The name in a form that a terminal can take."""
        return ascii(self.name[:80])


_KINDS = {tarfile.REGTYPE: "file", tarfile.AREGTYPE: "file", tarfile.SYMTYPE: "link", tarfile.DIRTYPE: "folder"}


def opened(file: Path) -> BinaryIO:
    """The regular file, open. Raises Unreadable for anything else: a named pipe would never end; OSError."""
    source = open(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")  # noqa: SIM115  # returned open
    if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
        source.close()
        raise Unreadable("it is not a regular file")
    return source


class Unzipped:
    """A source that unpacks a gzip file as it is read, and raises Unreadable once that is more than `most` bytes."""

    def __init__(self, packed: Source, most: int) -> None:
        self._packed, self._most, self._left = packed, most, most
        self._unzip = zlib.decompressobj(GZIP)
        self._ready = bytearray()

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; fewer only at the end, where the checksum is compared. Raises Unreadable."""
        while len(self._ready) < size and not self._unzip.eof:
            raw = self._unzip.unconsumed_tail or self._packed.read(_PIECE // 16)
            if not raw:
                raise Unreadable("it is truncated")
            try:
                piece = self._unzip.decompress(raw, _PIECE)
            except zlib.error as error:
                raise Unreadable("it is not a gzip file, or it is damaged") from error
            self._left -= len(piece)
            if self._left < 0:
                raise Unreadable(f"it unpacks to more than the {self._most / 1e6:.0f} MB that it may have")
            self._ready += piece
        given = bytes(self._ready[:size])
        del self._ready[:size]
        return given

    def drain(self) -> None:
        """Read to the end. Raises Unreadable."""
        while self.read(_PIECE):
            pass


def members(source: Source, *, notes: bool = False) -> Iterator[tuple[Member, Iterator[bytes]]]:
    """The members with their content in pieces of up to 1 MiB. What is left of a content is skipped.

    With `notes`, a member may have one extended header, which says what labenv does not read. Raises Unreadable for what is
    not a tar archive, is truncated, or is of another kind than a file, link or folder.
    """
    noted = False
    while (block := source.read(_BLOCK)).strip(b"\0"):
        entry = _header(block)
        shown = ascii(entry.name[:80])
        if entry.size < 0:
            raise Unreadable(f"its member {shown} has no valid size")
        if notes and entry.type == tarfile.XHDTYPE:
            if noted:
                raise Unreadable("it has two extended headers for one member")
            _read_note(source, entry)
            noted = True
            continue
        noted = False
        kind = _KINDS.get(entry.type)
        if kind is None:
            raise Unreadable(f"its member {shown} is not a regular file")
        size = entry.size if kind == "file" else 0
        content = _content(source, size)
        yield Member(entry.name.rstrip("/"), kind, size, entry.linkname, entry.mtime), content
        for _ in content:
            pass
        _exactly(source, -size % _BLOCK)


def _header(block: bytes) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except (tarfile.HeaderError, ValueError) as error:
        raise Unreadable("it is not a tar archive, or it is damaged") from error


def _read_note(source: Source, entry: tarfile.TarInfo) -> None:
    if entry.size > _LARGEST_NOTE:
        raise Unreadable("it has a header that is too large")
    said = _exactly(source, entry.size + -entry.size % _BLOCK)
    if any(word in said for word in _CHANGING):
        raise Unreadable("it has a header that changes another")


def _content(source: Source, size: int) -> Iterator[bytes]:
    while size:
        piece = _exactly(source, min(size, _PIECE))
        size -= len(piece)
        yield piece


def _exactly(source: Source, size: int) -> bytes:
    data = source.read(size) if size else b""
    if len(data) < size:
        raise Unreadable("it is truncated")
    return data
