"""Bringing an environment up and down: a decision table over what the engine has.

Nothing exists: everything is made. Everything exists: nothing changes. A part is missing or stopped: that part comes back.
A machine has drifted: the machine is left alone because a student's work is in it, and whoever writes the lab is told. Running `up`
twice changes nothing, and the next `up` finishes one that was interrupted.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import wait
from dataclasses import dataclass, replace
from typing import Any

from labenv.engine import Engine, image_sources, limits, recipe, wall
from labenv.engine.errors import NetworkTaken
from labenv.engine.images import Images
from labenv.engine.ready import lead_out, move
from labenv.environment import Environment, Machine, network_name
from labenv.environments import history, room, vanished
from labenv.environments.changing import Change, changing
from labenv.environments.machines import cap, make, make_network, making_networks, walled
from labenv.environments.plan import Plan, Request, made_from, new_plan, plan_again, validated, wished
from labenv.environments.recovery import recover_drill
from labenv.environments.settle import await_new, settle
from labenv.errors import EngineError, LabenvError, UsageError
from labenv.events import Event, Listener, announced
from labenv.lab import labs
from labenv.lab.topology import Node
from labenv.parallel import Together

# Environments that come up at the same time; more of them would only compete for the processor.
_TOGETHER = 4


@dataclass(frozen=True)
class Outcome:
    """What `up` found and did: the environment, what changed (empty if everything was there), what has drifted."""

    environment: Environment
    changes: tuple[str, ...]
    drifted: tuple[str, ...]


def up(engine: Engine, request: Request, listen: Listener) -> Outcome:
    """Bring the student's environment up and wait until its services answer.

    Raises UsageError for a request that cannot be met or contradicts the existing environment, EngineError if the engine or a
    machine failed. If the engine refuses part of a first `up`, what was made is removed again; machines that run but do not
    answer stay, for inspection.
    """
    request = validated(request)
    with changing(engine, request.student_id, listen) as change:
        there = change.look()
        if there and _never_made(there) and _contradiction(request, there):
            engine.remove(there)
            there = None
        if there:
            outcome = _brought_back_and_told(change, request, there, listen)
            recover_drill(engine, request.student_id, listen)  # now that its machines run
        else:
            outcome = _create(change, request, listen)
            await_new(engine, outcome.environment, listen)
    return outcome


def up_together(engine: Engine, requests: Sequence[Request], listen: Listener) -> list[Outcome | LabenvError]:
    """Bring several students' environments up at the same time; returns the result of each, in the order of the requests."""

    def each(request: Request) -> Outcome | LabenvError:
        def tell(event: Event) -> None:
            listen(replace(event, step=f"{request.student_id} {event.step}"))

        try:
            return up(engine, request, tell if len(requests) > 1 else listen)
        except LabenvError as error:
            return error

    if len(requests) > 1:  # all or none, and said once
        room.ensure(engine, sum(_missing(engine, requests)), listen)
    with Together(_TOGETHER) as pool:
        return list(pool.map(each, requests))


def _missing(engine: Engine, requests: Sequence[Request]) -> Iterator[int]:
    """How many machines each request has yet to start."""
    there = {environment.student.id: environment for environment in engine.environments()}
    for request in requests:
        if environment := there.get(request.student_id):
            yield sum(machine.state != "running" for machine in environment.machines)
        else:
            yield len(wished(request).nodes)


