"""What is recorded about drills: the one that runs in an environment, the finished ones, and the table of a class.

The records lie on the engine, outside the machines, because a student is root there.
"""

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from labenv.engine import records
from labenv.engine.content import Content, beyond
from labenv.lab import drills
from labenv.lab.drills import Drill
from labenv.text import cell

if TYPE_CHECKING:
    from labenv.engine import Engine

# The kinds of records: the running drill, the files' content before the fault and with it, the finished drills.
RUNNING, _CONTENT, OVER = "drill", "drill-content", "drills-over"


@dataclass(frozen=True)
class Diagnosis:
    """A layer that the student named as the faulty one: when, and whether a file had been changed by then."""

    time: str
    layer: str
    touched: bool


@dataclass(frozen=True)
class Running:
    """A running drill. `begun` is empty while its fault is being put in; `saved` is the save made before.

    `hinted` are the times of hints, `looked` the times at which the student ran the lab's checks.
    """

    drill: Drill
    begun: str = ""
    saved: str = ""
    diagnoses: tuple[Diagnosis, ...] = ()
    hinted: tuple[str, ...] = ()
    looked: tuple[str, ...] = ()

    @property
    def seconds(self) -> int:
        """How long it has been running."""
        return _between(self.begun, now())

    def to_dict(self, symptom: str) -> dict[str, Any]:
        """What a student may know about it, as `drill status --json` shows it: never its name."""
        return {
            "level": self.drill.level,
            "symptom": symptom,
            "saved": self.saved,
            "begun": self.begun,
            "seconds": self.seconds,
            "diagnoses": [entry.layer for entry in self.diagnoses],
            "hints": len(self.hinted),
            "looks": len(self.looked),
        }


@dataclass(frozen=True)
class Result:
    """The result of a drill. `mended` is false if the student gave up, or `by_teacher`. Seconds count from its start.

    `to_diagnosis` is when the student first named a right layer, `layer` or one of `also`; None if never. `looks` is how often the student ran the
    lab's checks. `beyond` are changed lines that have nothing to do with the fault; None if that is not known.
    """

    name: str
    title: str
    level: int
    layer: str
    begun: str
    ended: str
    mended: bool
    seconds: int
    to_diagnosis: int | None
    diagnoses: tuple[Diagnosis, ...]
    hints: int
    looks: int
    beyond: int | None
    explanation: str
    saved: str
    solution: str
    also: tuple[str, ...] = ()
    by_teacher: bool = False

    def to_dict(self) -> dict[str, Any]:
        """It as `drill report --json` shows it."""
        return asdict(self)


@dataclass(frozen=True)
class DrillEntry:
    """A row of a class's table: one drill of one student. `outcome` is "mended", "given up" or "running"."""

    student: str
    name: str
    level: int
    layer: str
    outcome: str
    begun: str
    seconds: int
    to_diagnosis: int | None
    hints: int
    looks: int
    beyond: int | None

    @property
    def ended(self) -> str:
        """The outcome in the words of a screen; the record's own stay as earlier versions wrote them."""
        return "fixed" if self.outcome == "mended" else self.outcome


def now() -> str:
    """The time in the form in which it is stored."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def running(engine: "Engine", student_id: str) -> Running | None:
    """The drill that runs, or whose start was interrupted (`begun` is empty then); None if there is none. Raises EngineError."""
    kept = records.read(engine, student_id, RUNNING)
    if not kept:
        return None
    drill = drills.from_dict(kept["drill"]["name"], kept["drill"]["tree"])
    said = tuple(Diagnosis(**entry) for entry in kept["diagnoses"])
    return Running(drill, kept["begun"], kept["saved"], said, tuple(kept["hinted"]), tuple(kept["looked"]))


def keep(engine: "Engine", student_id: str, found: Running) -> None:
    """Record the running drill. Raises EngineError."""
    packed = {**asdict(found), "drill": {"name": found.drill.name, "tree": drills.to_dict(found.drill)}}
    records.write(engine, student_id, RUNNING, packed)


def forget(engine: "Engine", student_id: str) -> None:
    """Record that no drill runs any more. Raises EngineError."""
    records.remove(engine, student_id, RUNNING)
    records.remove(engine, student_id, _CONTENT)


def over(engine: "Engine", student_id: str) -> list[Result]:
    """The finished drills of a student's environment, oldest first. Raises EngineError."""
    return [_result(entry) for entry in records.read(engine, student_id, OVER) or []]


