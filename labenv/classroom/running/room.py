"""Whether the computer has room for one more environment of a class: memory and disk, while others come up."""

from pathlib import Path

from labenv.computer import Computer
from labenv.engine import Engine, disk
from labenv.environments.room import MEMORY, available_memory

_SPARE = 256 << 20  # bytes of memory that the computer itself keeps
_DISK = 48 << 20  # bytes that a machine comes to write: packages, logs, mail; its boot writes next to none
_INODES = 1000


class Room:
    """Asked before an environment of so many machines is begun; one on an engine elsewhere is never refused here.

    >>> Room(engine, machines=3)(running=5)
    ''
    """

    def __init__(self, engine: Engine, machines: int, computer: Computer | None = None) -> None:
        """Ask about environments with that many machines each. Raises EngineError if the engine is gone."""
        self._machines = machines
        self._computer = (computer or Computer()) if engine.is_local else None
        there = disk.of(engine)
        self._disk = Path(there.path) if there else None

    def __call__(self, running: int) -> str:
        """Why there is no room for the last of so many that come up together; empty if there is."""
        if not self._computer:
            return ""
        kept = "Those that run stay as they are."
        free, needed = available_memory(self._computer), running * self._machines * MEMORY + _SPARE
        if free is not None and free < needed:
            return (
                f"There is no memory for another environment: {free >> 20} MiB are available, and it needs "
                f"{self._machines * MEMORY >> 20} and {_SPARE >> 20} to spare. {kept} Stop some first: labenv class stop --only STUDENT"
            )
        there = disk.looked_at(self._disk) if self._disk else None
        if there and (there.free < running * self._machines * _DISK or (there.inodes or _INODES) < _INODES):
            return (
                f"There is no room on the disk for another environment: {there.left} where the engine keeps its data ({there.path}). "
                f"{kept} `labenv doctor` says who uses it."
            )
        return ""
