"""Where labs are found: those that labenv ships, each a folder in labs/."""

from functools import cache

from labenv import resources
from labenv.errors import UsageError
from labenv.lab.model import Lab, read


def names() -> list[str]:
    """The labs that labenv ships."""
    return sorted(path.parent.name for path in resources.labs().glob("*/lab.yaml"))


def default() -> str:
    """The lab that is used when none is named."""
    return names()[0]


@cache
def load(name: str) -> Lab:
    """The lab `name`. Raises UsageError, which lists the labs, if there is none of that name."""
    if name not in names():
        raise UsageError(f"There is no lab '{name}'. The labs are: {', '.join(names())}.")
    return read(resources.labs() / name)
