"""Whether a class is being served: one long-running process a class, known by a lock that the kernel releases with it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from labenv.classroom.folder import records
from labenv.classroom.folder.model import Class
from labenv.environments.lock import holder_of, said_by_holder
from labenv.errors import UsageError

SERVE, GATE = "serve", "gate"  # `class serve`, which has the timers too, and `class gate`
_FILE = "served.lock"


def is_served(of: Class) -> bool:
    """Whether `labenv class serve` runs for this class on this computer: only then environments are stopped in time."""
    return holder_of(of.records / _FILE).startswith(f"{SERVE} ")


@contextmanager
def alone(of: Class, what: str) -> Iterator[None]:
    """Be the one process that serves the class during the block: `what` is SERVE or GATE.

    Raises UsageError, naming the other process, if there is one already.
    """
    path = records.place(of, _FILE)
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        raise UsageError(f"{path} cannot be opened: {error.strerror}. The class's folder must be yours.") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            command, _, process = said_by_holder(descriptor).partition(" ")
            raise UsageError(
                f"{of.name} is served already, by `labenv class {command or '?'}` (process {process or '?'}). End that one first."
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{what} {os.getpid()}".encode(), 0)
        yield
    finally:
        os.close(descriptor)  # the file stays: to remove it would let two processes hold two files of that name
