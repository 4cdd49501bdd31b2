"""What an interrupted command left: finish it, or undo it.

A restore notes what it does once the machines are switched off. Interrupted before the note, it has removed nothing;
after it, the next command that changes the environment finishes it. `reset` works the other way round: until everything
is made from scratch, it is undone. An interrupted start of a drill is undone.
"""

from dataclasses import replace

from labenv.engine import Engine, kept, records, save_store
from labenv.engine.desk import remove_home
from labenv.engine.labels import FOREIGN, HOSTNAME, NOTED
from labenv.engine.save_store import Note, Save
from labenv.environment import Environment, Pool
from labenv.environments import fault, history, machines, ticks
from labenv.environments.networks import takings
from labenv.environments.plan import Copied, Plan, plan_again, topology_of
from labenv.environments.pools import pools_for
from labenv.environments.settle import settle
from labenv.errors import UsageError
from labenv.events import Event, Listener
from labenv.lab import labs
from labenv.lab.topology import Topology


def recover(engine: Engine, student_id: str, listen: Listener) -> None:
    """Finish an interrupted `restore`, `reset` or `down`, undo an interrupted start of a drill.

    For a command that holds the student's lock. Raises EngineError.
    """
    kept.recover(engine, student_id)
    pending = save_store.notes(engine, student_id)
    removing = any(noted.doing == "removing" for noted in pending)
    if removing:
        listen(Event("down", "a `down` was interrupted; removing what is left", "note"))
        remove_all(engine, student_id)
    # The note of a removal is dropped last: it counts for more than the notes before it.
    for noted in sorted(pending, key=lambda noted: noted.doing, reverse=True):
        wanted = next((s for s in save_store.found(engine, student_id) if s.stamp == noted.stamp), None)
        if wanted and not removing and not set(wanted.machines) <= save_store.restored(engine, noted):
            listen(Event("restore", f"finishing an interrupted command: restoring {wanted.name}", "note"))
            replace_with(engine, wanted, noted, listen)
            for environment in engine.environments(student_id):
                settle(engine, environment, environment.machines, listen)
                history.collect_now(engine, environment, listen, f"labenv restore {wanted.name}")
        else:
            save_store.drop(engine, noted)
    recover_drill(engine, student_id, listen)


def recover_drill(engine: Engine, student_id: str, listen: Listener) -> None:
    """Undo an interrupted start of a drill, if its machines run. Otherwise as `recover`."""
    if save_store.has_drill(engine, student_id):
        fault.recover(engine, student_id, listen)


def remove_all(engine: Engine, student_id: str) -> None:
    """Remove a student's machines and networks, the desktop with its files, and all records. Raises EngineError."""
    for environment in engine.environments(student_id):
        engine.remove(environment)
    records.remove(engine, student_id)
    remove_home(engine, student_id)
    kept.recover(engine, student_id)
    kept.drop_parents(student_id)
    kept.down(student_id)


def replace_with(engine: Engine, wanted: Save, noted: Note, listen: Listener) -> tuple[str, ...]:
    """Replace what exists by a save, as the note says; returns what was done. Raises EngineError."""
    save_store.ensure(engine, wanted, listen)
    plan = plan_of(engine, wanted, noted.nonce, shares_x=True)  # whoever began this may
    changes = machines.remake(engine, engine.environments(wanted.student_id), plan, listen)
    ticks.keep(engine, wanted.student_id, ticks.unpacked(wanted.labels.get(save_store.TICKS, "")).values())
    save_store.drop(engine, noted)
    return changes


def begin(engine: Engine, there: Environment | None, wanted: Save) -> Note:
    """Switch the machines off and note that this save replaces them. Raises EngineError."""
    if there:
        engine.switch_off(there)
    return save_store.note(engine, wanted.student_id, "restoring", wanted.stamp)


def plan_of(engine: Engine, wanted: Save, nonce: str = "-", *, shares_x: bool = False) -> Plan:
    """The plan for running a save, whose X may be another environment's with `shares_x`, or if it was, or as one of its class.

    Raises UsageError if its lab or its topology does not exist, or its X is taken and may not be shared; EngineError.
    """
    then = wanted.environment

    def planned(pools: tuple[Pool, ...]) -> Plan:
        lab, machines = labs.of(then), wanted.machines
        return plan_again(then.student, lab, then.stage, then.topology, machines, belongs=then.belongs, pools=pools)

    plan = planned(())
    may_share = bool(shares_x or then.pools or (then.belongs.class_id and not then.belongs.federated))
    if pools := _pools(engine, wanted, plan.topology, may_share=may_share):
        plan = planned(pools)
    copied = {}
    for copy in wanted.copies:
        labels = {"labenv.made-from": copy.labels.get("labenv.made-from", ""), NOTED: nonce}
        labels |= {HOSTNAME: copy.labels[HOSTNAME]} if HOSTNAME in copy.labels else {}
        copied[copy.machine] = Copied(copy.tag, labels)
    foreign = any(FOREIGN in copy.labels for copy in wanted.copies)
    return replace(plan, copied=copied, foreign=foreign, past=then.past)


def _pools(engine: Engine, kept: Save, wanted: Topology, *, may_share: bool) -> tuple[Pool, ...]:
    """What the engine is to know the networks of an environment by that comes back: as now, or free ones if it may share its X."""
    then = kept.environment
    who = then.student
    now = next(iter(engine.environments(who.id)), None)
    if now and now.student.x == who.x:
        return now.pools
    there = takings(engine)
    owner = there.of(who.x, wanted.subnets)
    if owner and not may_share:
        raise UsageError(
            f"The save {kept.name} of {who.id} needs the network {wanted.networks[0].subnet}, which is taken: {owner}. Free that "
            f"network first; the save contains its addresses. To let both have it, with no published ports for this one: labenv "
            f"restore {kept.name} -s {who.id} --shared-x"
        )
    return pools_for(there, who.id, topology_of(then).networks) if owner else ()
