"""Where files are kept: a user's own in the folders of the XDG Base Directory Specification, the same on every system.

Other users of the computer can write where locks have to be. So no link is followed there, and no folder is used that
another user could have prepared.
"""

import os
import pwd
import shlex
import stat
import time
from contextlib import suppress
from pathlib import Path

from platformdirs.unix import Unix

from labenv.errors import EngineError

# Where everybody may create a folder, and only its owner or root may rename it (the sticky bit).
_PUBLIC = (Path("/run/lock"), Path("/tmp"))
_DIRS = Unix("labenv", appauthor=False)


def config() -> Path:
    """The folder of settings, which the user creates."""
    return _DIRS.user_config_path


def state() -> Path:
    """The folder of data that is kept from run to run and cannot be made again, such as histories; relative for who has no home.

    Root does not use another user's (`sudo -E`): files of root there would be in that user's way.
    """
    path = _DIRS.user_state_path
    if os.geteuid() == 0 and nearest(path).stat().st_uid:
        return Path(pwd.getpwuid(0).pw_dir) / ".local/state/labenv"
    return path


def runtime() -> Path:
    """The folder of locks that concern this user alone, created if needed. Raises EngineError if another user prepared it."""
    given = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    places = [
        *([given / "labenv"] if given.is_absolute() and _is_own(given) else []),  # under sudo it may be another user's
        *([Path("/run/labenv")] if os.geteuid() == 0 else []),
        *([state() / "locks"] if state().is_absolute() else []),
        Path(f"/tmp/labenv-locks-{os.geteuid()}"),  # for who has no home
    ]
    for folder in places:
        try:
            return private(folder, "locks")
        except OSError:
            continue
    raise EngineError(
        f"No folder for locks can be made: {', '.join(map(str, places))}. Set XDG_RUNTIME_DIR to one of yours."
    )


def private(folder: Path, what: str) -> Path:
    """A folder for `what` that this user alone can enter, created if needed.

    Raises EngineError if another user prepared it, OSError if it cannot be created.
    """
    with suppress(FileExistsError):  # it is no folder, as is noticed below
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if _is_own(folder) and not os.lstat(folder).st_mode & 0o077:
        return folder
    raise EngineError(
        f"{folder} is not a folder that only you can use, so labenv does not keep {what} there. Remove it, or look who made it."
    )


def shared(group: int) -> Path:
    """The folder of locks for root and the members of a group, created if needed.

    Only they can have given it to that group (chown(2)). Raises PermissionError if this user does not belong to the group, and
    FileExistsError if somebody else holds its place.
    """
    public = next((place for place in _PUBLIC if place.is_dir() and place.stat().st_mode & stat.S_ISVTX), Path("/tmp"))
    folder = public / f"labenv-{group}"
    deadline = time.monotonic() + 0.2
    while True:
        try:
            folder.mkdir(mode=0o700)
            os.chown(folder, -1, group)
            folder.chmod(0o2770)
        except FileExistsError:
            pass
        except PermissionError:
            folder.rmdir()
            raise
        status = os.lstat(folder)
        if stat.S_ISDIR(status.st_mode) and status.st_gid == group and stat.S_IMODE(status.st_mode) == 0o2770:
            return folder
        if time.monotonic() > deadline:  # until then another command may just be creating it
            raise FileExistsError(f"{folder} belongs to user {status.st_uid}")
        time.sleep(0.02)


def way_out(path: Path) -> str:
    """What a user can do where `path` cannot be made, read or written, as a sentence."""
    there = nearest(path)
    if (
        os.geteuid()
        and path.is_absolute()
        and there.stat().st_uid == 0
        and there.is_relative_to(os.path.expanduser("~"))
    ):
        # labenv, or another program, ran under sudo while HOME was this user's.
        return f"{there} belongs to root, not to you: sudo chown -R {os.geteuid()} {shlex.quote(str(there))}"
    return "Set XDG_STATE_HOME to a folder that you may write."


def nearest(path: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    return next(each for each in (path, *path.parents) if os.path.exists(each))  # nor is one that may not be entered


def _is_own(folder: Path) -> bool:
    try:
        status = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()


def cache(name: str) -> Path | None:
    """A folder for `name` that may be removed at any time, created if needed; None if that is impossible.

    Compiled templates are kept there, so a folder that belongs to somebody else (as under sudo) or that others may write
    is not used.
    """
    try:
        path = _DIRS.user_cache_path / name
        if not path.is_absolute():  # no home, or an XDG_CACHE_HOME that the specification says to ignore
            return None
        if nearest(path).stat().st_uid != os.geteuid():
            return None
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
    except (OSError, RuntimeError):  # no home, a full disk, a file in the way
        return None
    return path if status.st_uid == os.geteuid() and not status.st_mode & 0o022 else None
