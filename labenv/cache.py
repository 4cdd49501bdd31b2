"""Where labenv keeps what it would otherwise work out anew with each command. All of it may be removed at any time."""

import os
from pathlib import Path


def folder(name: str) -> Path | None:
    """A folder of this user's own for `name`, made if need be; None where there can be none, and one does without.

    Programs are kept there, so a folder that belongs to somebody else (as under sudo) or that others may write is none.
    The place is that of the XDG Base Directory Specification.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        path = (Path(base) if os.path.isabs(base) else Path("~/.cache").expanduser()) / "labenv" / name
        there = next(each for each in (path, *path.parents) if each.exists())
        if there.stat().st_uid != os.geteuid():
            return None
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
    except (OSError, RuntimeError):  # no home, a full disk, a file in the way
        return None
    return path if status.st_uid == os.geteuid() and not status.st_mode & 0o022 else None