def _create(change: Change, request: Request, listen: Listener) -> Outcome:
    engine = change.engine
    if text := vanished.environment(engine, request.student_id):
        listen(
            Event(
                "machines",
                f"{text} They are made from scratch. {vanished.way_back(engine, request.student_id)}",
                "warn",
            )
        )
    for _ in range(256):
        made = new_plan(engine, request, listen)
        try:
            with making_networks(engine, made) as coming:
                try:
                    Images(engine, image_sources.of(made.lab)).ensure(set(made.images().values()), listen)
                except KeyboardInterrupt:  # building takes a while; nothing else exists yet
                    wait(coming.values())
                    _undo(engine, made)
                    raise
                room.ensure(engine, len(made.topology.nodes), listen)
                with announced(
                    listen, "machines", f"making {made.student.id}'s machines on {made.topology.networks[0].subnet}"
                ):
                    changes = make(engine, made, list(made.topology.nodes), listen, coming)
            if recipe.raisable(engine.facts):
                listen(Event("limits", recipe.RAISABLE, "warn"))
            if lacking := limits.lacking(engine.facts.limits):
                listen(Event("limits", limits.sentence(lacking), "note"))
            return Outcome(change.environment, changes, ())
        except NetworkTaken as error:
            _undo(engine, made)  # somebody took it after labenv looked and before it made the network
            if request.x is not None and not request.may_share:
                raise UsageError(f"The network {made.topology.networks[0].subnet} is taken: {error}") from error
        except LabenvError:
            _undo(engine, made)
            raise
    raise EngineError("The networks of no X are free. `labenv doctor` says what uses them.")


def _undo(engine: Engine, made: Plan) -> None:
    """Remove what a failed `up` has made; if the engine is gone, the next command finds it by its labels."""
    try:
        for environment in engine.environments(made.student.id):
            engine.remove(environment)
    except EngineError:
        pass


def _brought_back_and_told(change: Change, request: Request, there: Environment, listen: Listener) -> Outcome:
    """As `_brought_back`; what a boot has changed, such as rules that were not saved, is labenv's doing in the history."""
    if all(machine.state == "running" for machine in there.machines):
        return _brought_back(change, request, there, listen)
    history.collect_now(change.engine, there, listen)
    outcome = _brought_back(change, request, there, listen)
    history.booted(change.engine, outcome.environment, listen, "labenv up")
    return outcome


def _brought_back(change: Change, request: Request, there: Environment, listen: Listener) -> Outcome:
    """The existing environment, completed and settled. Raises as `up` does."""
    first = _reconcile(change, request, there, listen)
    try:
        settle(change.engine, first.environment, first.environment.machines, listen)
    except EngineError:
        # A killed command may have asked the engine for something, such as switching off, that is done only now.
        again = _reconcile(change, request, change.engine.looked_at(change.environment), listen)
        if not again.changes:
            raise
        settle(change.engine, again.environment, again.environment.machines, listen)
        return replace(again, changes=first.changes + again.changes)
    return first


def _reconcile(change: Change, request: Request, there: Environment, listen: Listener) -> Outcome:
    engine = change.engine
    if contradiction := _contradiction(request, there):
        option, old = contradiction
        who = there.student.id
        way = f"remove it first, with the work that is in it: labenv down -s {who}"
        if option == "--at":
            way = f"set it to the start of that stage, after a save: labenv reset --at {request.stage} -s {who}"
        raise UsageError(
            f"{who}'s environment exists with {option} {old}. Omit {option} to bring it up as it is, or {way}"
        )
    source = str(request.topology.resolve()) if request.topology else there.topology
    machines = [machine.name for machine in there.machines]
    made = plan_again(
        there.student,
        labs.of(there),
        there.stage,
        source,
        machines,
        request.profiles,
        belongs=there.belongs,
        pools=there.pools,
    )
    made = replace(made, foreign=there.foreign, past=there.past)
    Images(engine, image_sources.of(made.lab)).ensure(set(made.images().values()), listen)
    running = sum(machine.state == "running" for machine in there.machines)
    room.ensure(engine, len(made.topology.nodes) - running, listen)
    changes: list[str] = []
    new: list[str] = []
    bridges = engine.bridges(there.student.id)
    for network in made.topology.networks:
        if network_name(there.student.id, network.name) not in bridges:
            make_network(engine, made, network)
            changes.append(f"made the network{network.name and ' '}{network.name}")
            new.append(network.name)
    walled(
        engine,
        made.student,
        [*filter(None, bridges.values()), *(wall.bridge(made.student, name) for name in new)],
        listen,
    )
    if not all(bridges.values()):
        text = f"an earlier version of labenv made this network: its machines can reach this computer. {wall.way_in(there.student.id)}"
        listen(Event("wall", text, "warn"))
    absent: list[Node] = []
    changed: list[Node] = []
    drifted: list[str] = []
    present = {machine.name: machine for machine in there.machines}
    for node in made.topology.nodes:
        machine = present.get(node.name)
        done, missing = _revive(engine, machine, made, node, node.network in new) if machine else ([], True)
        if machine is None or missing:
            changes += done
            absent.append(node)
            continue
        done += _limited(engine, machine, node, listen)
        changes += done
        changed += [node] if done else []
        if machine.made_from != made_from(made, node):
            drifted.append(node.name)
    if changed:
        cap(engine, made, changed, listen)
    _tell_drifted(there, drifted, listen)
    if lost := [node.name for node in absent if node.name in present and present[node.name].state == "missing"]:
        listen(Event("machines", vanished.machines(engine, there, lost), "warn"))
    if absent:
        with announced(listen, "machines", f"making {', '.join(node.name for node in absent)}"):
            changes += make(engine, made, absent, listen)
    return Outcome(change.environment, tuple(changes), tuple(drifted))


