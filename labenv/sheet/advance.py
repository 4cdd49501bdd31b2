"""Going on to the next lab of the course: whether the sheet lets a student, and what stays to be seen of this one."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from labenv.checks.run import run_checks
from labenv.environment import Environment, PastLab
from labenv.environments import advance as core
from labenv.environments import ticks
from labenv.errors import UsageError
from labenv.events import Listener
from labenv.lab import labs
from labenv.lab.model import Lab
from labenv.lab.overlay import Item
from labenv.sheet import logbook
from labenv.sheet.progress import StepProgress, headings

if TYPE_CHECKING:
    from labenv.engine import Engine
    from labenv.environments.up import Outcome


@dataclass(frozen=True)
class Standing:
    """How a student stands at the end of a lab: the lab as it will be remembered, and the steps that do not pass, which a check judges."""

    past: PastLab
    open: tuple[StepProgress, ...]


def following(lab: Lab, name: str | None = None) -> Lab:
    """The lab that a student goes on to: the next of the course, or of several next ones the one called `name`.

    Raises UsageError if there is none, if `name` is none, or if it must be chosen.
    """
    names = labs.next_after(lab)
    if not names:
        raise UsageError(f"No lab begins where {lab.id} ends, so there is nothing to go on to.")
    if name is None and len(names) > 1:
        raise UsageError(
            f"Several labs begin where {lab.id} ends: {', '.join(names)}. Choose one: labenv advance {names[0]}"
        )
    if name is not None and name not in names:
        raise UsageError(f"'{name}' does not begin where {lab.id} ends. After {lab.id} comes: {', '.join(names)}.")
    return labs.load(name or names[0])


def standing(engine: "Engine", environment: Environment, listen: Listener) -> Standing:
    """How the student stands now: all checks of the lab are run. Raises EngineError."""
    lab = labs.of(environment)
    report = run_checks(engine, environment, written=True, listen=listen)
    rows = [row for heading in headings(report, lab) for row in heading.rows]
    passed = tuple(row.step.id for row in rows if row.mark in ("pass", "warn"))
    ticked = tuple(ticks.read(engine, environment.student.id))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    still = tuple(row for row in rows if row.mark in ("fail", "skip"))
    return Standing(PastLab(lab.id, passed, ticked, now), still)


def advance(engine: "Engine", environment: Environment, past: PastLab, lab: Lab, listen: Listener) -> "Outcome":
    """Take the student's machines on to a lab; the log book of the one that is `past` stays beside the new one.

    `changes` of the outcome begins with the name of the save of the state before. Raises UsageError, EngineError; then nothing was changed.
    """
    renewed: dict[str, list[Item]] = {}
    if logbook.exists(lab):
        machine = logbook.keeper(lab)
        book = [Item(logbook.PATH, logbook.blank(lab, environment.student).encode(), 0o644)]
        if logbook.exists(before := labs.of(environment)) and logbook.keeper(before) == machine:
            book.append(Item(logbook.PAST.format(before.id), logbook.read(engine, environment).encode(), 0o644))
        renewed[machine] = book
    return core.advance(engine, environment.student.id, lab, past, listen, renewed)
