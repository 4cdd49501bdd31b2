"""One command at a time writes in the folder of a class: a class may have several teachers."""

from collections.abc import Iterator
from contextlib import contextmanager

from labenv.classroom.folder import records
from labenv.classroom.folder.model import Class
from labenv.environments.lock import file_lock
from labenv.events import Listener, silent

PATIENCE = 10.0  # seconds


@contextmanager
def held(of: Class, listen: Listener = silent) -> Iterator[None]:
    """Hold the lock of a class's folder during the block: for as long as something is written there, not for a whole evening.

    The kernel releases it however the holder ends. Inside the block it cannot be taken again. Raises EngineError, which names the
    holder (process, user, computer, command), if another command still has it after ten seconds; UsageError if the records
    cannot be written.
    """
    with file_lock(records.place(of, ".lock"), f"the folder of {of.name}", listen, PATIENCE):
        yield
