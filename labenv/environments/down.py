"""Taking an environment down: `down` removes everything but its saves."""

from labenv.engine import Engine, kept, records, save_store
from labenv.environment import Environment
from labenv.environments import history, links
from labenv.environments.changing import Change, changing
from labenv.environments.recovery import remove_all
from labenv.events import Event, Listener, announced


def down(engine: Engine, environment: Environment, listen: Listener) -> None:
    """Remove an environment: machines, networks, cgroups. Its saves stay. Raises EngineError.

    Interrupted while all machines still exist, `down` has only switched them off. Interrupted later, the next command that
    changes the environment finishes it.
    """
    who = environment.student.id
    doing = f"removing {who}'s machines and networks"
    with changing(engine, who, listen, removing=True) as change, announced(listen, "down", doing):
        count = removed(change, environment, listen)
    if count:
        left = "1 save is" if count == 1 else f"{count} saves are"
        listen(Event("down", f"{left} kept. List or remove saves: labenv saves -s {who}", "note"))


def removed(change: Change, environment: Environment, listen: Listener) -> int:
    """The same for a command that holds the environment; returns how many saves stay. Raises EngineError."""
    engine, who = change.engine, change.student_id
    there = change.look()
    if there and save_store.found(engine, who):
        history.collect_now(engine, there, listen)
    if there:
        engine.switch_off(there)
    noted = save_store.note(engine, who, "removing")
    impaired = records.read(engine, who, links.RECORD)
    remove_all(engine, who)
    links.tidied(engine, who, impaired)
    count = len(save_store.tidied(engine, who))
    for other in save_store.notes(engine, who):
        if other != noted:
            save_store.drop(engine, other)
    save_store.drop(engine, noted)
    if not count:
        history.forget(environment)
    return count


def forget(engine: Engine, student_id: str, listen: Listener) -> bool:
    """Remove what is left of an environment whose machines another program removed; whether there was such. Raises EngineError."""
    if engine.environments(student_id) or kept.since(engine, student_id) is None:
        return False
    with changing(engine, student_id, listen, removing=True):
        remove_all(engine, student_id)
    return True
