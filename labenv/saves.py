"""Keeping an environment: saving it, restoring a save, starting again, and what an interrupted command has left.

A restore first switches the machines off, so that nobody works on in what is about to go, and then notes what it does.
Interrupted before the note, it has removed nothing; after it, the next command that changes the environment carries it
on. So that finds the state before or the one after. `reset` does the same the other way round: it leads back until all
is made anew.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from itertools import count

from labenv import history, lifecycle
from labenv import lab as labs
from labenv.engine import NOTED, Engine, records
from labenv.engine import saves as kept
from labenv.engine.desktop import remove_home
from labenv.engine.images import Images
from labenv.engine.saves import Note, Save
from labenv.environment import Environment, Machine
from labenv.errors import EngineError, UsageError
from labenv.events import Event, Listener, announced
from labenv.lifecycle import Outcome
from labenv.lock import student_lock
from labenv.networks import taken_by
from labenv.plan import Copied, Plan, plan_again
from labenv.student import Student

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")


def check_name(name: str) -> None:
    """Raise UsageError unless `name` can be a save's."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"A save cannot be called {name!a}: a name has up to 40 of a-z, 0-9, '.', '-' and '_', and begins with a "
            f"letter or a digit."
        )


def save(engine: Engine, environment: Environment, name: str | None, listen: Listener) -> Save:
    """Save an environment under `name`, or the next free one of save-1, save-2, …

    Raises UsageError for a name that is no name or is in use, EngineError if a machine is missing or the engine refuses;
    then everything is as it was.
    """
    if name is not None:
        check_name(name)
    who = environment.student.id
    with student_lock(who, listen):
        recover(engine, who, listen)
        there = _there(engine, who)
        missing = [machine.name for machine in there.machines if not _is_whole(machine)]
        if missing:
            raise EngineError(
                f"{' and '.join(missing)} cannot be saved: not there, or never started. Bring the environment up first: "
                f"labenv up {who}"
            )
        return take(engine, there, name, listen)


def take(engine: Engine, environment: Environment, name: str | None, listen: Listener, *, stem: str = "save") -> Save:
    """Save what is there of an environment, under `name` or the next free one of STEM-1, STEM-2, …

    For a command that holds the student's lock. Raises as `save` does.
    """
    who = environment.student.id
    used = {other.name for other in kept.tidied(engine, who)}
    name = name or next(free for free in (f"{stem}-{number}" for number in count(1)) if free not in used)
    if name in used:
        raise UsageError(
            f"{who} has a save called {name} already. Choose another name, or remove it: labenv saves --remove {name} -s {who}"
        )
    with announced(listen, "save", f"saving {who}'s machines as {name}"):
        return kept.make(engine, environment, [m for m in environment.machines if _is_whole(m)], name)


def named(engine: Engine, student_id: str, name: str) -> Save:
    """The save called `name`. Raises UsageError, naming those there are, if there is none."""
    there = kept.found(engine, student_id)
    for found in there:
        if found.name == name:
            return found
    known = f"There are: {', '.join(found.name for found in there)}." if there else "There is none: labenv save"
    raise UsageError(f"{student_id} has no save called {ascii(name)[1:-1]}. {known}")


def restore(engine: Engine, student_id: str, name: str, listen: Listener) -> Outcome:
    """Put a save in the place of what is there, which is saved first. Raises UsageError, EngineError.

    `changes` of the outcome begins with the name of that save of what was there, if anything was.
    """
    with student_lock(student_id, listen):
        recover(engine, student_id, listen)
        wanted = named(engine, student_id, name)
        plan = _plan(wanted)
        refuse_drill(engine, student_id)
        Images(engine).ensure(
            {plan.images()[node.name] for node in plan.topology.nodes if node.name not in plan.copied}, listen
        )
        there = engine.environments(student_id)
        _refuse_taken(engine, plan.student, there)
        for environment in there:
            history.collect_now(engine, environment, listen)
        before = _before(engine, there, "before-restore", listen)
        noted = _begin(engine, there, wanted)
        changes = _replace(engine, wanted, noted, listen)
        environment = _there(engine, student_id)
        lifecycle.settle(engine, environment, environment.machines, listen)
        history.collect_now(engine, environment, listen, f"labenv restore {name}")
    return Outcome(environment, (*_names(before), *changes), ())


def check_reset(environment: Environment, machine: str | None, stage: str | None) -> None:
    """Raise UsageError for a machine or a stage that there is not."""
    if stage:
        labs.load(environment.lab).check_stage(stage)
    if machine and environment.machine(machine).optional:
        raise UsageError(
            f"{machine} is none of the machines of the sheet, so it has no stages. Reset without a machine."
        )


