"""What was graded, kept over time beside the class: each run with all its grades, and what teachers decided instead.

One SQLite file, records/grades.sqlite, for the teacher alone. Two graders at once wait for each other, and one that is killed leaves
the file as it was (sqlite.org, "Atomic Commit"). It is no WAL file: a class may lie on a network disk, which has no shared memory.
"""

import getpass
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from labenv.classroom.folder import records
from labenv.classroom.folder.model import Class
from labenv.classroom.grading.model import Grade, Override
from labenv.errors import UsageError

_FILE = "grades.sqlite"
_VERSION = 1  # of the tables: SQLite's own field for it
_PATIENCE = 30.0  # seconds for another grader
_TABLES = """
    CREATE TABLE runs (id INTEGER PRIMARY KEY, time TEXT NOT NULL, author TEXT NOT NULL, lab TEXT NOT NULL, source TEXT NOT NULL);
    CREATE TABLE grades (
        run INTEGER NOT NULL REFERENCES runs, student TEXT NOT NULL, attempt INTEGER NOT NULL, counts INTEGER NOT NULL,
        total REAL NOT NULL, points REAL NOT NULL, grade TEXT NOT NULL, PRIMARY KEY (run, student, attempt)
    );
    CREATE INDEX grades_of ON grades (student, run);
    CREATE TABLE overrides (
        id INTEGER PRIMARY KEY, student TEXT NOT NULL, lab TEXT NOT NULL, step TEXT NOT NULL, points REAL NOT NULL,
        reason TEXT NOT NULL, author TEXT NOT NULL, time TEXT NOT NULL, until TEXT
    );
"""


@dataclass(frozen=True)
class Run:
    """One run of `class grade`: when, by which login, from what, and the grades that counted in it."""

    time: datetime
    author: str
    source: str
    grades: tuple[Grade, ...]


