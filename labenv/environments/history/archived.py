"""A history that comes in an archive: verified before anything reads it.

A few bytes can stand for gigabytes: in a compressed object, in a delta, or in folders that contain each other's content again
and again. So the sizes are counted before git unpacks anything, and the files of each commit before git lists any.
"""

import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from labenv.environments.history import form, git
from labenv.environments.history.form import CHECKS, WORK
from labenv.errors import LabenvError

_MOST = 256_000_000  # bytes of all objects, unpacked
_LARGEST = 8_000_000  # bytes of one; a machine records no file of more than 200 kB
_COMMITS = 100_000  # of one branch
_FILES = 10_000  # in one commit
_BYTES = 64_000_000  # of the files in one commit
_OBJECTS = 1_000_000
_CHANGES = 200_000  # of a file, in all commits
_HEAD = b"# v2 git bundle\n"
_COMMIT = re.compile("[0-9a-f]{40}")
_DELTA, _NAMED_DELTA = 6, 7  # kinds of objects that are made from another, which has a place or a name
_BITS = 64
_PIECE = 1 << 14


def unpack(bundle: bytes, repository: Path) -> dict[str, str]:
    """Unpack a bundle into an empty repository; return its branches, each with its newest commit.

    Raises LabenvError if it is not a history, or larger than one can be.
    """
    try:
        heads, pack = _opened(bundle)
        _measure(pack)
        git.run(repository, "index-pack", "--stdin", "--strict", said=pack)
        weights = _weights(repository)
        for branch, commit in heads.items():
            git.run(repository, "update-ref", branch, commit)
            _verify(repository, branch, weights)
    except (ValueError, LookupError, RecursionError, zlib.error) as error:
        raise LabenvError("it is damaged, or not the bundle of a history.") from error
    return heads


def _opened(bundle: bytes) -> tuple[dict[str, str], memoryview]:
    """The branches of a bundle (gitformat-bundle(5)), each with its newest commit, and its pack. Raises ValueError."""
    head, _, _ = bundle.partition(b"\n\n")
    lines = head.removeprefix(_HEAD).decode("ascii").split("\n")
    heads = {branch: commit for commit, branch in (line.split(" ") for line in lines)}
    known = heads and heads.keys() <= {WORK, CHECKS} and all(map(_COMMIT.fullmatch, heads.values()))
    if not bundle.startswith(_HEAD) or not known:
        raise ValueError
    return heads, memoryview(bundle)[len(head) + 2 :]


def _measure(pack: memoryview) -> None:
    """Refuse a pack (gitformat-pack(5)) that unpacks to too much. Raises LabenvError, ValueError, IndexError, zlib.error."""
    objects = int.from_bytes(pack[8:12])
    if bytes(pack[:4]) != b"PACK" or objects > _OBJECTS:
        raise ValueError
    at, all_sizes = 12, 0
    for _ in range(objects):
        kind = pack[at] >> 4 & 7
        size, at = _number(pack, at, first=4)
        if kind == _NAMED_DELTA:
            at += 20
        elif kind == _DELTA:
            _, at = _number(pack, at)
        _not_above(size, _LARGEST)
        data, at = _unzipped(pack, at, size)
        if kind in (_DELTA, _NAMED_DELTA):  # it begins with the size of the other object, and its own
            _, second = _number(data, 0)
            size, _ = _number(data, second)
            _not_above(size, _LARGEST)
        all_sizes += max(size, len(data))
        _not_above(all_sizes, _MOST)


def _not_above(size: int, most: int) -> None:
    if size > most:
        raise LabenvError(f"it unpacks to more than {most // 10**6} MB.")


def _number(data: memoryview | bytes, at: int, *, first: int = 7) -> tuple[int, int]:
    """The number that begins there, its lowest bits first, and where it ends: each byte but the last has the highest bit."""
    number, bits = data[at] & (1 << first) - 1, first
    while data[at] & 0x80:
        at += 1
        number |= (data[at] & 0x7F) << bits
        bits += 7
        if bits > _BITS:
            raise ValueError
    return number, at + 1


def _unzipped(pack: memoryview, at: int, size: int) -> tuple[bytes, int]:
    """What begins there, and where it ends. Raises ValueError unless it has that size, zlib.error."""
    unzip, data = zlib.decompressobj(), bytearray()
    while not unzip.eof:
        piece = pack[at : at + _PIECE]
        data += unzip.decompress(piece, size + 1)
        at += len(piece) - len(unzip.unused_data) - len(unzip.unconsumed_tail)
        if len(data) > size or not piece:
            raise ValueError
    if len(data) != size:
        raise ValueError
    return bytes(data), at


def _weights(repository: Path) -> dict[str, tuple[int, int]]:
    """How many files each folder has, with those below it, and their bytes.

    Raises LabenvError; ValueError, LookupError or RecursionError for a folder that labenv does not write.
    """
    asked = "--batch-check=%(objectname) %(objecttype) %(objectsize)"
    listed = git.run(repository, "cat-file", "--batch-all-objects", asked).decode().splitlines()
    found = [line.split() for line in listed]
    folders = [name for name, kind, _ in found if kind == "tree"]
    files = {name: (1, int(size)) for name, kind, size in found if kind == "blob"}
    content = dict(zip(folders, git.contents(repository, folders), strict=True))
    weights: dict[str, tuple[int, int]] = {}

    def weight(folder: str) -> tuple[int, int]:
        if folder not in weights:
            parts = [files[name] if is_file else weight(name) for is_file, name in _members(content[folder] or b"")]
            weights[folder] = sum(count for count, _ in parts), sum(size for _, size in parts)
        return weights[folder]

    for folder in folders:
        weight(folder)
    return weights


def _members(folder: bytes) -> Iterator[tuple[bool, str]]:
    """What is in a folder: whether it is a file, and its name in git (Pro Git, Git Objects). Raises ValueError, KeyError."""
    at = 0
    while at < len(folder):
        end = folder.index(b"\0", at)
        yield {b"100644": True, b"40000": False}[folder[at:end].partition(b" ")[0]], folder[end + 1 : end + 21].hex()
        at = end + 21


def _verify(repository: Path, branch: str, weights: dict[str, tuple[int, int]]) -> None:
    """Refuse a branch that labenv cannot have written, or could not read. Raises LabenvError, ValueError, LookupError."""
    told = git.run(repository, "log", "-z", "--format=%H%n%P%n%T%n%ct%n%B", branch).decode()
    commits = [commit.split("\n", 4) for commit in told.split("\0") if commit]
    if len(commits) > _COMMITS:
        raise LabenvError(f"it has more than {_COMMITS} commits.")
    for _, parents, folder, time, message in commits:
        files, size = weights[folder]
        if files > _FILES or size > _BYTES:
            raise LabenvError(f"it has a commit of more than {_FILES} files, or {_BYTES // 10**6} MB.")
        if " " in parents or not form.can_be(int(time)) or (branch == WORK and not form.kept(message)):
            raise LabenvError("it has a commit that no labenv writes, or of a time that has not come yet.")
    if branch == CHECKS:
        asked = [f"{commit}:{form.RESULTS}" for commit, *_ in commits]
        if not all(data and form.results(data) is not None for data in git.contents(repository, asked)):
            raise LabenvError("it has results that no check has.")
    elif git.run(repository, "log", *form.EDITS, branch).count(b"\0") > _CHANGES:
        raise LabenvError(f"it has more than {_CHANGES} edits.")
