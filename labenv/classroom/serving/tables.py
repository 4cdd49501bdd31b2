"""A table among the records that two processes may change: one file of JSON, by student."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from labenv.classroom.folder import records
from labenv.classroom.folder.model import Class
from labenv.errors import UsageError

Table = dict[str, Any]


def read(of: Class, name: str) -> Table:
    """The table as it is now; empty if there is none yet. Raises UsageError for a file that is no such table."""
    path = of.records / f"{name}.json"
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}. Restore it, or remove it to begin again.") from error
    if not isinstance(told, dict):
        raise UsageError(f"{path} is not a table of labenv's. Restore it, or remove it to begin again.")
    return told


def written(of: Class, name: str) -> int:
    """When the table was last written (nanoseconds since 1970); 0 if there is none."""
    try:
        return (of.records / f"{name}.json").stat().st_mtime_ns
    except OSError:
        return 0


@contextmanager
def changing(of: Class, name: str) -> Iterator[Table]:
    """The table, which nobody else changes during the block; what the block made of it is written at its end.

    Raises UsageError if it cannot be read or written; a block that raises changes nothing.
    """
    lock = os.open(records.place(of, f"{name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = read(of, name)
        table = json.loads(json.dumps(before))
        yield table
        if table != before:
            records.write(records.place(of, f"{name}.json"), json.dumps(table, indent=1) + "\n")
    finally:
        os.close(lock)
