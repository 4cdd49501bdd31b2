"""Bringing a class up: an environment for each student, as many at a time as the computer bears, each verified when it answers."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from labenv.checks.results import Report
from labenv.classroom.federation import world
from labenv.classroom.folder.model import Assignment, Class, Member
from labenv.classroom.running import placed, waves
from labenv.classroom.running.room import Room
from labenv.classroom.running.there import environments
from labenv.engine import Engine, image_sources
from labenv.engine.images import Images
from labenv.environment import Allowance, Belonging, Environment
from labenv.environments import room
from labenv.environments.plan import Request, validated, wished
from labenv.environments.up import Outcome
from labenv.environments.up import up as up_one
from labenv.errors import EngineError, LabenvError, UsageError
from labenv.events import Listener
from labenv.lab import labs
from labenv.lab.model import Lab
from labenv.swarm.where import Fleet
from labenv.text import many

Check = Callable[[Environment], Report]


@dataclass(frozen=True)
class Arrival:
    """A student's environment that is up: what `up` did, and what its verification found, if there was one.

    `is_new` is whether it was made now; another one is at the stage at which it began.
    """

    outcome: Outcome
    is_new: bool
    report: Report | None = None


@dataclass(frozen=True)
class _Item:
    request: Request
    is_new: bool


def up(
    engine: Engine,
    of: Class,
    assignment: Assignment,
    members: Sequence[Member],
    listen: Listener,
    *,
    at: str | None = None,
    check: Check | None = None,
) -> Iterator[tuple[str, Arrival | LabenvError]]:
    """Bring environments of these students up, and yield each student with what came of it, as they end.

    What does not exist is made at the stage `at`, or the assignment's, or the lab's first. What exists is brought back as it is, at the
    stage at which it began. `check`, if given, verifies each environment that is up. Raises UsageError before anything is made
    if the lab or the stage does not exist, EngineError if the engine is gone.
    """
    lab = labs.load(assignment.lab)
    stage = lab.check_stage(at or assignment.at or lab.stages[0].id)
    there = {each.student.id: each for each in engine.environments()}
    belongs = Belonging(of.id, Allowance(of.limits.memory or 0, of.limits.processes or 0), of.federate)
    items: list[_Item] = []
    for member in members:
        new = Request(
            member.id,
            member.x,
            member.first,
            stage,
            assignment.lab,
            profiles=assignment.profiles,
            belongs=belongs,
        )
        try:
            if existing := there.get(member.id):
                _refuse_strange(existing, of, lab)
                items.append(_Item(_as_it_is(existing, assignment.profiles), is_new=False))
            else:
                items.append(_Item(validated(new), is_new=True))
        except LabenvError as error:
            yield member.id, error
    if isinstance(engine, Fleet):
        yield from _placed(engine, of, assignment.lab, items, there, listen, check)
    else:
        yield from _brought_up(engine, of, items, there, listen, check)


def _placed(
    engine: Fleet,
    of: Class,
    lab: str,
    items: list[_Item],
    there: dict[str, Environment],
    listen: Listener,
    check: Check | None,
) -> Iterator[tuple[str, Arrival | LabenvError]]:
    """The same on the nodes of a swarm: what exists and does not run is brought back where it is."""
    items, refused = _within(of, items, there)
    yield from refused
    if requests := [item.request for item in items]:
        label = placed.opened(engine, of, lab, listen)
        for who, result, report, is_new in placed.brought_up(engine, of, requests, listen, check, label):
            yield who, result if isinstance(result, LabenvError) else Arrival(result, is_new, report)


def up_again(
    engine: Engine, of: Class, only: Collection[str] | None, listen: Listener, *, check: Check | None = None
) -> Iterator[tuple[str, Arrival | LabenvError]]:
    """Bring back the class's environments that exist and do not run, as after a reboot of the computer: each as it was.

    Yields as `up` does, and nothing if all run. Raises UsageError for a name that is nobody's, EngineError if there is no environment.
    """
    there = {each.student.id: each for each in environments(engine, of, only)}
    resting = [each for each in there.values() if any(machine.state != "running" for machine in each.machines)]
    items = [_Item(_as_it_is(each), is_new=False) for each in resting]
    yield from _brought_up(engine, of, items, there, listen, check)


def _brought_up(
    engine: Engine,
    of: Class,
    items: list[_Item],
    there: dict[str, Environment],
    listen: Listener,
    check: Check | None,
) -> Iterator[tuple[str, Arrival | LabenvError]]:
    items, refused = _within(of, items, there)
    yield from refused
    if of.federate and (items or world.members(engine, of.id)):  # where all are refused, nobody would remove it
        world.settle(engine, of, listen)
    if not items:
        return
    sizes = [_machines(item, there) for item in items]
    _prepare(engine, of, items, there, sum(sizes), listen)

    said: set[str] = set()

    def bring(item: _Item) -> Arrival:
        who = item.request.student_id
        mine = engine.holding(who).apart()
        tell = waves.of_one(listen, who, said)
        outcome = up_one(mine, item.request, tell)
        if of.federate:
            world.settle(mine, of, tell)
        is_new = item.is_new and bool(outcome.changes)  # another command may have made it meanwhile
        return Arrival(outcome, is_new, check(outcome.environment) if check else None)

    for item, result in waves.paced(
        items,
        bring,
        listen,
        name=lambda item: item.request.student_id,
        doing=f"bringing up {many(len(items), 'environment')}",
        room=Room(engine, max(sizes, default=0)),
        elsewhere=not engine.is_local,
    ):
        yield item.request.student_id, result


def _as_it_is(existing: Environment, profiles: Collection[str] = ()) -> Request:
    """A request that an environment meets as it is, and that makes it so again if somebody removes it meanwhile."""
    who = existing.student
    return Request(
        who.id,
        who.x,
        who.first,
        existing.stage,
        existing.lab_folder or existing.lab,
        profiles=frozenset(profiles),
        belongs=existing.belongs,
    )


def _refuse_strange(existing: Environment, of: Class, lab: Lab) -> None:
    """Raise UsageError for an environment that is not this class's, or one of another lab."""
    who = existing.student.id
    if existing.belongs.class_id != of.id:
        other = existing.belongs.class_id
        whose = f"belongs to the class {other}" if other else "belongs to no class"
        raise UsageError(
            f"There is an environment of {who} that {whose}. To give {who} one of {of.id}, save that and remove it: "
            f"labenv save -s {who}, labenv down -s {who}"
        )
    if existing.lab != lab.id:
        raise UsageError(
            f"{who} still has an environment of {existing.lab}. To begin {lab.id}, save that and remove it: "
            f"labenv class down --save --only {who}"
        )


