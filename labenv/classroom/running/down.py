"""Removing environments of a class."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from labenv.classroom.federation import world
from labenv.classroom.folder.model import Class
from labenv.classroom.running import timers, waves
from labenv.classroom.running.there import environments
from labenv.engine import Engine, lent
from labenv.engine.save_store import Save
from labenv.environment import Environment
from labenv.environments import down as one
from labenv.environments import saves
from labenv.errors import LabenvError
from labenv.events import Listener, silent
from labenv.sheet import stake
from labenv.swarm import over
from labenv.swarm.where import Fleet


@dataclass(frozen=True)
class Removed:
    """An environment that was removed, and the save that was made of it before, if one was asked for."""

    student: str
    saved: Save | None


@dataclass(frozen=True)
class Doomed:
    """What `down` removes: environments, and whether the world outside of the class goes with them."""

    environments: Sequence[Environment]
    outside: bool


def doomed(engine: Engine, of: Class, only: Collection[str] | None = None, lab: str | None = None) -> Doomed:
    """What there is to remove of a class, of those whom `only` names and of one `lab` of it, if given.

    The world outside goes with the last environment, and alone where a `class up` was interrupted before the first. Raises as
    `there.environments` does if there is nothing at all.
    """
    outside = bool(lent.found(engine, of.id))
    every = [each for each in engine.environments() if each.belongs.class_id == of.id]
    alone = outside and not (every or only or lab)
    chosen = [] if alone else environments(engine, of, only, lab)
    return Doomed(chosen, outside and len(chosen) == len(every))


def down(
    engine: Engine, of: Class, there: Sequence[Environment], listen: Listener, *, keep: bool
) -> Iterator[tuple[str, Removed | LabenvError]]:
    """Remove each environment, with `keep` after a save; yields each student. One that cannot be saved then stays."""

    def remove(mine: Engine, environment: Environment, tell: Listener) -> Removed:
        who = environment.student.id
        saved = saves.save(mine, environment, None, tell) if keep else None
        one.down(mine, environment, silent)  # its note says for each that saves are kept
        if isinstance(engine, Fleet):
            over.forget(engine.nodes.manager, who)
        timers.drop(of, who)
        return Removed(who, saved)

    gone: list[str] = []
    for who, result in waves.for_each(engine, there, remove, listen, "removing"):
        gone += [who] if isinstance(result, Removed) else []
        yield who, result
    world.forget(engine, of, gone, listen)


def lost(engine: Engine, there: Sequence[Environment]) -> Iterator[tuple[str, list[str]]]:
    """What each student would lose by `down` without a save, in sentences. Raises EngineError."""
    for environment in there:
        yield environment.student.id, list(stake.of(engine.holding(environment.student.id), environment).sentences)
