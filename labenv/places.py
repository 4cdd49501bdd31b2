"""Where a user's own files are: the folders of the XDG Base Directory Specification, the same on every system."""

import os
import warnings
from pathlib import Path

from platformdirs.unix import Unix

# Where nobody has logged in, as on a server or in CI, a private folder below /tmp holds the locks as well.
warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
_DIRS = Unix("labenv", appauthor=False)


def config() -> Path:
    """The folder of settings, which the user creates."""
    return _DIRS.user_config_path


def state() -> Path:
    """The folder of data that is kept from run to run and cannot be made again, such as histories."""
    return _DIRS.user_state_path


def runtime() -> Path:
    """The folder of locks, created if needed; it is empty after a boot."""
    folder = _DIRS.user_runtime_path
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def cache(name: str) -> Path | None:
    """A folder for `name` that may be removed at any time, created if needed; None if that is impossible.

    Compiled templates are kept there, so a folder that belongs to somebody else (as under sudo) or that others may write
    is not used.
    """
    try:
        path = _DIRS.user_cache_path / name
        if not path.is_absolute():  # no home, or an XDG_CACHE_HOME that the specification says to ignore
            return None
        there = next(each for each in (path, *path.parents) if each.exists())
        if there.stat().st_uid != os.geteuid():
            return None
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
    except (OSError, RuntimeError):  # no home, a full disk, a file in the way
        return None
    return path if status.st_uid == os.geteuid() and not status.st_mode & 0o022 else None
