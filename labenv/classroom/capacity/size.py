"""The size of a server: its processors and its memory."""

import re
from dataclasses import dataclass

from labenv.errors import UsageError
from labenv.text import shown

_FORM = re.compile(r"(\d{1,4})x(\d{1,5})([gt])(?:i?b)?", re.IGNORECASE | re.ASCII)
SYSTEM = 1 << 30  # bytes that the system and the engine itself keep, without what they use for each machine


@dataclass(frozen=True, order=True)
class Size:
    """A server with so many processors and so many bytes of memory."""

    processors: int
    memory: int

    @property
    def room(self) -> int:
        """The bytes that environments can have."""
        return max(0, self.memory - SYSTEM)

    def __str__(self) -> str:
        """As `read` takes it."""
        return f"{self.processors}x{self.memory >> 30}g"


def read(text: str) -> Size:
    """The size that a text such as 8x32g names: processors, then GiB of memory. Raises UsageError for another text.

    >>> read("8x32g")
    Size(processors=8, memory=34359738368)
    """
    match = _FORM.fullmatch(text.strip())
    if not match or not int(match[1]) or not int(match[2]):
        raise UsageError(
            f"'{shown(text[:40])}' is no size of a server. Write its processors and its memory, such as 8x32g: 8 processors and 32 GiB."
        )
    return Size(int(match[1]), int(match[2]) << (40 if match[3] in "tT" else 30))
