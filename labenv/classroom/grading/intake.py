"""Takes hand-ins in as they come: single archives, folders, and the zip in which an LMS gives them all.

Nothing is unpacked to disk, and everything has a limit. No name in a zip is ever a path here: it is only read for what it tells.
"""

import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

from labenv import plain_tar
from labenv.classroom.folder.model import Class
from labenv.classroom.grading import lms
from labenv.classroom.grading.lms import Named
from labenv.classroom.grading.whose import Roster
from labenv.classroom.handins.archive import LARGEST_FILE
from labenv.errors import UsageError
from labenv.plain_tar import Unreadable
from labenv.text import one_line

MOST_ATTEMPTS = 20  # of one student that are read
_MOST_FILES = 20_000
_DEEPEST = 20
_LONGEST = 400  # characters of a name; of a longer one the end is read
# What an LMS puts beside hand-ins, and what other systems leave in zips and folders.
_BESIDE = (".txt", ".html", ".htm")
_LITTER = ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini")
# What a zip can raise: damaged, encrypted, packed in a way that Python does not know.
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, ValueError)


@dataclass(frozen=True)
class HandIn:
    """One archive that was handed in. `file` is what it is called, `named` what that tells; `read` gives its bytes.

    `read` raises Unreadable.
    """

    file: str
    named: Named
    read: Callable[[], bytes]


@dataclass
class Taken:
    """All that was found: the hand-ins of each member, by id, in the order of their times and names.

    `wrong` are sentences on files of a member that are no archives, by id. `loose` are sentences on files that are nobody's.
    """

    attempts: dict[str, list[HandIn]] = field(default_factory=dict)
    wrong: dict[str, list[str]] = field(default_factory=dict)
    loose: list[str] = field(default_factory=list)


def take(of: Class, sources: Iterable[Path], participants: Mapping[str, str], stack: ExitStack) -> Taken:
    """The hand-ins in these files and folders; zips stay open until the stack closes. Raises UsageError for what is not there.

    `participants` are the students, by Moodle's numbers, whom a name alone does not tell.
    """
    found = Taken()
    roster = Roster(of.members)
    ids = {name.casefold() for one in of.members for name in (one.id, one.given)}
    for file, read in _files(sources, stack):
        name = PurePosixPath(file).name
        if name.startswith("._") or any(part in _LITTER for part in PurePosixPath(file).parts):
            continue
        told = lms.named(file[-_LONGEST:], of.zone, ids)
        is_archive = name.lower().endswith(lms.ENDINGS)
        if not is_archive and name.lower().endswith(_BESIDE):
            continue
        shown = one_line(file)[-_LONGEST:]
        try:
            member = roster.find([*filter(None, [participants.get(told.number)]), *told.keys])
        except UsageError as error:
            found.loose.append(f"{shown}: {error}")
            continue
        if member is None:
            found.loose.append(f"{shown}: nobody in the roster is called like that. Call it by the id: ID.tar.gz")
        elif not is_archive:
            found.wrong.setdefault(member.id, []).append(
                f"{shown} is no archive of `labenv submit`, which is called .tar.gz"
            )
        else:
            found.attempts.setdefault(member.id, []).append(HandIn(shown, told, read))
    for those in found.attempts.values():
        those.sort(key=lambda one: (one.named.time.timestamp() if one.named.time else 0.0, one.file))
    return found


def _files(sources: Iterable[Path], stack: ExitStack) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """The name of each file, below its source, and what reads it."""
    count = 0
    for source in sources:
        for each in _of_one(source, stack):
            count += 1
            if count > _MOST_FILES:
                raise UsageError(
                    f"{source} has more than {_MOST_FILES} files. Name the folder with the hand-ins alone."
                )
            yield each


def _of_one(source: Path, stack: ExitStack) -> Iterator[tuple[str, Callable[[], bytes]]]:
    if source.is_dir():
        for path in _walk(source):
            yield f"{source.resolve().name}/{path.relative_to(source).as_posix()}", partial(_from_disk, path)
    elif not source.exists():
        raise UsageError(f"There is no {one_line(str(source))}. Give archives, a folder, or the zip from your LMS.")
    elif source.suffix.lower() == ".zip":
        try:
            packed = stack.enter_context(zipfile.ZipFile(source))
        except _BROKEN as error:
            raise UsageError(f"{source} is not a zip, or it is damaged ({error}). Download it again.") from error
        for entry in packed.infolist():
            if not entry.is_dir():
                yield entry.filename, partial(_from_zip, packed, entry)
    else:
        yield source.name, partial(_from_disk, source)


def _walk(folder: Path, depth: int = 0) -> Iterator[Path]:
    """The regular files below a folder, in order. Links are left: they may lead anywhere. No LMS makes folders as deep as _DEEPEST."""
    try:
        there = sorted(folder.iterdir())
    except OSError as error:
        raise UsageError(f"{folder} cannot be read: {error.strerror}.") from error
    for path in there:
        if path.is_symlink():
            continue
        if path.is_dir() and depth < _DEEPEST:
            yield from _walk(path, depth + 1)
        elif path.is_file():
            yield path


def _from_disk(path: Path) -> bytes:
    try:
        with plain_tar.opened(path) as source:
            return source.read(LARGEST_FILE + 1)
    except OSError as error:
        raise Unreadable(f"it cannot be read: {error.strerror}") from error


def _from_zip(packed: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """A file in a zip: at most so many bytes, whatever it says of its size and however small it is packed."""
    if entry.flag_bits & 1:  # APPNOTE.TXT 4.4.4
        raise Unreadable("it is encrypted in the zip")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others unpack without a limit
        raise Unreadable("it is packed in the zip in a way that no LMS uses. Pack the zip again")
    try:
        with packed.open(entry) as source:
            return source.read(LARGEST_FILE + 1)
    except _BROKEN as error:
        raise Unreadable(f"it cannot be taken out of the zip: {one_line(str(error))[:100]}") from error
