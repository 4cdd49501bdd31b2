"""What scp and sftp(1) show of a student at the gate: their own hand-ins, to fetch, and their log book, to fetch and to replace.

    /logbook.md
    /LAB/20270126T231005Z.tar.gz

Nothing else is there, whatever path is named, and nothing else can be written.
"""

import asyncio
import io
import os
import posixpath
import stat
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import NoReturn, cast

from asyncssh import (
    FILEXFER_TYPE_DIRECTORY,
    FILEXFER_TYPE_REGULAR,
    FXF_WRITE,
    SFTPAttrs,
    SFTPFailure,
    SFTPName,
    SFTPNoSuchFile,
    SFTPOpUnsupported,
    SFTPPermissionDenied,
    SFTPServer,
    SSHServerChannel,
)

from labenv.classroom.serving import received
from labenv.errors import LabenvError
from labenv.gate.state import Gate
from labenv.sheet import logbook
from labenv.text import decoded

_BOOK = "/logbook.md"
_FOLDER = SFTPAttrs(type=FILEXFER_TYPE_DIRECTORY, permissions=stat.S_IFDIR | 0o500)


class _Book(io.BytesIO):
    """The log book while it is read or written."""

    def __init__(self, content: bytes = b"", *, new: bool = False) -> None:
        super().__init__(content)
        self.new = new


