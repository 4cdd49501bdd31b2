"""Copies of environments between a node and the keeper: what is pushed, and what is fetched again."""

import re
from collections.abc import Callable, Iterable
from contextlib import suppress

from labenv.engine import Engine, kept, records, save_store
from labenv.engine.errors import refusals
from labenv.engine.save_store import STAMP, Save
from labenv.environment import Environment
from labenv.environments import saves, ticks
from labenv.environments.changing import Change, changing
from labenv.environments.down import removed
from labenv.errors import UsageError
from labenv.events import Listener, silent
from labenv.swarm import words
from labenv.swarm.client import Keeper
from labenv.swarm.leases import now


def push(engine: Engine, student_id: str, keeper: Keeper, generation: int) -> bool:
    """Send a copy of an environment to the keeper, and return whether there is one now.

    None is made while a drill runs, which could not go on elsewhere, nor of an environment of which a machine is missing. Raises Gone if
    another node has the environment now, EngineError.
    """
    with changing(engine, student_id, silent) as change:
        made = _made_to_go(change)
        if made is None:
            return False
        copy = _jotted(engine, made, words.PUSHED, keeper)
    _send(copy, keeper, generation)
    return True


def end(engine: Engine, student_id: str, keeper: Keeper, generation: int, class_id: str) -> None:
    """Send the last copy of a class's environment, as `push` does, and remove it. Nobody changes it in between.

    Raises as `push` does, and then it is still there.
    """
    with changing(engine, student_id, silent) as change:
        there = change.look()
        if there is None or there.belongs.class_id != class_id:
            return
        if made := _made_to_go(change):
            _send(_jotted(engine, made, words.PUSHED, keeper), keeper, generation)
        removed(change, there, silent)


def keep_aside(
    engine: Engine, student_id: str, keeper: Keeper, node: str, is_stale: Callable[[], bool], listen: Listener
) -> str | None:
    """Remove an environment that this node has no more, after sending a copy of it; returns the name of the save that this is.

    Where no copy can be made, because a machine came out of a save that has none, the save is on this node's engine alone. One that is
    no whole environment is removed without a copy; the name is empty then. None if there is nothing that `is_stale`, which is asked
    once nobody else can change it. Raises EngineError, and then it is still there.
    """
    name = ""
    with changing(engine, student_id, listen) as change:
        there = change.look()
        if there is None or not is_stale():
            return None
        if saves.is_whole(there):
            name = aside(node)
            try:
                made = _jotted(engine, there, name, keeper)
            except kept.NoParentError:
                saves.take(engine, there, name, listen)
            else:
                keeper.push_aside(student_id, made.stamp, kept.packed(student_id, made.stamp) or b"", node)
                _tidy(student_id, made)
        removed(change, there, silent)
    return name


def aside(node: str) -> str:
    """The name of a save of what is found on a node now."""
    host = re.sub(r"[^a-z0-9]+", "-", node.partition(".")[0].lower())[:16].strip("-")
    return f"aside-{host}-{now()[:16]}".replace(":", "").replace("T", "-")


def bring_back(engine: Engine, student_id: str, stamp: str, keeper: Keeper, listen: Listener) -> Environment:
    """Bring an environment up as it was when the copy with that stamp was pushed. Raises UsageError, EngineError."""
    kept_records = fetched(student_id, stamp, keeper).get("records")
    outcome = saves.restore(engine, student_id, words.PUSHED, listen, stamp=stamp, shares_x=True)
    for kind, says in kept_records.items() if isinstance(kept_records, dict) else ():
        records.write(engine, student_id, kind, says)
    with changing(engine, student_id, listen):
        # What its machines stand on stays.
        save_store.remove(engine, saves.named(engine, student_id, words.PUSHED, stamp))
    return outcome.environment


def fetched(student_id: str, stamp: str, keeper: Keeper) -> dict[str, object]:
    """Have a copy here, from the keeper if it is not, and return what is said of it. Raises UsageError, EngineError."""
    there = {manifest["stamp"]: manifest for manifest in kept.manifests(student_id)}
    return there.get(stamp) or kept.unpack(student_id, stamp, keeper.copy(student_id, stamp))


def _made_to_go(change: Change) -> Environment | None:
    """The environment if a copy of it could go on elsewhere."""
    there = change.look()
    if there is None or not saves.is_whole(there) or save_store.has_drill(change.engine, change.student_id):
        return None
    return there


def _send(made: Save, keeper: Keeper, generation: int) -> None:
    keeper.push(made.student_id, made.stamp, kept.packed(made.student_id, made.stamp) or b"", generation)
    _tidy(made.student_id, made)


def _jotted(engine: Engine, there: Environment, name: str, keeper: Keeper) -> Save:
    """A copy of an environment, made here, with its records. For who holds its lock."""
    who = there.student.id
    for parent in _stood_on(engine, there):
        if not kept.has(who, parent):
            with suppress(UsageError):  # the keeper has none: it is said below which machine came out of what
                kept.unpack(who, parent, keeper.copy(who, parent))
    known = records.of(engine, who)
    ticked = ticks.packed(ticks.checked(known.pop(ticks.RECORD, None)).values())
    return save_store.jot(engine, there, name, ticks=ticked, records=known)


def _stood_on(engine: Engine, there: Environment) -> Iterable[str]:
    """The stamps of the saves that an environment's machines came out of."""
    with refusals("looking at the machines"):
        labels = [engine.api.inspect_container(each.container)["Config"]["Labels"] or {} for each in there.machines]
    return {told[STAMP] for told in labels if told.get(STAMP)}


def _tidy(student_id: str, made: Save) -> None:
    """Keep of the copies here only what the next one stands on: the keeper has the others."""
    manifest = kept.manifest_of(student_id, made.stamp)
    needed = kept.stands_on(manifest)
    for stamp in kept.stamps(student_id) - needed:
        kept.drop(student_id, stamp, needed=False)
    for stamp in needed:
        kept.drop(student_id, stamp, needed=True)
