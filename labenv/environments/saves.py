"""Saving an environment, restoring a save, and starting from scratch. Each of them can be undone."""

from contextlib import nullcontext
from itertools import count
from typing import Any

from labenv.engine import Engine, image_sources, kept, save_store
from labenv.engine.images import Images
from labenv.engine.save_store import Save
from labenv.environment import Environment, Machine
from labenv.environments import desktop, history, ticks
from labenv.environments.changing import changing
from labenv.environments.choose import chosen
from labenv.environments.machines import remake, remake_machine
from labenv.environments.plan import Plan, sharing
from labenv.environments.recovery import begin, plan_of, replace_with
from labenv.environments.settle import settle
from labenv.environments.up import Outcome
from labenv.errors import EngineError, UsageError
from labenv.events import Event, Listener, announced
from labenv.lab import labs
from labenv.student import check_id


def check_name(name: str) -> None:
    """Raise UsageError unless `name` is valid for a save."""
    if not kept.SAVE_NAME.fullmatch(name):
        raise UsageError(
            f"A save cannot be called {name!a}: a name has up to 40 of a-z, 0-9, '.', '-' and '_', and begins with a "
            f"letter or a digit."
        )


def save(engine: Engine, environment: Environment, name: str | None, listen: Listener) -> Save:
    """Save an environment under `name`, or the next free one of save-1, save-2, …

    Raises UsageError for a name that is not valid or in use, EngineError if a machine is missing or the engine refuses;
    then nothing has changed.
    """
    if name is not None:
        check_name(name)
    who = environment.student.id
    with changing(engine, who, listen) as change:
        there = change.environment
        missing = [machine.name for machine in there.machines if not _is_whole(machine)]
        if missing:
            raise EngineError(
                f"{' and '.join(missing)} cannot be saved: missing or never started. Bring the environment up first: "
                f"labenv up {who}"
            )
        return take(engine, there, name, listen)


def take(engine: Engine, environment: Environment, name: str | None, listen: Listener, *, stem: str = "save") -> Save:
    """Save an environment, even an incomplete one, under `name` or the next free one of STEM-1, STEM-2, …

    For a command that holds the student's lock. Raises as `save` does.
    """
    who = environment.student.id
    used = {other.name for other in save_store.tidied(engine, who)}
    name = name or next(free for free in (f"{stem}-{number}" for number in count(1)) if free not in used)
    if name in used:
        raise UsageError(
            f"{who} already has a save called {name}. Choose another name, or remove that save: labenv saves --remove {name} -s {who}"
        )
    with announced(listen, "save", f"saving {who}'s machines as {name}"):
        whole = [m for m in environment.machines if _is_whole(m)]
        ticked = ticks.packed(ticks.read(engine, who).values())
        return save_store.make(engine, environment, whole, name, ticks=ticked, listen=listen)


def named(engine: Engine, student_id: str, name: str, stamp: str | None = None) -> Save:
    """The save called `name`, of several the one with that stamp. Raises UsageError, naming the existing saves, if there is none."""
    there = save_store.found(engine, student_id)
    for found in there:
        if found.name == name and stamp in (None, found.stamp):
            return found
    known = f"Existing saves: {', '.join(found.name for found in there)}." if there else "None yet: labenv save"
    raise UsageError(f"{student_id} has no save called {ascii(name)[1:-1]}. {known}")


def restore(
    engine: Engine,
    student_id: str,
    name: str,
    listen: Listener,
    *,
    stamp: str | None = None,
    shares_x: bool = False,
) -> Outcome:
    """Replace the environment by a save; the current state is saved first. With `shares_x`, its X may be another environment's.

    Of several saves of that name, it is the one with that `stamp`. Raises UsageError, EngineError.

    `changes` of the outcome begins with the name of the save of the current state, if there was anything to save.
    """
    with changing(engine, student_id, listen) as change:
        wanted = named(engine, student_id, name, stamp)
        plan = plan_of(engine, wanted, shares_x=shares_x)
        refuse_drill(engine, student_id)
        Images(engine, image_sources.of(plan.lab)).ensure(
            {plan.images()[node.name] for node in plan.topology.nodes if node.name not in plan.copied}, listen
        )
        there = change.look()
        if plan.pools and not (there and there.pools):
            listen(Event("network", sharing(plan, "taken"), "note"))
        wanted = save_store.ensure(engine, wanted, listen)
        if there:
            history.collect_now(engine, there, listen)
        before = _before(engine, there, "before-restore", listen)
        with desktop.brought_back(engine, change, listen):
            noted = begin(engine, there, wanted)
            changes = replace_with(engine, wanted, noted, listen)
            environment = change.environment
            settle(engine, environment, environment.machines, listen)
        history.collect_now(engine, environment, listen, f"labenv restore {name}")
    return Outcome(environment, (*_names(before), *changes), ())


