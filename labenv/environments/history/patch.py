"""A patch, line by line, as a person reads it: what is a file's head, a place in it, added, removed, or there to find the place."""

from collections.abc import Iterator
from typing import Literal

Kind = Literal["file", "place", "added", "removed", "same"]

_KINDS: dict[str, Kind] = {"+": "added", "-": "removed"}


def lines(patch: str) -> Iterator[tuple[Kind, str]]:
    """The lines of a unified diff, each with its kind; `file` begins with "diff " or belongs to the head that this begins."""
    head = True
    for line in patch.splitlines():
        head = line.startswith("diff ") or (head and not line.startswith("@@"))
        if head:
            yield "file", line
        elif line.startswith("@@"):
            yield "place", line
        else:
            yield _KINDS.get(line[:1], "same"), line