def _tell_drifted(there: Environment, drifted: Sequence[str], listen: Listener) -> None:
    """Say that machines are not as the lab has them now, where somebody may have changed the lab and wait for it."""
    if drifted and (there.lab_folder or there.own_topology):
        text = (
            f"{', '.join(drifted)}: made before the lab or labenv was changed, and left as made. To make all machines "
            f"again, after a save: labenv reset -s {there.student.id}"
        )
        listen(Event("machines", text, "note"))


def _limited(engine: Engine, machine: Machine, node: Node, listen: Listener) -> list[str]:
    """Give a machine its limits, if an earlier version made it or the topology was changed; returns what was done."""
    try:
        return [f"limited {node.name}"] if engine.limit(machine.container, node) else []
    except EngineError as error:
        listen(Event(node.name, str(error), "warn"))
        return []


def _revive(engine: Engine, machine: Machine, made: Plan, node: Node, new_network: bool) -> tuple[list[str], bool]:
    """Bring back a machine that exists but does not run: what was done, and whether it must be made from scratch."""
    changes: list[str] = []
    if machine.state in ("created", "dead", "removing"):
        engine.remove_machine(machine.container)  # it never ran, so no work is in it
    if machine.state in ("missing", "created", "dead", "removing"):
        return changes, True
    if new_network or not machine.attached:
        engine.reattach(machine, made.student, node.on_engine(node.address))
        changes.append(f"attached {machine.name}")
    joined: list[str] = []
    for network in made.topology.networks:
        to_join = machine.name in network.joined_by
        if to_join and network_name(made.student.id, network.name) not in machine.attached_to:
            address = node.on_engine(network.joined_by[machine.name])
            engine.join(machine.container, made.student, network.name, address)
            changes.append(f"attached {machine.name} to the network {network.name}")
            joined.append(address)
    if machine.state == "paused":
        engine.unpause(machine.container)
        changes.append(f"unpaused {machine.name}")
    elif machine.state != "running":
        engine.start(machine.container)
        changes.append(f"started {machine.name}")
        return changes, False  # a starting machine takes care of the new network itself
    if changes and node.moves:
        move(engine, machine, node.moves)
    if joined:
        lead_out(engine, machine, joined)
    return changes, False


def _never_made(there: Environment) -> bool:
    """Whether an `up` was interrupted before any machine ran; no work is in such an environment."""
    return all(machine.state in ("missing", "created") for machine in there.machines)


def _contradiction(request: Request, there: Environment) -> tuple[str, Any] | None:
    """The first option that asks for something other than what exists, and what exists."""
    asked: list[tuple[str, Any, Any]] = [
        ("--net", request.x, there.student.x),
        ("--first", request.first, there.student.first),
        ("--at", request.stage, there.stage),
        ("--lab", request.lab and labs.load(request.lab).id, there.lab),
    ]
    return next(((option, old) for option, new, old in asked if new not in (None, old)), None)