class Record:
    """The grades of a class, as they were kept. Each method raises UsageError if the file cannot be read or written."""

    def __init__(self, of: Class) -> None:
        """Touches nothing yet."""
        self._of = of

    def keep(self, lab: str, source: str, grades: Sequence[tuple[Grade, bool]]) -> None:
        """Keep a run: its grades, each with whether it is the one that counts. All of it is kept, or nothing."""
        with self._open(writes=True) as base:
            run = base.execute(
                "INSERT INTO runs (time, author, lab, source) VALUES (?, ?, ?, ?)", (_now(), author(), lab, source)
            ).lastrowid
            base.executemany(
                "INSERT INTO grades VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (run, g.student, g.attempt, counts, g.total, g.of, json.dumps(g.to_dict(), ensure_ascii=False))
                    for g, counts in grades
                ],
            )

    def runs(self, lab: str, student: str | None = None) -> list[Run]:
        """The runs for a lab, oldest first, with the grades that counted: of all students, or of one."""
        with self._open() as base:
            found = base.execute(
                "SELECT runs.id, time, author, source, grade FROM runs JOIN grades ON run = runs.id"
                " WHERE lab = ? AND counts AND (? IS NULL OR student = ?) ORDER BY runs.id, student",
                (lab, student, student),
            ).fetchall()
        by_run: dict[int, tuple[str, str, str, list[Grade]]] = {}
        for run, time, by, source, told in found:
            by_run.setdefault(run, (time, by, source, []))[3].append(self._grade(told))
        return [Run(datetime.fromisoformat(t), by, source, tuple(these)) for t, by, source, these in by_run.values()]

    def last(self, lab: str) -> dict[str, Grade]:
        """The grade of each student that counted last, with the overrides of now, by student."""
        with self._open() as base:
            found = base.execute(
                "SELECT grade FROM grades JOIN (SELECT student AS who, max(run) AS newest FROM grades JOIN runs ON run = runs.id"
                " WHERE lab = ? GROUP BY student) ON student = who AND run = newest WHERE counts ORDER BY student",
                (lab,),
            ).fetchall()
        decided = self.overrides(lab)
        grades = (self._grade(told) for (told,) in found)
        return {g.student: replace(g, overrides=tuple(decided.get(g.student, ()))) for g in grades}

    def overrides(self, lab: str) -> dict[str, list[Override]]:
        """What holds in place of points, oldest first, by student."""
        with self._open() as base:
            found = base.execute(
                "SELECT student, points, reason, author, time, step FROM overrides WHERE lab = ? AND until IS NULL ORDER BY id",
                (lab,),
            ).fetchall()
        held: dict[str, list[Override]] = {}
        for student, points, reason, by, time, step in found:
            held.setdefault(student, []).append(Override(points, reason, by, datetime.fromisoformat(time), step))
        return held

    def override(self, lab: str, student: str, given: Override) -> None:
        """Have this hold in place of the points of a step, or of the whole, and of what was decided about it before."""
        with self._open(writes=True) as base:
            self._lift(base, lab, student, given.step)
            base.execute(
                "INSERT INTO overrides (student, lab, step, points, reason, author, time) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (student, lab, given.step, given.points, given.reason, given.author, given.time.isoformat()),
            )

    def lift(self, lab: str, student: str, step: str) -> bool:
        """Have what was decided about a step, or about the whole (""), hold no more; returns whether there was something."""
        if not self._path().exists():
            return False
        with self._open(writes=True) as base:
            return self._lift(base, lab, student, step)

    def _lift(self, base: sqlite3.Connection, lab: str, student: str, step: str) -> bool:
        done = base.execute(
            "UPDATE overrides SET until = ? WHERE lab = ? AND student = ? AND step = ? AND until IS NULL",
            (_now(), lab, student, step),
        )
        return done.rowcount > 0

    def _grade(self, told: str) -> Grade:
        try:
            return Grade.from_dict(json.loads(told))
        except (LookupError, TypeError, ValueError) as error:
            raise UsageError(f"{self._path()} has a grade that labenv cannot read: {error}.{_ASIDE}") from error

    def _path(self) -> Path:
        return self._of.records / _FILE

    @contextmanager
    def _open(self, *, writes: bool = False) -> Iterator[sqlite3.Connection]:
        """The file, with its tables; what a block `writes` is there as a whole or not at all. A missing one reads as an empty one."""
        path = records.place(self._of, _FILE) if writes else self._path()
        base = None
        try:
            if writes and not path.exists():
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
            base = sqlite3.connect(path if path.exists() else ":memory:", timeout=_PATIENCE, isolation_level=None)
            self._ensure_tables(base)
            if writes:
                base.execute("BEGIN IMMEDIATE")
            yield base
            if writes:
                base.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            raise UsageError(_sentence(path, error)) from error
        finally:
            if base is not None:
                base.close()  # what was begun and not committed is taken back

    def _ensure_tables(self, base: sqlite3.Connection) -> None:
        if (version := base.execute("PRAGMA user_version").fetchone()[0]) == 0:
            base.execute("BEGIN IMMEDIATE")  # two graders may begin the file at the same time
            if base.execute("PRAGMA user_version").fetchone()[0] == 0:
                for statement in filter(str.strip, _TABLES.split(";")):
                    base.execute(statement)
                base.execute(f"PRAGMA user_version = {_VERSION}")
            base.execute("COMMIT")
        elif version > _VERSION:
            raise UsageError(
                f"{self._path()} was written by a later version of labenv (format {version}, here {_VERSION}). Use that version."
            )


_ASIDE = " Move the file aside, and the next `labenv class grade` begins another one."


def author() -> str:
    """Who is at this computer: the login name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user id without a name
        return f"user {os.getuid()}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _sentence(path: Path, error: Exception) -> str:
    said = getattr(error, "strerror", None) or str(error)
    if "full" in said:
        return f"The grades could not be kept in {path}: the disk is full. Free some space and grade again; what was kept before is still there."
    if "locked" in said:
        return f"{path} is in use by another `labenv class` command for more than {_PATIENCE:.0f} s. Try again when it has ended."
    if "not a database" in said or "malformed" in said:
        return f"{path} is damaged ({said}).{_ASIDE}"
    return f"{path} cannot be used: {said}."
