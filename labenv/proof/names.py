"""The students that a proof's environments are made for, and the removal of those that a run left behind.

Their ids say which computer and user made them, and in which run: t-<computer and user>-<run>-<number>. A run, and each process of
it, holds a lock on a file of its own, which the kernel releases however they end. So what has no lock is left over.
"""

import fcntl
import hashlib
import os
import re
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from labenv import places
from labenv.engine import Engine
from labenv.environments.down import down
from labenv.errors import EngineError
from labenv.events import Event, Listener, silent
from labenv.parallel import Together

_TOGETHER = 4  # environments that are removed at the same time
_ID = re.compile(r"t-([0-9a-f]{6})-([0-9a-f]{6})-[0-9-]+")


@dataclass
class Claim:
    """The right to environments of a run: the beginning of their students' ids, and the lock's file descriptor to hand on."""

    prefix: str
    descriptor: int
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def student(self) -> str:
        """A student's id that the run has not used yet."""
        return f"{self.prefix}-{next(self._numbers)}"


@contextmanager
def claimed() -> Iterator[Claim]:
    """A new run, during the block. Raises EngineError if there is no folder for its lock."""
    run = secrets.token_hex(3)
    path = _lock(run)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield Claim(f"t-{_here()}-{run}", descriptor)
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def remove(engine: Engine, prefix: str) -> None:
    """Remove all environments whose students' ids begin so. Raises EngineError."""
    mine = [environment for environment in engine.environments() if environment.student.id.startswith(f"{prefix}-")]
    with Together(_TOGETHER) as pool:
        list(pool.map(lambda environment: down(engine, environment, silent), mine))


def sweep(engine: Engine, listen: Listener) -> None:
    """Remove what earlier runs of this user on this computer left because they were killed; says so, and once what stays. Raises EngineError."""
    stays = []
    for environment in engine.environments():
        found = _ID.fullmatch(environment.student.id)
        if found and found[1] == _here() and not _is_held(_lock(found[2])):
            try:
                down(engine, environment, silent)
            except EngineError:  # an engine may hold on to a network until it is started again
                stays.append(environment.student.id)
            else:
                listen(
                    Event("proof", f"removed {environment.student.id}, which a run that was killed has left", "note")
                )
    if stays:
        said = f"the engine does not remove all of {', '.join(stays)}. The next run tries again; to see why: labenv down -s {stays[0]}"
        listen(Event("proof", said, "warn"))


def _here() -> str:
    """Which computer and user this is, and where its locks are: only who sees the same locks can tell what is left over."""
    return hashlib.sha256(f"{socket.gethostname()} {os.geteuid()} {places.runtime()}".encode()).hexdigest()[:6]


def _lock(run: str) -> Path:
    return places.runtime() / f"proof-{run}.lock"


def _is_held(path: Path) -> bool:
    """Whether the run of this lock goes on. The file of one that was killed is removed."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    path.unlink(missing_ok=True)
    return False
