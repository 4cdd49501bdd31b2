"""What labenv keeps of a class beside its class.yaml: for the teacher's eyes alone, written whole or not at all."""

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from labenv.classroom.folder.model import Class
from labenv.errors import UsageError


def place(of: Class, *parts: str) -> Path:
    """The file with that name among the records; the folders on the way are made (0700). Raises UsageError if that fails."""
    path = of.records.joinpath(*parts)
    try:
        of.records.mkdir(mode=0o700, exist_ok=True)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{path.parent} cannot be made: {error.strerror}. The class's folder must be yours."
        ) from error
    return path


def write(path: Path, text: str) -> None:
    """Replace a file by that text, with mode 0600. Raises UsageError if that fails; then the old file is still there."""
    draft = ""
    try:
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, prefix=f".{path.name}.", delete=False, encoding="utf-8"
        ) as out:
            draft = out.name
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        os.replace(draft, path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(draft)


def append(path: Path, entry: dict[str, Any]) -> None:
    """Add a line of JSON to a file of mode 0600 (a log: one write(2), so that lines of two writers never mix). Raises UsageError."""
    line = json.dumps(entry, ensure_ascii=False) + "\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.") from error
