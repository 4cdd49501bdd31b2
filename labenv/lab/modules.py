"""A lab's own Python: modules in its folder, such as its checks, whose names no other lab's can take."""

import hashlib
import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from labenv import places
from labenv.lab import labs
from labenv.lab.model import Lab


def load(folder: Path, name: str) -> ModuleType:
    """The module of the lab in `folder` that is called `name` from there: "checks.test_relay", "claims".

    It can import others of its lab relatively (`from . import common`). Raises ModuleNotFoundError if there is none, and whatever it
    raises itself.
    """
    return importlib.import_module(f"{package(folder)}.{name}")


def package(folder: Path) -> str:
    """The name of a package that stands for the lab in a folder: its own for one that labenv ships."""
    if labs.is_shipped(folder):
        return f"labenv.labs.{folder.name}"
    name = f"labenv_lab_{hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]}"
    if name not in sys.modules:
        made = ModuleType(name, f"The lab in {folder}.")
        made.__path__ = [str(folder)]
        sys.modules[name] = made
    return name


@contextmanager
def compiled_apart(lab: Lab) -> Iterator[None]:
    """Keep what Python compiles of a lab from elsewhere in the user's cache: what lies compiled in its folder is not what was trusted."""
    if labs.is_shipped(lab.folder):
        yield
        return
    before = sys.pycache_prefix
    place = places.cache("modules")
    sys.pycache_prefix = str(place) if place else os.devnull
    try:
        yield
    finally:
        sys.pycache_prefix = before
