"""Everything that is kept of one student of a class, and its removal."""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from labenv import student as students
from labenv.classroom.federation import world
from labenv.classroom.folder.model import Class
from labenv.classroom.running import timers
from labenv.classroom.serving import audit, keys, passwords, sessions
from labenv.engine import Engine, save_store
from labenv.environments import saves
from labenv.environments.down import down
from labenv.errors import LabenvError, UsageError
from labenv.events import Event, Listener
from labenv.swarm import leases, over
from labenv.swarm.where import Fleet
from labenv.text import many

_PATIENCE = 30.0  # seconds for a grader that is at work


@dataclass(frozen=True)
class Part:
    """One thing that is kept: what it is, in words, and what removes it (raises LabenvError)."""

    what: str
    remove: Callable[[], object]


def parts(engine: Engine, of: Class, student: str, listen: Listener) -> list[Part]:
    """What is kept of a student, in the order in which it is removed: who is removed cannot come in again meanwhile.

    The student may have left the roster. Environment and saves of another class stay. Raises UsageError for what is no id, EngineError.
    """
    students.check_id(student)

    def tell(event: Event) -> None:
        if event.kind != "note":  # such as that saves are kept, which are the next to go
            listen(event)

    return [*_of_gate(of, student), *_of_engine(engine, of, student, tell), *_of_records(of, student)]


def _of_gate(of: Class, student: str) -> Iterator[Part]:
    if count := passwords.left(of).get(student, 0):
        yield Part(f"{count} passwords that were not used", lambda: passwords.forget(of, student))
    if count := len(keys.brought(of, student)):
        yield Part(many(count, "SSH key"), lambda: keys.forget(of, student))
    if count := sessions.count(of, student):
        yield Part(f"{many(count, 'browser')} signed in", lambda: sessions.forget(of, student))
    if student in timers.get_all(of):
        yield Part("a timer", lambda: timers.drop(of, student))


def _of_engine(engine: Engine, of: Class, student: str, listen: Listener) -> Iterator[Part]:
    for environment in engine.environments(student):
        if environment.belongs.class_id == of.id:
            yield Part(
                f"the environment of {environment.lab} ({many(len(environment.machines), 'machine')}), with its history",
                partial(down, engine.holding(student), environment, listen),
            )
    if isinstance(engine, Fleet) and leases.is_placed(student):
        yield Part("its place on the swarm, and what was pushed", partial(over.forget, engine.nodes.manager, student))
    if world.knows(engine, of.id, student):
        yield Part("the mailbox in the class's world outside", lambda: world.forget(engine, of, [student], listen))
    mine = engine.holding(student)
    for save in save_store.found(mine, student):
        if save.environment.belongs.class_id == of.id:
            yield Part(f"the save {save.name}", partial(saves.remove, mine, student, save.name, listen))


def _of_records(of: Class, student: str) -> Iterator[Part]:
    for base in sorted(of.records.rglob("*.sqlite")):
        if count := _rows(base, student, delete=False):
            yield Part(
                f"{many(count, 'row')} in {base.name} (grades, and what was decided about them)",
                partial(_rows, base, student, delete=True),
            )
    for path in _named(of.records, student):
        files = sum(len(found) for _, _, found in os.walk(path)) if path.is_dir() else 1
        yield Part(f"{many(files, 'file')} in {path.relative_to(of.records)}", partial(_delete, path))
    if count := sum(1 for _ in audit.read(of, frozenset({student}))):
        yield Part(many(count, "line") + " of the audit log", lambda: audit.forget(of, student))


def _named(folder: Path, student: str) -> Iterator[Path]:
    """The files and folders below that are called after the student; a timer has its own way out."""
    for where, folders, files in os.walk(folder):
        for name in sorted([*folders, *files]):
            path = Path(where, name)
            if name.partition(".")[0] == student and path.parent.name != "timers":
                yield path
        folders[:] = [name for name in folders if name.partition(".")[0] != student]


def _rows(base: Path, student: str, *, delete: bool) -> int:
    """How many rows of all tables are the student's; they are deleted, and overwritten on the disk, with `delete`. Raises UsageError."""
    try:
        with closing(sqlite3.connect(base, timeout=_PATIENCE)) as there:
            tables = [name for (name,) in there.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            theirs = [
                t for t in tables if any(row[1] == "student" for row in there.execute(f'PRAGMA table_info("{t}")'))
            ]
            counts = [
                there.execute(f'SELECT count(*) FROM "{t}" WHERE student = ?', (student,)).fetchone()[0] for t in theirs
            ]
            if delete and sum(counts):
                there.execute("PRAGMA secure_delete = ON")
                with there:
                    for table in theirs:
                        there.execute(f'DELETE FROM "{table}" WHERE student = ?', (student,))
            return sum(counts)
    except sqlite3.Error as error:
        raise UsageError(f"{base} cannot be read: {error}.") from error


def _delete(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError as error:
        raise LabenvError(f"{path} cannot be removed: {error.strerror}.") from error
