"""Grading the running environments of a class."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from labenv.classroom.grading.grade import Graded, Task, Work, graded, missing
from labenv.classroom.grading.model import Grade
from labenv.classroom.grading.points import Known
from labenv.classroom.running.checking import check_all
from labenv.environment import Environment
from labenv.environments import drill_records
from labenv.environments.drill_records import DrillEntry
from labenv.errors import LabenvError
from labenv.events import Listener
from labenv.sheet import guide
from labenv.sheet.guide import Asked

if TYPE_CHECKING:
    from labenv.engine import Engine

_DRILL = "a drill is running: its fault is in the machines, and fails steps"


def of_environments(engine: "Engine", task: Task, *, whole: bool, listen: Listener) -> Graded:
    """The grades by the checks of the environments that run; with `whole`, all their programs are compared with those of the images.

    An environment that is not there, does not run, or goes meanwhile has a grade that says so. Raises EngineError if the engine does
    not answer.
    """
    wanted = {member.id: member for member in task.members}
    there = {environment.student.id: environment for environment in engine.environments()}
    running: list[Environment] = []
    grades: dict[str, Grade] = {}
    failed: list[str] = []
    for name, member in wanted.items():
        if why := _unfit(there.get(name), task):
            grades[name] = missing(task, member, "environment", why)
        else:
            running.append(there[name])
    asked: dict[str, tuple[Asked, ...]] = {}
    drills: dict[str, tuple[DrillEntry, ...]] = {}
    finished = _drills(engine, running)
    for environment, report in check_all(engine, running, whole=whole, listen=listen):
        name = environment.student.id
        try:
            if isinstance(report, LabenvError):
                raise report
            asked[name] = tuple(guide.asked(engine.holding(name), environment))
            drill = drill_records.running(engine.holding(name), name)
        except LabenvError as error:
            grades[name] = missing(task, wanted[name], "environment", f"it could not be checked: {error}")
            failed.append(f"{name}: {error}")
            continue
        drills[name] = finished.get(name, ())
        solved = sum(entry.outcome == "mended" for entry in drills[name])
        notes = (*report.notes, *([_DRILL] if drill else []))
        known = Known(asked[name], (), solved)
        grades[name] = graded(
            task, wanted[name], "environment", Work(report.results, {}, "environment", known, notes=notes)
        )
    for name, said in _gone(engine, running):
        grades[name] = missing(task, wanted[name], "environment", said, grades[name].notes)
        failed.append(f"{name}: {said}")
    return Graded(task, tuple(grades[name] for name in wanted), asked=asked, drills=drills, failed=tuple(failed))


def _unfit(there: Environment | None, task: Task) -> str:
    """Why an environment cannot be graded; empty if it can."""
    if there is None:
        return "no environment is here"
    if there.belongs.class_id != task.of.id:
        return "the environment that is here was not brought up for this class"
    if there.lab != task.lab.id:
        return f"the environment is one of {there.lab}"
    if stopped := [machine.name for machine in there.regular if machine.state != "running"]:
        return f"{', '.join(stopped)} not running: labenv class up --only {there.student.id}"
    return ""


def _drills(engine: "Engine", running: list[Environment]) -> dict[str, tuple[DrillEntry, ...]]:
    """The finished drills of these environments, by student."""
    wanted = {environment.student.id for environment in running}
    found: dict[str, tuple[DrillEntry, ...]] = {}
    for entry in (row for one in engine.each() for row in drill_records.rows(one)):
        if entry.student in wanted and entry.outcome != "running":
            found[entry.student] = (*found.get(entry.student, ()), entry)
    return found


def _gone(engine: "Engine", running: list[Environment]) -> Iterator[tuple[str, str]]:
    """Each environment of these that is no longer as it was when grading began, and a sentence about it."""
    there = {environment.student.id: environment for environment in engine.environments()}
    for environment in running:
        name = environment.student.id
        now = there.get(name)
        if now is None or {m.name: m.made for m in now.regular} != {m.name: m.made for m in environment.regular}:
            yield name, "the environment was removed or made again while it was being graded"
        elif stopped := [machine.name for machine in now.regular if machine.state != "running"]:
            yield name, f"{', '.join(stopped)} stopped while it was being graded"
