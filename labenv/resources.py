"""Where labenv's own data is: images/, compose/ and the labs.

In a checkout images/ and compose/ are beside the package; a wheel has them inside (pyproject.toml).
"""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from labenv import places, plain_tar

_PACKAGE = Path(__file__).resolve().parent
_LARGEST = 1_000_000  # characters
_LARGEST_FILE = 1_000_000


def _data(name: str) -> Path:
    inside = _PACKAGE / "_data" / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


def package() -> Path:
    """The folder of labenv's own modules."""
    return _PACKAGE


def images() -> Path:
    """The folder with one folder per image."""
    return _data("images")


def topologies() -> Path:
    """The folder with the topologies (Compose files)."""
    return _data("compose")


def labs() -> Path:
    """The folder with one folder per lab."""
    return _PACKAGE / "labs"


def read_yaml(path: Path) -> Any:
    """The tree in a YAML file. Raises OSError, and ValueError with the place for a file that is not YAML, or is too large.

    It is cached as JSON, which is read before the YAML library is even loaded.
    """
    text = content(path)
    folder = places.cache("yaml")
    kept = folder and folder / f"{hashlib.sha256(text).hexdigest()}.json"
    if kept:
        with suppress(OSError, ValueError, RecursionError):  # not cached yet, or damaged
            return json.loads(kept.read_bytes())
    tree = _parsed(text)
    if kept:
        _keep(kept, tree)
    return tree


def content(path: Path) -> bytes:
    """What is in a YAML file. Raises OSError, and ValueError for one that is too large or no regular file, which might never end."""
    try:
        with plain_tar.opened(path) as source:
            text = source.read(_LARGEST_FILE + 1)
    except plain_tar.Unreadable as error:
        raise ValueError(str(error)) from error
    if len(text) > _LARGEST_FILE:
        raise ValueError(f"it is larger than {_LARGEST_FILE} bytes")
    return text


def _parsed(text: bytes) -> Any:
    import yaml  # only for a file that is not cached as JSON yet

    try:
        return yaml.load(text.decode(), yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _keep(file: Path, tree: Any) -> None:
    """Cache a tree if JSON can express it; one that refers to itself, or is huge by its references, is not cached."""
    said = ""
    with suppress(OSError, TypeError, ValueError, RecursionError):
        for part in json.JSONEncoder(allow_nan=False).iterencode(tree):
            said += part
            if len(said) > _LARGEST:
                return
        if json.loads(said) == tree:
            draft = file.with_suffix(f".{os.getpid()}")
            try:
                draft.write_text(said, encoding="utf-8")
                draft.replace(file)
            finally:
                draft.unlink(missing_ok=True)
