"""One command at a time changes a student's environment.

An flock(2) on a file in the user's runtime folder: the kernel releases it however the holder ends, so no lock is ever
stale. The file names the holder and is removed with the lock.
"""

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labenv import places
from labenv.errors import EngineError
from labenv.events import Event, Listener

_POLL = 0.2  # seconds between two tries; flock cannot wait with a deadline


@contextmanager
def student_lock(student_id: str, listen: Listener, patience: float = 600) -> Iterator[None]:
    """Hold the lock of a student's environment during the block.

    If another command holds it, tells the user which one, then waits up to `patience` seconds.
    Raises EngineError naming the holder when that time is over.
    """
    path = places.runtime() / f"{student_id}.lock"
    descriptor = _acquire(path, student_id, listen, patience)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} ({' '.join(sys.argv[1:3]) or 'labenv'})".encode(), 0)
        yield
    finally:
        path.unlink(missing_ok=True)  # under the lock: a waiting command sees that its file has lost its name
        os.close(descriptor)


def _acquire(path: Path, student_id: str, listen: Listener, patience: float) -> int:
    deadline = time.monotonic() + patience
    announced = False
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_named(descriptor, path):
                return descriptor
        except BlockingIOError:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace") or "another labenv"
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise EngineError(
                    f"{student_id}'s environment has been locked by {holder} for more than {patience:.0f} seconds. "
                    f"Wait for that command or end it, then try again."
                ) from None
            if not announced:
                listen(Event("lock", f"waiting for {holder}, which is changing {student_id}'s environment", "note"))
                announced = True
            time.sleep(_POLL)
        os.close(descriptor)


def _is_named(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
