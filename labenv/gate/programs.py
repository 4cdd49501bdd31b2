"""What can be held for a student: a command of labenv with a terminal of its own, or a program in one of the machines.

Both look the same from outside: bytes go in and out, a window changes, and there is an exit code at the end.
"""

import asyncio
import errno
import fcntl
import os
import re
import secrets
import shutil
import signal
import socket
import ssl
import struct
import sys
import termios
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from labenv.engine import Engine
from labenv.engine.session import Session
from labenv.environment import Machine
from labenv.errors import EngineError, LabenvError

BLOCK = 32768
GUEST = "LABENV_GUEST"  # set for commands of a student: nothing is asked that is the server's owner's to answer
_MARK = "LABENV_GATE"  # set in each program in a machine, so that it can be found again
_WAITING = 256 * 1024  # bytes for a program that does not read
_GRACE = 5.0  # seconds between SIGHUP and SIGKILL
_TERM = re.compile(r"[A-Za-z0-9][\w.+-]{0,40}", re.ASCII)
_LOCALE = re.compile(r"[A-Za-z0-9][\w.@-]{0,40}", re.ASCII)
# Programs of a student's shell that would lead to the server's own files or programs, and what means another student or class.
_NOT_THEIRS = re.compile(
    r"LABENV_(STUDENT|TEACHER|CLASS|DRILLS|PAGER)|(GIT_)?PAGER|VISUAL|EDITOR|LESS\w*|COLUMNS|LINES|LANG|LC_\w+|SSH_\w+"
)
# A session of its own has no terminal until it takes one (TIOCSCTTY, ioctl_tty(2)); then it becomes the command.
_TAKE_TERMINAL = "import fcntl,os,sys,termios; fcntl.ioctl(0,termios.TIOCSCTTY,0); os.execv(sys.argv[1],sys.argv[1:])"
_HANG_UP = """\
for each in /proc/[0-9]*; do
    grep -qs '^PPid:[[:space:]]*0$' $each/status && tr '\\0' '\\n' <$each/environ 2>/dev/null | {found} && kill -HUP ${{each#/proc/}}
done; true"""
SERVER = secrets.token_hex(4)  # this process among those that served the class before


class Program(Protocol):
    """Something that runs for a student. `size` is the lines and columns of its terminal."""

    size: tuple[int, int]

    async def read(self) -> bytes:
        """What it says next; empty at its end."""

    async def write(self, data: bytes) -> None:
        """Type that; waits while it does not read. What has ended takes nothing."""

    async def resize(self, lines: int, columns: int) -> None:
        """Give its terminal another size."""

    async def ended(self) -> int:
        """Wait until it has ended; its exit code. Raises LabenvError, with the reason, if its machine went with it."""

    async def hang_up(self) -> None:
        """End it, as when a terminal is closed (SIGHUP)."""


def environ(student_id: str, terminal: str | None, locale: dict[str, str]) -> dict[str, str]:
    """The environment for a command of labenv that a student runs on a terminal of that type, None for none."""
    mine = {name: value for name, value in os.environ.items() if not _NOT_THEIRS.fullmatch(name)}
    mine |= {name: value for name, value in locale.items() if _LOCALE.fullmatch(value)}
    mine |= {"LABENV_STUDENT": student_id, GUEST: "1", "TERM": term(terminal)}
    # In its secure mode less(1) runs no other program and opens no other file.
    pager = "less" if shutil.which("less") else "cat"
    return mine | {"LABENV_PAGER": pager, "LESSSECURE": "1", "LESS": "FRX", "LESSHISTFILE": "-", "LESSOPEN": ""}


def term(given: str | None) -> str:
    """The type of a terminal as a student's client names it, or dumb(7) for a name that is none."""
    return given if given and _TERM.fullmatch(given) else "dumb"


def labenv(*arguments: str) -> list[str]:
    """The command line of a labenv command: this very labenv, whatever lies in the folder where it runs."""
    return [sys.executable, "-P", "-m", "labenv", *arguments]


async def spawned(
    arguments: Sequence[str], streams: int, environment: dict[str, str], folder: Path
) -> asyncio.subprocess.Process:
    """Start a command of labenv on the server. `streams` is what its input, output and errors are. Raises EngineError."""
    try:
        return await asyncio.create_subprocess_exec(
            *arguments,
            stdin=streams,
            stdout=streams,
            stderr=streams,
            env=environment,
            cwd=folder,
            start_new_session=True,
            umask=0o077,
        )
    except OSError as error:
        raise EngineError(f"The server cannot start a command now: {error.strerror}. Try again.") from error