class Files(SFTPServer):
    """The files of one student."""

    def __init__(self, chan: "SSHServerChannel[bytes]", gate: Gate, student: str, address: str) -> None:
        super().__init__(chan)
        self._gate = gate
        self._student = student
        self._address = address
        gate.files[student] += 1

    def realpath(self, path: bytes) -> bytes:
        """The path from the top, whatever is there."""
        return _path(path).encode()

    async def stat(self, path: bytes) -> SFTPAttrs:
        """What is said of a file or folder."""
        name = _path(path)
        if name == _BOOK:
            return _of_file(len(await self._book()), writable=True)
        if name in self._folders():
            return _FOLDER
        found = os.stat(self._file(name))
        return _of_file(found.st_size, int(found.st_mtime))

    async def lstat(self, path: bytes) -> SFTPAttrs:
        """The same: there are no links."""
        return await self.stat(path)

    async def scandir(self, path: bytes) -> AsyncIterator[SFTPName]:
        """What is in a folder."""
        name = _path(path)
        folders = self._folders()
        if name not in folders:
            raise SFTPNoSuchFile("There is no such folder.")
        yield SFTPName(b".", attrs=_FOLDER)
        if name == "/":
            for folder in folders:
                if folder != "/":
                    yield SFTPName(folder[1:].encode(), attrs=await self.stat(folder.encode()))
            yield SFTPName(_BOOK[1:].encode(), attrs=await self.stat(_BOOK.encode()))
            return
        for file in sorted(folders[name].iterdir()):
            if received.taken_at(file):
                yield SFTPName(file.name.encode(), attrs=await self.stat(f"{name}/{file.name}".encode()))

    async def open(self, path: bytes, pflags: int, attrs: SFTPAttrs) -> object:
        """Open a file to read it, or the log book to replace it."""
        name = _path(path)
        if pflags & FXF_WRITE:
            if name != _BOOK:
                raise SFTPPermissionDenied(
                    "Only logbook.md can be sent here. For files of a machine: YOU+MACHINE@SERVER."
                )
            return _Book(new=True)
        self._gate.note(self._student, "fetch", self._address, file=name)
        if name == _BOOK:
            return _Book(await self._book())
        return open(self._file(name), "rb")  # the client closes it

    def fstat(self, file_obj: object) -> SFTPAttrs:
        """What is said of an open file."""
        if isinstance(file_obj, _Book):
            return _of_file(len(file_obj.getbuffer()), writable=True)
        return _of_file(os.fstat(cast(io.BufferedReader, file_obj).fileno()).st_size)

    def write(self, file_obj: object, offset: int, data: bytes) -> int:
        """Take a part of the new log book."""
        if not isinstance(file_obj, _Book) or not file_obj.new:
            raise SFTPPermissionDenied("This file cannot be written.")
        if offset + len(data) > logbook.LARGEST:
            raise SFTPFailure(f"A log book has at most {logbook.LARGEST} bytes.")
        file_obj.seek(offset)
        return file_obj.write(data)

    async def close(self, file_obj: object) -> None:
        """Close a file; the new log book replaces the old one only now, whole."""
        book = cast(io.IOBase, file_obj)
        if isinstance(book, _Book) and book.new:
            await self._replace(book.getvalue())
        book.close()

    def fsetstat(self, file_obj: object, attrs: SFTPAttrs) -> None:
        """Clients set the mode of what they have sent; it means nothing here."""

    def setstat(self, path: bytes, attrs: SFTPAttrs) -> None:
        """Likewise for the log book."""
        if _path(path) != _BOOK:
            _refuse()

    def lsetstat(self, path: bytes, attrs: SFTPAttrs) -> None:
        """Refused."""
        _refuse()

    def open56(self, path: bytes, desired_access: int, flags: int, attrs: SFTPAttrs) -> object:
        """A later version of the protocol, which is not offered."""
        _refuse()

    def remove(self, path: bytes) -> None:
        """Refused."""
        _refuse()

    def mkdir(self, path: bytes, attrs: SFTPAttrs) -> None:
        """Refused."""
        _refuse()

    def rmdir(self, path: bytes) -> None:
        """Refused."""
        _refuse()

    def rename(self, oldpath: bytes, newpath: bytes) -> None:
        """Refused."""
        _refuse()

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        """Refused."""
        _refuse()

    def readlink(self, path: bytes) -> bytes:
        """Refused."""
        _refuse()

    def symlink(self, oldpath: bytes, newpath: bytes) -> None:
        """Refused."""
        _refuse()

    def link(self, oldpath: bytes, newpath: bytes) -> None:
        """Refused."""
        _refuse()

    def statvfs(self, path: bytes) -> NoReturn:
        """Refused: the server's disk is nobody's business."""
        _refuse()

    def fstatvfs(self, file_obj: object) -> NoReturn:
        """Refused."""
        _refuse()

    def exit(self) -> None:
        """The client has gone: scp(1) takes a session without an exit status for a failure."""
        self._gate.files[self._student] -= 1
        self.channel.exit(0)

    def _folders(self) -> Mapping[str, Path]:
        mine = received.folders(self._gate.current(), self._student)
        return {"/": Path("/"), **{f"/{name}": folder for name, folder in mine.items()}}

    def _file(self, name: str) -> Path:
        folder = self._folders().get(posixpath.dirname(name))
        file = folder / posixpath.basename(name) if folder and posixpath.dirname(name) != "/" else None
        if file is None or not received.taken_at(file) or not file.is_file():
            raise SFTPNoSuchFile("There is no such file.")
        return file

    async def _book(self) -> bytes:
        def read() -> bytes:
            there = self._gate.engine_of(self._student).environments(self._student)
            if not there or there[0].belongs.class_id != self._gate.of.id:
                raise SFTPNoSuchFile("You have no machines, so there is no log book.")
            return logbook.read(self._gate.engine_of(self._student), there[0]).encode()

        try:
            return await asyncio.to_thread(read)
        except LabenvError as error:
            raise SFTPFailure(str(error)) from error

    async def _replace(self, content: bytes) -> None:
        self._gate.note(self._student, "send", self._address, file=_BOOK, bytes=len(content))
        try:
            text = content.decode()
            there = await self._gate.environment(self._student)
            if there is None:
                raise SFTPNoSuchFile("You have no machines, so there is no log book.")
            await asyncio.to_thread(logbook.write, self._gate.engine_of(self._student), there, text)
        except UnicodeDecodeError as error:
            raise SFTPFailure("The log book is not UTF-8 text, so the old one stays.") from error
        except LabenvError as error:
            raise SFTPFailure(f"{error} The old log book stays.") from error


def _path(path: bytes) -> str:
    return posixpath.normpath("/" + decoded(path).lstrip("/"))


def _of_file(size: int, changed: int | None = None, *, writable: bool = False) -> SFTPAttrs:
    mode = stat.S_IFREG | (0o600 if writable else 0o400)
    return SFTPAttrs(type=FILEXFER_TYPE_REGULAR, size=size, permissions=mode, atime=changed, mtime=changed)


def _refuse() -> NoReturn:
    raise SFTPOpUnsupported("That cannot be done here.")