def check_reset(environment: Environment, machine: str | None, stage: str | None) -> None:
    """Raise UsageError for an unknown machine or stage."""
    if stage:
        labs.of(environment).check_stage(stage)
    if machine and environment.machine(machine).optional:
        raise UsageError(
            f"{machine} is not a machine of the sheet, so it has no stages. Reset the whole environment: omit the machine."
        )


def reset(
    engine: Engine, environment: Environment, machine: str | None, stage: str | None, listen: Listener
) -> Outcome:
    """Make an environment, or one machine of it, again from scratch at a stage; the current state is saved first.

    Raises UsageError for an unknown machine or stage, EngineError. `changes` begins with the name of the save.
    """
    who = environment.student.id
    check_reset(environment, machine, stage)
    with changing(engine, who, listen) as change:
        there = change.environment
        refuse_drill(engine, who)
        fresh = change.plan.at(stage) if stage else change.plan
        _refuse_absent(fresh, machine)
        Images(engine, image_sources.of(fresh.lab)).ensure(set(fresh.images().values()), listen)
        history.collect_now(engine, there, listen)
        before = _before(engine, there, "before-reset", listen)
        makes_host = machine in (None, desktop.machine_name(there))
        with desktop.brought_back(engine, change, listen) if makes_host else nullcontext():
            changes = _made_again(engine, there, fresh, before, machine, listen)
            environment = change.environment
            again = [m for m in environment.machines if machine in (None, m.name)]
            settle(engine, environment, again, listen)
        history.collect_now(engine, environment, listen, " ".join(["labenv reset", *filter(None, [machine, stage])]))
    return Outcome(environment, (*_names(before), *changes), ())


def _refuse_absent(fresh: Plan, machine: str | None) -> None:
    """Raise UsageError for a machine that the topology has only from a later stage on."""
    if machine and not any(node.name == machine for node in fresh.topology.nodes):
        raise UsageError(f"There is no {machine} at stage {fresh.stage}: it comes later. Reset it to a later stage.")


def _made_again(
    engine: Engine, there: Environment, fresh: Plan, before: Save | None, machine: str | None, listen: Listener
) -> tuple[str, ...]:
    """Make the environment, or one machine of it, as the plan has it; returns what was done."""
    if machine:  # if this is interrupted, a machine is missing, which `up` makes again too
        return remake_machine(engine, there, fresh, machine, listen)
    noted = begin(engine, there, before) if before else None
    changes = remake(engine, [there], fresh, listen)
    ticks.keep(engine, there.student.id, ())
    if noted:
        save_store.drop(engine, noted)
    return changes


def remove(engine: Engine, student_id: str, name: str, listen: Listener) -> None:
    """Remove a save, and with the last thing of an environment its history. Raises UsageError if there is none of that name, EngineError."""
    with changing(engine, student_id, listen) as change:
        doomed = named(engine, student_id, name)
        save_store.remove(engine, doomed)
        if not change.look() and not save_store.tidied(engine, student_id):
            history.forget(doomed.environment)


def refuse_drill(engine: Engine, student_id: str) -> None:
    """Raise UsageError while a drill runs: it would no longer fit the environment."""
    if save_store.has_drill(engine, student_id):
        raise UsageError(
            f"A drill is running in {student_id}'s environment. End it first: labenv drill give-up -s {student_id}"
        )


def _before(engine: Engine, there: Environment | None, stem: str, listen: Listener) -> Save | None:
    if not there or not any(_is_whole(machine) for machine in there.machines):
        return None
    return take(engine, there, None, listen, stem=stem)


def _names(before: Save | None) -> tuple[str, ...]:
    return (before.name,) if before else ()


def is_whole(environment: Environment) -> bool:
    """Whether all machines of an environment exist and have run, so that it can be saved."""
    return all(map(_is_whole, environment.machines))


def _is_whole(machine: Machine) -> bool:
    """Whether a machine exists and has run."""
    return machine.state in ("running", "paused", "exited")


def owner(engine: Engine, student_id: str | None, name: str) -> str:
    """Whose save is meant: the named student's, or that of the only student who has a save of that name.

    Raises UsageError for an id that is not valid or if several students have one, EngineError if no student can be meant.
    """
    if student_id:
        check_id(student_id)
        return student_id
    owners = sorted({save.student_id for save in save_store.found(engine) if save.name == name})
    if len(owners) > 1:
        raise UsageError(f"{', '.join(owners)} each have a save called {name}. Choose one: -s STUDENT")
    return owners[0] if owners else chosen(engine, None).student.id


def document(engine: Engine, save: Save) -> dict[str, Any]:
    """A save as `saves --json` shows it; `bytes` is what it takes in addition to the images. Raises EngineError.

    One that is `gone` has only its copy outside the engine, from which a restore makes it again.
    """
    return {
        "student": save.student_id,
        "name": save.name,
        "made": save.made.isoformat(timespec="seconds"),
        "lab": save.labels["labenv.lab"],
        "stage": save.stage,
        "machines": list(save.machines),
        "bytes": sum(save_store.sizes(engine, save).values()),
        "gone": save.gone,
    }
