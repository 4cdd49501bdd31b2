"""One command at a time changes a student's environment.

An flock(2) on a file that everybody can reach who may use the engine: the kernel releases it however the holder ends, so no
lock is ever stale. The file names the holder and is removed with the lock. Where not everybody can reach one folder, such as
over a network, from a container or in a swarm, the engine keeps a lock itself besides (labenv.engine.hold).
"""

import fcntl
import os
import pwd
import re
import shlex
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from labenv import places
from labenv.computer import Computer
from labenv.engine import Engine
from labenv.engine.hold import held
from labenv.errors import EngineError
from labenv.events import Event, Listener
from labenv.text import decoded, one_line

_COMMAND = re.compile(r" \((.+)\)$")  # at the end of what _holder says
_SHOWN = 80  # characters of a command
_LONGEST = 400  # bytes of what _holder says
_POLL = 0.2  # seconds between two tries; flock cannot wait with a deadline


_mine = threading.local()  # `names`: what this thread has locked


@contextmanager
def locked(engine: Engine, student_id: str, listen: Listener, patience: float = 600) -> Iterator[None]:
    """Hold the lock of a student's environment against all who may use the engine. Waits and raises as `student_lock` does.

    Within such a block the same thread has it already.
    """
    held_here: set[tuple[str, str]] = _mine.__dict__.setdefault("names", set())
    name = engine.endpoint.url, student_id
    if name in held_here:
        yield
        return
    with _locked(engine, student_id, listen, patience):
        held_here.add(name)
        try:
            yield
        finally:
            held_here.discard(name)


@contextmanager
def _locked(engine: Engine, student_id: str, listen: Listener, patience: float) -> Iterator[None]:
    folder, for_all = _folder_of(engine)
    with student_lock(folder, student_id, listen, patience):
        if for_all:
            yield
            return
        with held(engine, f"labenv-lock-{student_id}", _holder(), _Waiting(_whose(student_id), listen, patience)):
            yield


@contextmanager
def student_lock(folder: Path, student_id: str, listen: Listener, patience: float = 600) -> Iterator[None]:
    """Hold the lock of a student's environment, a file in `folder`, during the block.

    If another command holds it, tells the user which one, then waits up to `patience` seconds.
    Raises EngineError naming the holder when that time is over.
    """
    with file_lock(folder / f"{student_id}.lock", _whose(student_id), listen, patience):
        yield


@contextmanager
def file_lock(path: Path, what: str, listen: Listener, patience: float) -> Iterator[None]:
    """Hold a lock, that file, during the block: on `what`, in words. Waits and raises as `student_lock` does."""
    descriptor = acquire(path, _Waiting(what, listen, patience))
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, _holder().encode(), 0)
        yield
    finally:
        path.unlink(missing_ok=True)  # under the lock: a waiting command sees that its file has lost its name
        os.close(descriptor)


def command_of_holder(engine: Engine, student_id: str) -> str:
    """The command that is changing a student's environment now, such as "restore good"; empty if none is known to.

    Where the engine keeps the lock, only commands of this computer are known. Raises EngineError.
    """
    folder, _ = _folder_of(engine)
    return _command_of_holder(folder / f"{student_id}.lock")


def _command_of_holder(path: Path) -> str:
    found = _COMMAND.search(holder_of(path))
    return found[1] if found else ""


def holder_of(path: Path) -> str:
    """What a lock's file says while somebody holds it, on one line; empty if nobody does, or it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return said_by_holder(descriptor)
    finally:
        os.close(descriptor)
    return ""


def said_by_holder(descriptor: int) -> str:
    """What the holder of a lock has written into its file, which is open, on one line."""
    return one_line(decoded(os.pread(descriptor, _LONGEST, 0)))


def _folder_of(engine: Engine) -> tuple[Path, bool]:
    """Where the locks of an engine's environments are, and whether all who may use it have them there. Raises EngineError."""
    if engine.group is None:
        folder = places.runtime()
        return folder, not (engine.is_distant or engine.is_in_swarm or _is_containers_own(engine, folder))
    try:
        folder = places.shared(engine.group)
        return folder, not (engine.is_in_swarm or _is_containers_own(engine, folder))
    except (PermissionError, FileExistsError):
        # Who uses the socket by another right, such as an access control list; or somebody who may not use it stands in the way.
        return places.runtime(), False


def _is_containers_own(engine: Engine, folder: Path) -> bool:
    """Whether labenv runs in a container that has this folder for itself, and the engine's socket from its computer.

    An engine that runs in the same container has no other users: its socket lies in the container's own file system, too.
    """
    socket = engine.endpoint.socket
    if socket is None or not Computer().is_container:
        return False
    own = Path("/").stat().st_dev
    return folder.stat().st_dev == own and socket.stat().st_dev != own


def _holder() -> str:
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        user = str(os.geteuid())
    return (
        f"process {os.getpid()} of {user} on {socket.gethostname()} ({shlex.join(sys.argv[1:])[:_SHOWN] or 'labenv'})"
    )


def _whose(student_id: str) -> str:
    return f"{student_id}'s environment"


class _Waiting:
    """Told again and again who holds a lock: says so once, and raises EngineError when the patience is over."""

    def __init__(self, what: str, listen: Listener, patience: float) -> None:
        self._what = what
        self._listen = listen
        self._patience = patience
        self._deadline = time.monotonic() + patience
        self._said = False

    def __call__(self, holder: str) -> None:
        if time.monotonic() > self._deadline:
            raise EngineError(
                f"{self._what} has been locked by {holder} for more than {self._patience:.0f} seconds. "
                f"Wait for that command or end it, then try again."
            )
        if not self._said:
            self._listen(Event("lock", f"waiting for {holder}, which is changing {self._what}", "note"))
            self._said = True


def _opened(path: Path) -> int:
    """The file, open. Raises EngineError for what is not a plain file of its own."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    deadline = time.monotonic() + 1
    while True:
        try:
            descriptor = os.open(path, flags, 0o660)
            break
        except OSError as error:
            if isinstance(error, PermissionError) and time.monotonic() < deadline:
                time.sleep(_POLL)  # another user has just created it
                continue
            raise EngineError(f"The lock {path} cannot be opened: {error.strerror}. Look whose it is.") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        os.close(descriptor)
        raise EngineError(f"The lock {path} is not a plain file of its own. Remove it.")
    if status.st_uid == os.geteuid():
        os.fchmod(descriptor, 0o660)  # past the umask; the folder says who comes here at all
    return descriptor


def acquire(path: Path, wait: Callable[[str], None]) -> int:
    """A lock, that file, as an open descriptor: the lock ends when nobody has it open any more. Raises EngineError, and as `wait`.

    `wait` is called, with what the holder has written there, before each further try.
    """
    while True:
        descriptor = _opened(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_named(descriptor, path):
                return descriptor
        except BlockingIOError:
            said = decoded(os.pread(descriptor, _LONGEST, 0))
            os.close(descriptor)
            wait(said or "another labenv")
            time.sleep(_POLL)
        else:
            os.close(descriptor)


def _is_named(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
