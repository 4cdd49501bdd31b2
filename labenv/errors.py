"""What can go wrong, as sentences for the user.

Every error that reaches a user is a `LabenvError`: its text says what is wrong, where, and the way out, and its
`exit_code` follows the contract of the command line (2: wrong usage or bad input, 3: the engine or a machine).
"""

from collections.abc import Iterator
from contextlib import contextmanager


class LabenvError(Exception):
    """An error with a sentence for the user and the exit code that goes with it."""

    exit_code = 3


class UsageError(LabenvError):
    """The user's request cannot be fulfilled: a bad value, an unknown name, a broken file."""

    exit_code = 2


class NeedsConsent(UsageError):
    """What labenv does only once its user has said so.

    At a terminal the command line shows what it is `about`, asks the `question`, and after `agree` runs the command again.
    """

    about = ""
    question = ""

    def agree(self) -> None:
        """Remember that the user said yes."""
        raise NotImplementedError


class EngineError(LabenvError):
    """The container engine, or a machine that runs on it, is missing or failed."""

    exit_code = 3


@contextmanager
def making_sense(machine: str) -> Iterator[None]:
    """Turn what reading an answer of a machine raises during the block into an EngineError: any program may stand there."""
    try:
        yield
    except (ValueError, LookupError) as error:
        raise EngineError(senseless(machine, error)) from error


def senseless(machine: str, error: Exception) -> str:
    """A sentence about an answer of a machine that cannot be read."""
    return (
        f"{machine} gave an answer that labenv cannot read ({type(error).__name__}: {error}). "
        "A program there is perhaps not the lab's own any more."
    )


class Interrupted(LabenvError):
    """Ctrl-C, and what holds now. The exit code is a shell's for a command that SIGINT ended."""

    exit_code = 130

    def __init__(self, what: str = "What was made is kept; the same command continues from there.") -> None:
        super().__init__(f"interrupted. {what}")
