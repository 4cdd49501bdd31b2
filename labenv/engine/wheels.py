"""Packages from Python's package index for the Python of an image, whatever Python and system labenv itself runs on.

pip gets them on this computer, so its settings hold: an index, a proxy, certificates, a folder of wheels. It only unpacks wheels and
runs nothing of theirs, so it can do that for another Python.
"""

import os
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labenv.errors import EngineError
from labenv.events import Event, Listener

_PYTHON = "3.11"  # Debian 12's, as its C library is the newest of these (PEP 600)
_GLIBC = range(36, 16, -1)
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}  # what the engine's architecture is called there
# The user's settings that have pip install elsewhere, or not at all.
_ELSEWHERE = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_DRY_RUN", "PIP_REQUIRE_VIRTUALENV")
_LAST_LINES = 6
_OFFLINE = (
    "Or export the images on a computer that has them, and import them here: labenv images export FILE --with labenv"
)


@contextmanager
def unpacked(pinned: Path, architecture: str, step: str, listen: Listener) -> Iterator[Path]:
    """A temporary folder with the packages of a file of pinned requirements, for Debian 12 on that architecture.

    What pip prints becomes lines of `step`. Raises EngineError with its last lines.
    """
    try:
        place = tempfile.TemporaryDirectory(prefix="labenv-packages-")
    except OSError as error:
        raise EngineError(f"No temporary folder can be made: {error.strerror}. Set TMPDIR to another one.") from error
    with place as folder:
        _install(pinned, architecture, Path(folder), step, listen)
        yield Path(folder)


def _install(pinned: Path, architecture: str, folder: Path, step: str, listen: Listener) -> None:
    machine = _MACHINES.get(architecture, architecture)
    platforms = [*(f"manylinux_2_{minor}_{machine}" for minor in _GLIBC), f"manylinux2014_{machine}"]
    # The list is complete for that Python: pip would read conditions in it with the Python that it runs on. Two more tries are
    # enough for a network that stumbles; where there is none, pip would go on for minutes.
    command = [
        *(sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--retries=2", "--timeout=10"),
        *("install", "--no-user", "--no-deps", "--no-compile", "--progress-bar=off", "--require-hashes"),
        *("--only-binary=:all:", "--implementation=cp", f"--python-version={_PYTHON}", f"--target={folder}"),
        *(f"--platform={platform}" for platform in platforms),
        f"--requirement={pinned}",
    ]
    environment = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
    last: deque[str] = deque(maxlen=_LAST_LINES)
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
    ) as process:
        for line in process.stdout or ():
            last.append(line.rstrip())
            listen(Event(step, last[-1]))
    if process.returncode:
        raise EngineError(_reason(list(last), process.returncode))


def _reason(last: list[str], code: int) -> str:
    said = "\n".join(last)
    if "No module named pip" in said:
        return (
            f"labenv's own image needs packages, and its Python has no pip to get them with. Install it: "
            f"{sys.executable} -m ensurepip. {_OFFLINE}"
        )
    if "No space left on device" in said:
        return (
            f"The disk is full where temporary files are ({tempfile.gettempdir()}): free some space there, or set TMPDIR to a "
            f"folder on another disk, and repeat the command."
        )
    lines = "\n".join(f"    {line}" for line in last)
    return (
        f"pip could not get the packages of labenv's own image (status {code}). Its last lines:\n{lines}\n"
        f"Fix the cause (the network, a proxy, PIP_INDEX_URL) and repeat the command. {_OFFLINE}"
    )
