"""Copies of environments between a node and the keeper: what is pushed, and what is fetched again."""

from collections.abc import Iterable
from contextlib import suppress

from labenv.engine import Engine, kept, records, save_store
from labenv.engine.save_store import STAMP, Save
from labenv.environment import Environment
from labenv.environments import saves, ticks
from labenv.environments.changing import changing
from labenv.environments.down import down
from labenv.errors import UsageError
from labenv.events import Listener, silent
from labenv.swarm import words
from labenv.swarm.client import Gone, Keeper, patiently
from labenv.swarm.leases import now


def push(engine: Engine, student_id: str, keeper: Keeper, generation: int, *, patience: float = 0) -> bool:
    """Send a copy of an environment to the keeper, and return whether there is one now.

    None is made while a drill runs, which could not go on elsewhere, nor of an environment of which a machine is missing. `patience` is
    for how many seconds a keeper that does not answer is asked again. Raises Gone if another node has the environment now, EngineError.
    """
    with changing(engine, student_id, silent) as change:
        there = change.look()
        if there is None or not saves.is_whole(there) or save_store.has_drill(engine, student_id):
            return False
        made = _jotted(engine, there, words.PUSHED, keeper)
    data = kept.packed(student_id, made.stamp) or b""
    patiently(lambda: keeper.push(student_id, made.stamp, data, generation), patience)
    _tidy(student_id, made)
    return True


def keep_aside(engine: Engine, student_id: str, keeper: Keeper, node: str, listen: Listener) -> str:
    """Remove an environment that this node has no more, after sending a copy of it; returns the name of the save that this is.

    One that is no whole environment is removed without a copy; the name is empty then. Raises EngineError, and then it is still there.
    """
    name = ""
    with changing(engine, student_id, listen) as change:
        there = change.look()
        if there is None:
            return ""
        whole = saves.is_whole(there)
        if whole:
            name = f"aside-{node}-{now()[:16]}".replace(":", "").replace("T", "-").lower()[:40]
            made = _jotted(engine, there, name, keeper)
    if whole:
        keeper.push_aside(student_id, made.stamp, kept.packed(student_id, made.stamp) or b"", node, name)
        _tidy(student_id, made)
    down(engine, there, silent)
    return name


def bring_back(engine: Engine, student_id: str, stamp: str, keeper: Keeper, listen: Listener) -> Environment:
    """Bring an environment up as it was when the copy with that stamp was pushed. Raises UsageError, EngineError."""
    kept_records = fetched(student_id, stamp, keeper).get("records")
    wanted = saves.named(engine, student_id, words.PUSHED)
    outcome = saves.restore(engine, student_id, words.PUSHED, listen, shares_x=True)
    for kind, says in kept_records.items() if isinstance(kept_records, dict) else ():
        records.write(engine, student_id, kind, says)
    with changing(engine, student_id, listen):
        save_store.remove(engine, wanted)  # what its machines stand on stays
    return outcome.environment


def fetched(student_id: str, stamp: str, keeper: Keeper) -> dict[str, object]:
    """Have a copy here, from the keeper if it is not, and return what is said of it. Raises UsageError, EngineError."""
    if stamp not in kept.stamps(student_id):
        return kept.unpack(student_id, stamp, keeper.copy(student_id, stamp))
    return kept.manifest_of(student_id, stamp)


def _jotted(engine: Engine, there: Environment, name: str, keeper: Keeper) -> Save:
    """A copy of an environment, made here, with its records. For who holds its lock."""
    who = there.student.id
    for parent in _stood_on(engine, there):
        with suppress(Gone, UsageError):
            fetched(who, parent, keeper)
    known = records.of(engine, who)
    ticked = ticks.packed(ticks.checked(known.pop(ticks.RECORD, None)).values())
    return save_store.jot(engine, there, name, ticks=ticked, records=known)


def _stood_on(engine: Engine, there: Environment) -> Iterable[str]:
    """The stamps of the saves that an environment's machines came out of."""
    labels = (engine.api.inspect_container(each.container)["Config"]["Labels"] or {} for each in there.machines)
    return {told[STAMP] for told in labels if told.get(STAMP)}


def _tidy(student_id: str, made: Save) -> None:
    """Keep of the copies here only what the next one stands on: the keeper has the others."""
    manifest = kept.manifest_of(student_id, made.stamp)
    needed = kept.stands_on(manifest)
    for stamp in kept.stamps(student_id) - needed:
        kept.drop(student_id, stamp, needed=False)
    for stamp in needed:
        kept.drop(student_id, stamp, needed=True)
