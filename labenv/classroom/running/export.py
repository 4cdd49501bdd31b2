"""Writing the environments of a class into a folder, one archive each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from labenv.classroom.running import waves
from labenv.engine import Engine, disk
from labenv.environment import Environment
from labenv.environments import transfer
from labenv.errors import LabenvError, UsageError
from labenv.events import Listener

_LARGE = 256 << 20  # bytes; an archive has some 200 MB


@dataclass(frozen=True)
class Exported:
    """A student's archive, and its size in bytes."""

    student: str
    file: Path
    size: int


def export(
    engine: Engine, there: Sequence[Environment], folder: Path, listen: Listener
) -> Iterator[tuple[str, Exported | LabenvError]]:
    """Write each environment as it is now to STUDENT.labenv in a folder, which is made; yields each student with the archive.

    Raises UsageError if the folder cannot be made, or has one of these files already: none is replaced.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made: {error.strerror}. Choose another folder.") from error
    files = {each.student.id: folder / f"{each.student.id}.labenv" for each in there}
    if old := [file.name for file in files.values() if file.exists()]:
        raise UsageError(f"{folder} has {', '.join(old[:5])} already. Choose another folder, or remove what is there.")

    def room(running: int) -> str:
        left = disk.looked_at(folder)
        if left and left.free < running * _LARGE:
            return f"There is no room for another archive in {folder}: {left.left}. What was written stays."
        return ""

    def one(mine: Engine, environment: Environment, tell: Listener) -> Exported:
        file = files[environment.student.id]
        return Exported(environment.student.id, file, transfer.export(mine, environment, file, tell))

    return waves.for_each(engine, there, one, listen, "exporting", room)
