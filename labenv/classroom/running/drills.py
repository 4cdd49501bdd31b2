"""Drills for a class: neighbours in the roster get different ones, and the same seed gives the same ones again."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial

from labenv.checks.results import Report
from labenv.classroom.folder.model import Assignment, Class
from labenv.classroom.running import waves
from labenv.classroom.running.checking import Checkers
from labenv.engine import Engine
from labenv.environment import Environment
from labenv.environments import drill_records
from labenv.environments.drill_records import DrillEntry, Running
from labenv.errors import LabenvError, UsageError
from labenv.events import Listener
from labenv.lab import drills, labs
from labenv.lab.drills import Drill
from labenv.sheet import drill
from labenv.sheet.drill import Verdict


def on_offer(assignment: Assignment, level: int | None, listen: Listener) -> list[Drill]:
    """The drills that are given out: those that class.yaml names, else all of the lab's; of one level if given.

    Raises UsageError for a name that the lab does not have, and if there is none.
    """
    lab = labs.load(assignment.lab)
    among = drills.catalogue(lab, None, listen)
    if assignment.drills:
        among = [drill.named(name, among) for name in assignment.drills]
    fit = [each for each in among if level in (None, each.level)]
    if not fit:
        kind = f" of level {level}" if level else ""
        raise UsageError(
            f"{lab.id} has no drill{kind} for this class. class.yaml can name some; labenv drill list shows all."
        )
    return fit


def orders(of: Class, there: Sequence[Environment], among: Sequence[Drill], seed: str) -> dict[str, list[Drill]]:
    """The drills in the order in which each student would get them, if one does not fit.

    The first ones go round by the roster, so that those who stand beside each other there have different ones.
    """
    round_ = drills.drawn(among, of.id, seed)
    place = {member.id: number for number, member in enumerate(of.members)}
    order = {}
    for environment in there:
        who = environment.student.id
        at = place.get(who, len(place)) % len(round_)
        order[who] = [round_[at], *drills.drawn(round_[at + 1 :] + round_[:at], who, seed)]
    return order


def usual_seed(of: Class) -> str:
    """The seed without `--seed`: the day, where the class is."""
    return f"{datetime.now(of.zone):%Y-%m-%d}"


def start(
    engine: Engine, there: Sequence[Environment], order: dict[str, list[Drill]], listen: Listener
) -> Iterator[tuple[str, Running | LabenvError]]:
    """Put a fault into each environment, and yield each student with the drill that runs then. It is saved before."""
    with Checkers(engine) as checkers:

        def one(mine: Engine, environment: Environment, tell: Listener) -> Running:
            return drill.start(mine, environment, order[environment.student.id], tell, partial(_checked, checkers))

        yield from waves.for_each(engine, there, one, listen, "starting a drill in")


def give_up(
    engine: Engine, there: Sequence[Environment], listen: Listener
) -> Iterator[tuple[str, Verdict | LabenvError]]:
    """End the drill that runs in each environment and take the fault out; yields each student with the verdict after that."""
    with Checkers(engine) as checkers:

        def one(mine: Engine, environment: Environment, tell: Listener) -> Verdict:
            return drill.give_up(mine, environment, tell, partial(_checked, checkers), by_teacher=True)

        yield from waves.for_each(engine, there, one, listen, "ending the drills of")


def with_drill(engine: Engine, there: Sequence[Environment]) -> list[Environment]:
    """Those of the environments in which a drill runs. Raises EngineError."""
    return [each for each in there if drill_records.running(engine.holding(each.student.id), each.student.id)]


def report(engine: Engine, there: Sequence[Environment]) -> list[DrillEntry]:
    """The drills of these environments, running ones too, by student and time. Raises EngineError."""
    mine = {environment.student.id for environment in there}
    return [row for one in engine.each() for row in drill_records.rows(one) if row.student in mine]


def _checked(checkers: Checkers, _: Engine, environment: Environment, listen: Listener) -> Report:
    return checkers.check(environment, listen=listen)
