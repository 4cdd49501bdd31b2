"""Errors of a topology with their line and column."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from labenv.errors import UsageError
from labenv.lab.positions import Positions

# As the errors of this package begin: the file, and where in it, as keys on the way down.
_PLACE = re.compile(r"(?P<file>.+?\.ya?ml): (?P<keys>\w[\w-]*(?:\.[\w-]+)*): ")


class TopologyError(UsageError):
    """What is wrong with a topology: `sentence`, at a line and a column of a file, which its text begins with."""

    def __init__(self, file: Path, line: int, column: int, sentence: str) -> None:
        """Say it with its place."""
        super().__init__(f"{file}:{line}:{column}: {sentence}")
        self.file, self.line, self.column, self.sentence = file, line, column, sentence


@contextmanager
def placed() -> Iterator[None]:
    """Give an error during the block the line and the column of the place that it names. Raises UsageError."""
    try:
        yield
    except UsageError as error:
        if not (found := _PLACE.match(str(error))):
            raise
        file, keys = Path(found["file"]), found["keys"].split(".")
        with suppress(OSError, ValueError):  # a file that is not YAML was refused as such
            line, column = Positions(file).of(keys)
            raise TopologyError(file, line, column, str(error)[len(str(file)) + 2 :]) from error
        raise
