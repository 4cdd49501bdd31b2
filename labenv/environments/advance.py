"""Going on to the next lab of a course: the student's machines come along, with all that is in them.

They are saved, and made again from that save as machines of the next lab. Until all are made, an interruption leads back to the save.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from labenv.engine import Engine, image_sources, save_store
from labenv.engine.images import Images
from labenv.engine.labels import HOSTNAME
from labenv.engine.save_store import Save
from labenv.environment import Environment, PastLab
from labenv.environments import desktop, history, room, saves, ticks
from labenv.environments.changing import changing
from labenv.environments.history.look_back import WATCHED
from labenv.environments.machines import make, making_networks
from labenv.environments.plan import Copied, Plan, plan_again
from labenv.environments.recovery import begin
from labenv.environments.settle import settle
from labenv.environments.up import Outcome
from labenv.errors import EngineError, UsageError
from labenv.events import Listener, announced
from labenv.lab.model import Lab
from labenv.lab.overlay import Item
from labenv.lab.topology import Node

_STEM = "before-advance"


def advance(
    engine: Engine,
    student_id: str,
    lab: Lab,
    past: PastLab,
    listen: Listener,
    renewed: Mapping[str, Iterable[Item]] | None = None,
) -> Outcome:
    """Take a student's machines on from the lab that is `past` to the first stage of another; the current state is saved first.

    `renewed` are files, by machine, that are laid over those that come along; so are the list of watched files, and what is below /usr. `changes` of the outcome
    begins with the name of the save. Raises UsageError, EngineError; then nothing was changed.
    """
    with changing(engine, student_id, listen) as change:
        there = change.environment
        if there.lab != past.lab:
            raise UsageError(
                f"{student_id}'s environment is of {there.lab} by now. Look again: labenv status -s {student_id}"
            )
        saves.refuse_drill(engine, student_id)
        _refuse_incomplete(there)
        fresh = _plan(there, lab, past)
        along, new = _parted(there, fresh)
        Images(engine, image_sources.of(lab)).ensure({fresh.images()[node.name] for node in new}, listen)
        room.ensure(engine, len(new), listen)
        history.collect_now(engine, there, listen)
        before = saves.take(engine, there, None, listen, stem=_STEM)
        with desktop.brought_back(engine, change, listen):
            noted = begin(engine, there, before)
            fresh = replace(fresh, copied=_copied(before, fresh, along, renewed or {}))
            with announced(listen, "machines", f"making {student_id}'s machines again, for {lab.id}"):
                engine.remove(there)
                with making_networks(engine, fresh) as coming:
                    changes = make(engine, fresh, along, listen, coming)
                changes += make(engine, fresh, new, listen) if new else ()
            ticks.keep(engine, student_id, ())
            save_store.drop(engine, noted)
            environment = change.environment
            settle(engine, environment, environment.machines, listen)
        history.note(environment, {}, listen)  # from here on, a step's number means another step
        history.collect_now(engine, environment, listen, f"labenv advance {lab.id}")
    return Outcome(environment, (before.name, *changes), ())


def _refuse_incomplete(there: Environment) -> None:
    """Raise UsageError, EngineError for an environment that cannot go on as it is."""
    who = there.student.id
    if there.own_topology:
        raise UsageError(
            f"{who}'s environment has a topology of its own, {there.own_topology}, which the next lab does not know."
        )
    if not saves.is_whole(there) or any(machine.state != "running" for machine in there.machines):
        raise EngineError(f"Not all machines of {who} run, so they cannot go on. Bring them up first: labenv up {who}")


def _plan(there: Environment, lab: Lab, past: PastLab) -> Plan:
    names = [machine.name for machine in there.machines]
    made = plan_again(
        there.student, lab, lab.stages[0].id, lab.topology, names, belongs=there.belongs, pools=there.pools
    )
    return replace(made, foreign=there.foreign, past=(*there.past, past))


def _parted(there: Environment, fresh: Plan) -> tuple[list[Node], list[Node]]:
    """The machines that come along, and those that are made from scratch: what is new, and the world outside, where nobody works.

    Raises UsageError for a machine that would not come along as it is.
    """
    was = {machine.name: machine for machine in there.machines}
    nodes = {node.name: node for node in fresh.topology.nodes}
    for name, machine in was.items():
        if name not in nodes or nodes[name].address != machine.address:
            how = "has no machine of that name" if name not in nodes else f"gives it {nodes[name].address}"
            raise UsageError(
                f"{name} ({machine.address}) cannot go on to {fresh.lab.id}, which {how}. Nothing was changed."
            )
    along = [node for node in nodes.values() if node.name in was and node.systemd]
    return along, [node for node in nodes.values() if node not in along]


def _copied(
    before: Save, fresh: Plan, along: Iterable[Node], renewed: Mapping[str, Iterable[Item]]
) -> dict[str, Copied]:
    copies = {copy.machine: copy for copy in before.copies}
    found = {}
    for node in along:
        copy = copies[node.name]
        labels = {HOSTNAME: copy.labels[HOSTNAME]} if HOSTNAME in copy.labels else {}
        # What a lab lays below /usr is the system's, such as what a package brings when it is installed, and nobody's work.
        laid = [item for item in fresh.overlay(node) if item.path == WATCHED or item.path.startswith("/usr/")]
        found[node.name] = Copied(copy.tag, labels, (*laid, *renewed.get(node.name, ())))
    return found