def _within(
    of: Class, items: list[_Item], there: dict[str, Environment]
) -> tuple[list[_Item], list[tuple[str, LabenvError]]]:
    """The items that class.yaml lets run at once, those that run already first, and the others with the reason."""
    most = of.limits.at_once
    if most is None:
        return items, []
    run = {who for who, each in there.items() if each.belongs.class_id == of.id and _runs(each)}
    known = [item for item in items if item.request.student_id in run]
    rest = [item for item in items if item.request.student_id not in run]
    free = max(0, most - len(run))
    error = UsageError(
        f"class.yaml of {of.name} lets {many(most, 'environment')} run at once. To stop some: labenv class stop --only STUDENT; or "
        "raise `at once` there."
    )
    return [*known, *rest[:free]], [(item.request.student_id, error) for item in rest[free:]]


def _prepare(
    engine: Engine, of: Class, items: list[_Item], there: dict[str, Environment], machines: int, listen: Listener
) -> None:
    """Do once what each would do by itself: the images, and raising the kernel's limits."""
    _ = engine.facts
    for made in {item.request.lab: item.request for item in items if item.is_new}.values():
        lab = labs.load(made.lab or "")
        nodes = wished(made).nodes
        names = {lab.image_of(node.name, node.image, made.stage or lab.last_stage) for node in nodes}
        Images(engine, image_sources.of(lab)).ensure(names, listen)
    with suppress(EngineError):  # each asks again for itself: as many come up as there is room for
        room.ensure(engine, machines, listen)


def _machines(item: _Item, there: dict[str, Environment]) -> int:
    """How many machines are to be started."""
    if existing := there.get(item.request.student_id):
        return sum(machine.state != "running" for machine in existing.machines)
    return len(wished(item.request).nodes)


def _runs(environment: Environment) -> bool:
    return any(machine.state == "running" for machine in environment.machines)
