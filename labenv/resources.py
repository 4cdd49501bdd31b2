"""Where the data of labenv lies: images/, compose/ and the labs.

In a checkout images/ and compose/ stand beside the package; a wheel carries them inside it (pyproject.toml).
"""

from pathlib import Path
from typing import Any

import yaml

_PACKAGE = Path(__file__).resolve().parent


def _data(name: str) -> Path:
    inside = _PACKAGE / "_data" / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


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
    """The tree in a YAML file. Raises OSError, yaml.YAMLError, UnicodeDecodeError."""
    return yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)