def reset(
    engine: Engine, environment: Environment, machine: str | None, stage: str | None, listen: Listener
) -> Outcome:
    """Make an environment, or one machine of it, anew as a stage begins; what is there is saved first.

    Raises UsageError for an unknown machine or stage, EngineError. `changes` begins with the name of the save.
    """
    who = environment.student.id
    check_reset(environment, machine, stage)
    with student_lock(who, listen):
        recover(engine, who, listen)
        there = _there(engine, who)
        refuse_drill(engine, who)
        names = [m.name for m in there.machines]
        fresh = plan_again(there.student, there.lab, stage or there.stage, there.topology, names)
        Images(engine).ensure(set(fresh.images().values()), listen)
        history.collect_now(engine, there, listen)
        before = _before(engine, [there], "before-reset", listen)
        if machine:  # what is interrupted here is a missing machine, which `up` makes anew as well
            changes = lifecycle.remake_machine(engine, there, fresh, machine, listen)
        else:
            noted = _begin(engine, [there], before) if before else None
            changes = lifecycle.remake(engine, [there], fresh, listen)
            if noted:
                kept.drop(engine, noted)
        environment = _there(engine, who)
        again = [m for m in environment.machines if machine in (None, m.name)]
        lifecycle.settle(engine, environment, again, listen)
        history.collect_now(engine, environment, listen, " ".join(["labenv reset", *filter(None, [machine, stage])]))
    return Outcome(environment, (*_names(before), *changes), ())


def remove(engine: Engine, student_id: str, name: str, listen: Listener) -> None:
    """Remove a save. Raises UsageError if there is none of that name, EngineError."""
    with student_lock(student_id, listen):
        kept.remove(engine, named(engine, student_id, name))


def recover(engine: Engine, student_id: str, listen: Listener) -> None:
    """Carry on what an interrupted `restore`, `reset` or `down` has begun, undo an interrupted start of a drill.

    For a command that holds the student's lock. Raises EngineError.
    """
    pending = kept.notes(engine, student_id)
    removing = any(noted.doing == "removing" for noted in pending)
    if removing:
        listen(Event("down", "a `down` was interrupted; what it left is removed", "note"))
        for environment in engine.environments(student_id):
            engine.remove(environment)
        records.remove(engine, student_id)
        remove_home(engine, student_id)
    # The note of a removal goes last: it counts for more than what it came on top of.
    for noted in sorted(pending, key=lambda noted: noted.doing, reverse=True):
        wanted = next((s for s in kept.found(engine, student_id) if s.stamp == noted.stamp), None)
        if wanted and not removing and not set(wanted.machines) <= kept.restored(engine, noted):
            listen(Event("restore", f"an interrupted command is finished by restoring {wanted.name}", "note"))
            _replace(engine, wanted, noted, listen)
        else:
            kept.drop(engine, noted)
    recover_drill(engine, student_id, listen)


def recover_drill(engine: Engine, student_id: str, listen: Listener) -> None:
    """Undo a start of a drill that was interrupted, if its machines run. As `recover` otherwise."""
    if kept.has_drill(engine, student_id):
        from labenv import drilling  # which saves what is there

        drilling.recover(engine, student_id, listen)


def refuse_drill(engine: Engine, student_id: str) -> None:
    """Raise UsageError while a drill runs: it would be about another environment."""
    if kept.has_drill(engine, student_id):
        raise UsageError(
            f"A drill is running in {student_id}'s environment. End it first: labenv drill give-up -s {student_id}"
        )


def _replace(engine: Engine, wanted: Save, noted: Note, listen: Listener) -> tuple[str, ...]:
    plan = _plan(wanted, noted.nonce)
    changes = lifecycle.remake(engine, engine.environments(wanted.student_id), plan, listen)
    kept.drop(engine, noted)
    return changes


def _begin(engine: Engine, there: Iterable[Environment], wanted: Save) -> Note:
    for environment in there:
        engine.switch_off(environment)
    return kept.note(engine, wanted.student_id, "restoring", wanted.stamp)


def _plan(wanted: Save, nonce: str = "-") -> Plan:
    """What a save is made to run from. Raises UsageError if its lab or its topology is not there."""
    then = wanted.environment
    plan = plan_again(then.student, then.lab, then.stage, then.topology, wanted.machines)
    copied = {
        copy.machine: Copied(copy.tag, {"labenv.made-from": copy.labels.get("labenv.made-from", ""), NOTED: nonce})
        for copy in wanted.copies
    }
    return replace(plan, copied=copied)


def _refuse_taken(engine: Engine, who: Student, there: Iterable[Environment]) -> None:
    owner = taken_by(engine).get(who.x)
    if owner and who.x not in (environment.student.x for environment in there):
        raise UsageError(
            f"The save is of the network {who.network}, which is taken: {owner}. Free it first; the addresses are in "
            f"{who.id}'s configuration."
        )


def _before(engine: Engine, there: list[Environment], stem: str, listen: Listener) -> Save | None:
    if not any(_is_whole(machine) for environment in there for machine in environment.machines):
        return None
    return take(engine, there[0], None, listen, stem=stem)


def _names(before: Save | None) -> tuple[str, ...]:
    return (before.name,) if before else ()


def _there(engine: Engine, student_id: str) -> Environment:
    there = engine.environments(student_id)
    if not there:
        raise EngineError(f"{student_id} has no environment. Make one: labenv up {student_id}")
    return there[0]


def _is_whole(machine: Machine) -> bool:
    """Whether a machine is there and has run."""
    return machine.state in ("running", "paused", "exited")
