"""A layer of an image, looked at while it is hashed: it takes no more of the engine's disk than its bytes say.

An engine unpacks what it finds. So a layer is a tar archive, plain or in one gzip stream, and each header in it says one
thing to every reader: a file takes as many bytes as its header has behind it (pax(1); Go's archive/tar).
"""

import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator

from labenv.plain_tar import GZIP, Unreadable

_BLOCK = tarfile.BLOCKSIZE
_PIECE = 1_000_000
_LARGEST_NOTE = 1 << 20
_MAGIC = slice(257, 262)
_SIZE = re.compile(rb" *([0-7]*)[ \0]*")
_GZIPPED = b"\x1f\x8b"
# By these first bytes an engine takes even a tar archive for one that is packed: bzip2, xz, zstd.
_PACKED = re.compile(rb"BZh|\xfd7zXZ|\(\xb5/\xfd|[P-_]\*M\x18")
_RECORD = re.compile(rb"([0-9]{1,7}) ([^=]*)=")
_CHANGING = re.compile(rb"size$|GNU\.sparse")
_FILE, _EMPTY = tarfile.REGTYPE, b"123456"
_NOTES = (tarfile.XHDTYPE, tarfile.XGLTYPE)
_NAMES = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)


def is_gzip(start: bytes) -> bool:
    """Whether a member that begins like this is a gzip stream."""
    return start.startswith(_GZIPPED)


def is_tar(start: bytes) -> bool:
    """Whether a member that begins like this is a tar archive for every engine; a layer without files is one of zeros."""
    block = start[:_BLOCK]
    return len(block) == _BLOCK and (_is_header(block) or not block.strip(b"\0")) and not _PACKED.match(block)


def unzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """What a gzip stream unpacks to, in pieces. Raises Unreadable unless the pieces are one whole stream and nothing else."""
    unzip = zlib.decompressobj(GZIP)
    for piece in pieces:
        rest = piece
        while rest:
            try:
                yield unzip.decompress(rest, _PIECE)
            except zlib.error as error:
                raise Unreadable("one of its layers is damaged") from error
            rest = unzip.unconsumed_tail
        if unzip.unused_data:  # zlib would gather it; Go would read it as more of the layer
            raise Unreadable("one of its layers goes on after its end")
    if not unzip.eof:
        raise Unreadable("one of its layers is truncated")


class Headers:
    """Reads the headers of a tar archive as its pieces come by; `room` is how many they and their records may be."""

    def __init__(self, room: int) -> None:
        self.room = room
        self._kept = b""
        self._skip = 0
        self._begun = False
        self._ended = False

    def feed(self, piece: bytes) -> None:
        """Look at the next piece. Raises Unreadable for a header that does not say how much it takes, or too many."""
        if self._ended:
            return
        data, at = self._kept + piece, self._skip
        while at + _BLOCK <= len(data):
            block = data[at : at + _BLOCK]
            if not self._begun and not is_tar(block):
                raise Unreadable("one of its layers is not a tar archive")
            self._begun = True
            if not block.strip(b"\0"):
                self._ended = True
                return
            kind, size = _header(block)
            content = at + _BLOCK
            if kind in _NOTES:
                if content + size > len(data):
                    break  # until the rest of the note is there
                self.room -= _records(data[content : content + size])
            self.room -= 1
            if self.room < 0:
                raise Unreadable("its layers have more files than labenv accepts")
            at = content + size + -size % _BLOCK
        self._kept, self._skip = data[at:], max(0, at - len(data))

    def end(self) -> None:
        """Say that there are no more pieces. Raises Unreadable if the archive is not whole."""
        if not self._ended and (self._kept or self._skip):
            raise Unreadable("one of its layers is truncated")


def _is_header(block: bytes) -> bool:
    return block[_MAGIC] == b"ustar"


def _header(block: bytes) -> tuple[bytes, int]:
    """The kind of a member, and the bytes behind its header."""
    size = _SIZE.fullmatch(block, 124, 136)
    kind = block[156:157]
    if not _is_header(block) or not size:
        raise Unreadable("one of its layers has a header that engines could read in different ways")
    if kind in _EMPTY:
        return kind, 0
    taken = int(size[1] or b"0", 8)
    if kind not in (_FILE, *_NOTES, *_NAMES):
        raise Unreadable(f"one of its layers has a member of the kind {chr(kind[0])!a}, which no engine writes")
    if kind != _FILE and taken > _LARGEST_NOTE:
        raise Unreadable("one of its layers has a header that is too large")
    return kind, taken


def _records(note: bytes) -> int:
    """How many records a note has (pax, "length key=value" lines). Raises Unreadable if one changes what its member takes."""
    at = count = 0
    while at < len(note):
        record = _RECORD.match(note, at)
        end = at + int(record[1]) if record else 0
        if not record or not record.end() < end <= len(note) or _CHANGING.match(record[2]):
            raise Unreadable("one of its layers has a header that changes another")
        at, count = end, count + 1
    return count
