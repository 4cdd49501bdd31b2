"""What the core reports while it works. The core emits; a face (the command line, a log) draws."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

Kind = Literal["start", "done", "log", "note", "warn"]


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    `step` names the piece of work it belongs to ("image mail", "machine vm3"); `kind` says whether that piece of work
    starts, is done, has a line of detail to show, or whether the person should know (`note`) or act (`warn`).
    """

    step: str
    message: str
    kind: Kind = "log"


Listener = Callable[[Event], None]


def silent(_: Event) -> None:
    """A listener that ignores everything."""


def counting(listen: Listener, step: str, whole: int = 0) -> Callable[[int], None]:
    """A function that is told how many bytes more are done, and emits how many megabytes that are, of how many if `whole` is known."""
    done = told = 0
    of = f" of {whole / 1e6:.0f}" if whole else ""

    def count(more: int) -> None:
        nonlocal done, told
        done += more
        if done // 1_000_000 > told:
            told = done // 1_000_000
            listen(Event(step, f"{told}{of} MB"))

    return count


@contextmanager
def announced(listen: Listener, step: str, message: str) -> Iterator[None]:
    """Emit `start` before and `done` after the block; nothing after a block that raised (its error says enough)."""
    listen(Event(step, message, "start"))
    yield
    listen(Event(step, message, "done"))
