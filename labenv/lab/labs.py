"""Where labs are found: those that labenv ships, each a folder in labs/."""

import os
from functools import cache

from labenv import resources
from labenv.errors import UsageError
from labenv.lab import translation
from labenv.lab.model import Lab, read


def names() -> list[str]:
    """The labs that labenv ships."""
    return sorted(path.parent.name for path in resources.labs().glob("*/lab.yaml"))


def default() -> str:
    """The lab that is used when none is named."""
    return "lab4b"


def load(name: str) -> Lab:
    """The lab `name` as its author wrote it. Raises UsageError, which lists the labs, if there is none of that name.

    What is kept or handed on (JSON, reports, submissions, the history) has these texts, so that it is the same whoever made it, and
    two students' can be compared.
    """
    return _load(name, ())


def spoken(name: str) -> Lab:
    """The lab `name` for a person at a terminal: with texts in the language that the environment asks for. Raises UsageError."""
    return _load(name, translation.wanted(os.environ))


@cache
def _load(name: str, languages: tuple[str, ...]) -> Lab:
    if name not in names():
        raise UsageError(f"There is no lab '{name}'. The labs are: {', '.join(names())}.")
    return read(resources.labs() / name, languages)
