"""The kits that labs can use: the packages of labenv with a module `kit`."""

from functools import cache
from pathlib import Path

import labenv
from labenv.errors import UsageError


@cache
def names() -> tuple[str, ...]:
    """The kits that there are."""
    return tuple(sorted(path.parent.name for path in Path(labenv.__file__).parent.glob("*/kit.py")))


def check(name: str) -> None:
    """Raise UsageError, which lists the kits, if there is none of that name."""
    if name not in names():
        raise UsageError(
            f"labenv has no kit {name!a}. The kits are: {', '.join(names())}. A lab names them in lab.yaml."
        )
