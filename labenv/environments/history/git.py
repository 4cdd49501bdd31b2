"""git(1), with limits: what it reads may come from an archive that anybody made.

Who writes holds a lock (flock(2)), and so does each git that writes for it, which may outlive a labenv that was killed. So a
lock of git's own that is found then belongs to a git that was killed itself, and is removed: git would refuse for ever.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from labenv.engine import disk
from labenv.environments import lock
from labenv.errors import LabenvError
from labenv.text import decoded

_TIME = 60  # seconds that one command may take
_MOST = (
    256_000_000  # bytes that one command may print; a few bytes can stand for any number (equal files are stored once)
)
_PIECE = 1 << 20
# A larger file is compared as a whole: git would hold it in memory several times.
# Nothing tidies up behind a command's back, and beside the lock.
_SETTINGS = ("-c", "core.quotePath=false", "-c", "core.bigFileThreshold=8m", "-c", "gc.auto=0")


def there() -> bool:
    """Whether git(1) is installed here."""
    return shutil.which("git") is not None


@contextlib.contextmanager
def alone(repository: Path) -> Iterator[int]:
    """Hold the lock of those who write to a repository; yields what `run` takes as `held`.

    Raises LabenvError if another holds it for too long, or the file cannot be locked.
    """
    failed = f"the history in {repository} cannot be written to"
    deadline = time.monotonic() + _TIME

    def wait(_: str) -> None:
        if time.monotonic() > deadline:
            raise LabenvError(f"{failed}: another labenv has been writing for {_TIME} seconds.")

    descriptor = lock.acquire(repository / "writer", wait)
    try:
        for left in [*repository.glob("*.lock"), *(repository / "refs").rglob("*.lock")]:
            left.unlink(missing_ok=True)
        yield descriptor
    finally:
        os.close(descriptor)


def run(repository: Path, *arguments: str, said: bytes | memoryview = b"", held: int | None = None) -> bytes:
    """The output of a git command, which holds a lock that is `held` as long as it runs.

    Raises LabenvError with git's message if it fails, or goes beyond a limit.
    """
    failed = f"git failed on the history in {repository}"
    command = ["git", "--literal-pathspecs", f"--git-dir={repository}", *_SETTINGS, *arguments]
    try:
        with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as complaint:
            asked.write(said)
            asked.seek(0)
            process = subprocess.Popen(
                command,
                stdin=asked,
                stdout=subprocess.PIPE,
                stderr=complaint,
                env=_env(),
                cwd="/",
                pass_fds=() if held is None else (held,),
            )
            status, printed = _done(process)
            complaint.seek(0)
            complained = decoded(complaint.read(_PIECE)).strip().splitlines() or [f"status {status}"]
    except OSError as error:
        raise LabenvError(f"{failed}: {error.strerror}.") from error
    if len(printed) > _MOST:
        raise LabenvError(f"{failed}: it has more to say than {_MOST // 10**6} MB.")
    if status == -signal.SIGKILL:
        raise LabenvError(f"{failed}: it was ended, after {_TIME} seconds at the latest.")
    if status:
        first = next((line for line in complained if line.startswith("fatal:")), complained[-1])
        found = disk.looked_at(repository.parent)
        full = " The disk is full: free some space." if found and found.is_full else ""
        raise LabenvError(f"{failed}: {first}.{full}")
    return bytes(printed)


def contents(repository: Path, objects: list[str]) -> Iterator[bytes | None]:
    """The content of each object; None for one that is not there. Raises LabenvError."""
    told = run(repository, "cat-file", "--batch=%(objectsize)", said="".join(f"{name}\n" for name in objects).encode())
    at = 0
    for _ in objects:
        end = told.index(b"\n", at)
        size = told[at:end]
        at = end + 1
        if not size.isdigit():  # "… missing"
            yield None
            continue
        yield told[at : at + int(size)]
        at += int(size) + 1


def _done(process: subprocess.Popen[bytes]) -> tuple[int, bytearray]:
    """The status of a process, and what it printed; beyond a limit, it is ended."""
    printed = bytearray()
    late = threading.Timer(_TIME, process.kill)
    late.start()
    try:
        with process:
            while process.stdout and len(printed) <= _MOST and (piece := os.read(process.stdout.fileno(), _PIECE)):
                printed += piece
            if len(printed) > _MOST:
                process.kill()
    except BaseException:
        process.kill()
        raise
    finally:
        late.cancel()
    return process.returncode, printed


def _env() -> dict[str, str]:
    """git's environment, without any setting that the user has made for their own git."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    no_home = dict.fromkeys(("HOME", "XDG_CONFIG_HOME"), os.devnull)  # GIT_CONFIG_GLOBAL is not in git before 2.32
    return env | {"GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C.UTF-8"} | no_home
