"""What can go wrong, as sentences for the user.

Every error that reaches a user is a `LabenvError`: its text says what is wrong, where, and the way out, and its
`exit_code` follows the contract of the command line (2: wrong usage or bad input, 3: the engine or a machine).
"""


class LabenvError(Exception):
    """An error with a sentence for the user and the exit code that goes with it."""

    exit_code = 3


class UsageError(LabenvError):
    """The user's request cannot be fulfilled: a bad value, an unknown name, a broken file."""

    exit_code = 2


class EngineError(LabenvError):
    """The container engine, or a machine that runs on it, is missing or failed."""

    exit_code = 3


class Interrupted(LabenvError):
    """Ctrl-C. The exit code is a shell's for a command that SIGINT ended."""

    exit_code = 130

    def __init__(self) -> None:
        super().__init__("interrupted. What was made is kept; the same command continues from there.")