def _result(entry: dict[str, Any]) -> Result:
    """A finished drill from its record; what another version of labenv recorded beyond that is left out."""
    known = {field.name: entry[field.name] for field in fields(Result) if field.name in entry}
    said = tuple(Diagnosis(**d) for d in entry["diagnoses"])
    return Result(**known | {"diagnoses": said, "also": tuple(entry.get("also", ()))})


def close(engine: "Engine", student_id: str, result: Result) -> None:
    """Record that the running drill has finished. Raises EngineError."""
    records.write(engine, student_id, OVER, [asdict(other) for other in [*over(engine, student_id), result]])
    forget(engine, student_id)


def keep_contents(engine: "Engine", student_id: str, before: Content, fault: Content) -> None:
    """Record the files' content before the fault and with it. Raises EngineError."""
    changed = {path: lines for path, lines in fault.items() if before.get(path) != lines}
    gone = [path for path in before if path not in fault]
    records.write(engine, student_id, _CONTENT, {"before": before, "changed": changed, "gone": gone})


def contents(engine: "Engine", student_id: str) -> tuple[Content, Content] | None:
    """The files' content before the fault and with it; None if that record was removed. Raises EngineError."""
    kept = records.read(engine, student_id, _CONTENT)
    if kept is None:
        return None
    before: Content = kept["before"]
    return before, {path: lines for path, lines in (before | kept["changed"]).items() if path not in kept["gone"]}


def result(
    found: Running, filled: tuple[str, str], said: tuple[Content, Content] | None, after: Content, *, mended: bool
) -> Result:
    """The result of a drill that ends now; `filled` are its explanation and its fix with the student's values filled in."""
    drill, ended = found.drill, now()
    right = [d.time for d in found.diagnoses if d.layer in drill.layers]
    return Result(
        name=drill.name,
        title=drill.title,
        level=drill.level,
        layer=drill.layer,
        begun=found.begun,
        ended=ended,
        mended=mended,
        seconds=_between(found.begun, ended),
        to_diagnosis=_between(found.begun, right[0]) if right else None,
        diagnoses=found.diagnoses,
        hints=len(found.hinted),
        looks=len(found.looked),
        beyond=beyond(*said, after) if said else None,
        explanation=filled[0],
        saved=found.saved,
        solution=filled[1],
        also=drill.also,
    )


def rows(engine: "Engine") -> list[DrillEntry]:
    """The drills of all environments, by student and time. Raises EngineError."""
    found = []
    for who in sorted(environment.student.id for environment in engine.environments()):
        for one in over(engine, who):
            kept = {field.name: getattr(one, field.name) for field in fields(DrillEntry) if hasattr(one, field.name)}
            found.append(DrillEntry(student=who, outcome="mended" if one.mended else "given up", **kept))
        if (it := running(engine, who)) and it.begun:
            at = result(it, ("", ""), None, {}, mended=False)
            kept = {field.name: getattr(at, field.name) for field in fields(DrillEntry) if hasattr(at, field.name)}
            found.append(DrillEntry(student=who, outcome="running", **kept))
    return found


def as_csv(table: Iterable[DrillEntry]) -> str:
    """The table of a class as CSV."""
    out = io.StringIO()
    writer = csv.DictWriter(out, [field.name for field in fields(DrillEntry)], lineterminator="\n")
    writer.writeheader()
    for row in table:
        writer.writerow({name: cell(value) if isinstance(value, str) else value for name, value in asdict(row).items()})
    return out.getvalue()


def _between(start: str, end: str) -> int:
    return round((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds())