async def command(
    arguments: Sequence[str], environment: dict[str, str], size: tuple[int, int], folder: Path
) -> Program:
    """Start a command of labenv in a terminal of its own, in a folder. `size` is lines and columns. Raises EngineError."""
    terminal, theirs = os.openpty()
    ours = os.fdopen(terminal, "rb", 0)
    _resized(terminal, *size)
    try:
        process = await spawned(
            (sys.executable, "-I", "-S", "-c", _TAKE_TERMINAL, *arguments), theirs, environment, folder
        )
    except EngineError:
        ours.close()
        raise
    finally:
        os.close(theirs)
    loop = asyncio.get_running_loop()
    out = asyncio.StreamReader(BLOCK)
    typed, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(os.dup(terminal), "wb", 0))
    read, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(out), ours)
    return _Command(process, out, read, typed, size)


async def in_machine(
    engine: Engine, machine: Machine, arguments: Sequence[str], terminal: str | None, size: tuple[int, int]
) -> Program:
    """Start a program in a machine, with a terminal of that type there. `size` is lines and columns. Raises EngineError."""
    mark = f"{SERVER}.{secrets.token_hex(4)}"
    session = await started(engine, machine, ["env", f"{_MARK}={mark}", *arguments], term(terminal))
    made = _InMachine(engine, machine, session, mark, size)
    await made.resize(*size)
    return made


class _Command:
    """A command of labenv in a terminal of its own."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        out: asyncio.StreamReader,
        read: asyncio.ReadTransport,
        typed: asyncio.WriteTransport,
        size: tuple[int, int],
    ) -> None:
        self.size = size
        self._process = process
        self._out = out
        self._read = read
        self._typed = typed

    async def read(self) -> bytes:
        try:
            return await self._out.read(BLOCK)
        except OSError as error:  # what a terminal says when its last program has ended (EIO)
            if error.errno != errno.EIO:
                raise
            return b""

    async def write(self, data: bytes) -> None:
        while not self._typed.is_closing() and self._typed.get_write_buffer_size() > _WAITING:
            await asyncio.sleep(0.05)
        if not self._typed.is_closing():
            self._typed.write(data)

    async def resize(self, lines: int, columns: int) -> None:
        if not self._read.is_closing():
            self.size = lines, columns
            _resized(self._read.get_extra_info("pipe").fileno(), lines, columns)

    async def ended(self) -> int:
        code = await self._process.wait()
        self._typed.abort()
        self._read.close()
        return code if code >= 0 else 128 - code

    async def hang_up(self) -> None:
        for sign in (signal.SIGHUP, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, sign)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), _GRACE)
                return


class _InMachine:
    """A program in a machine, with a terminal there."""

    def __init__(self, engine: Engine, machine: Machine, session: Session, mark: str, size: tuple[int, int]) -> None:
        self.size = size
        self._engine = engine
        self._machine = machine
        self._session = session
        self._mark = mark
        self._early = session.early
        self._loop = asyncio.get_running_loop()

    async def read(self) -> bytes:
        data, self._early = self._early, b""
        if data:
            return data
        with suppress(OSError):  # the engine closed it
            return await self._loop.sock_recv(self._session.socket, BLOCK)
        return b""

    async def write(self, data: bytes) -> None:
        with suppress(OSError):
            await self._loop.sock_sendall(self._session.socket, data)

    async def resize(self, lines: int, columns: int) -> None:
        if lines and columns:
            self.size = lines, columns
            with suppress(LabenvError):  # its machine is on its way down
                await asyncio.to_thread(self._session.resize, lines, columns)

    async def ended(self) -> int:
        return await asyncio.to_thread(self._session.status)

    async def hang_up(self) -> None:
        with suppress(LabenvError):
            await asyncio.to_thread(_hang_up, self._engine, self._machine, f"grep -qx '{_MARK}={self._mark}'")
        with suppress(OSError):
            self._session.socket.shutdown(socket.SHUT_RDWR)


async def started(engine: Engine, machine: Machine, command: list[str], terminal: str | None) -> Session:
    """A command in a machine, whose socket is ready for the event loop. Raises EngineError."""
    session = await asyncio.to_thread(Session, engine, machine.container, command, terminal=terminal)
    if not isinstance(session.socket, socket.socket) or isinstance(session.socket, ssl.SSLSocket):
        raise EngineError("The gate needs an engine on the same computer, reached by its socket.")
    session.socket.setblocking(False)
    return session


def sweep(engine: Engine, machine: Machine) -> None:
    """End what a gate that was killed has left in a machine: its programs wait for a terminal that nobody has. Raises EngineError."""
    _hang_up(engine, machine, f"grep '^{_MARK}=' | grep -qv '={SERVER}[.]'")


def _hang_up(engine: Engine, machine: Machine, found: str) -> None:
    """End programs that the gate started in a machine, of which a command finds the mark in their environment."""
    with engine.shell(machine) as shell:
        shell.run(_HANG_UP.format(found=found))


def _resized(terminal: int, lines: int, columns: int) -> None:
    fcntl.ioctl(
        terminal, termios.TIOCSWINSZ, struct.pack("HHHH", min(lines, 1000) or 24, min(columns, 1000) or 80, 0, 0)
    )
