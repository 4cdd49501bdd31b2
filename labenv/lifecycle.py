"""Bringing an environment up and down: a decision table over what the engine has.

Nothing there: all is made. All there: nothing changes. Part there: the missing or stopped part comes back. Drifted: it
is reported and left, because a student's work is in it. Running `up` twice changes nothing, and an `up` that was
interrupted is finished by the next one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from labenv import history, render
from labenv import lab as labs
from labenv.engine import Engine, NetworkTaken, environment_labels, machine_labels, records
from labenv.engine import saves as kept
from labenv.engine.desktop import remove_home
from labenv.engine.images import Images
from labenv.engine.ready import NoAnswer, await_answers, await_boot, lead_out
from labenv.engine.turns import in_turn
from labenv.environment import Environment, Machine, network_name
from labenv.errors import EngineError, LabenvError, UsageError
from labenv.events import Event, Listener, announced
from labenv.lock import student_lock
from labenv.networks import port_in_use
from labenv.parallel import Together
from labenv.plan import Copied, Plan, Request, made_from, network_options, new_plan, plan_again, validated
from labenv.topology import Network, Node

# Environments that come up at the same time; more of them only take the processor from each other.
_TOGETHER = 4


def remake(engine: Engine, there: Iterable[Environment], made: Plan, listen: Listener) -> tuple[str, ...]:
    """Put what a plan makes in the place of what is there, and return what was done. Raises EngineError."""
    with announced(listen, "machines", f"making {made.student.id}'s machines on {made.student.network}"):
        for environment in there:
            engine.remove(environment)
        with _networks(engine, made) as coming:
            return _make(engine, made, list(made.topology.nodes), listen, coming)


def remake_machine(engine: Engine, there: Environment, made: Plan, name: str, listen: Listener) -> tuple[str, ...]:
    """The same for one machine: the environment stays at its stage, whatever the plan's. Raises EngineError."""
    node = next(node for node in made.topology.nodes if node.name == name)
    labels = {"labenv.stage": there.stage, "labenv.made-from": made_from(replace(made, stage=there.stage), node)}
    made = replace(made, copied={name: Copied(made.image_tag(node), labels)})
    with announced(listen, "machines", f"making {name}"):
        if there.machine(name).state != "missing":
            engine.remove_machine(there.machine(name).container)
        return _make(engine, made, [node], listen)


@dataclass(frozen=True)
class Outcome:
    """What `up` found and did: the environment, what changed (nothing: all was there), what has drifted."""

    environment: Environment
    changes: tuple[str, ...]
    drifted: tuple[str, ...]


def up(engine: Engine, request: Request, listen: Listener) -> Outcome:
    """Bring the student's environment up and wait until its services answer.

    Raises UsageError for a request that cannot be met or contradicts what is there, EngineError if the engine or a
    machine broke. What a first `up` had made when the engine refused the rest is removed again; machines that run but do
    not answer stay, to be looked at.
    """
    request = validated(request)
    from labenv import saves  # which makes environments in the ways of this module

    with student_lock(request.student_id, listen):
        saves.recover(engine, request.student_id, listen)
        there = engine.environments(request.student_id)
        if there and _never_made(there[0]) and _contradiction(request, there[0]):
            engine.remove(there.pop())
        if there:
            outcome = _brought_back(engine, request, there[0], listen)
            saves.recover_drill(engine, request.student_id, listen)
        else:
            outcome = _create(engine, request, listen)
            _await_answers(engine, outcome.environment, outcome.environment.machines, listen)
    return outcome


def up_together(engine: Engine, requests: Sequence[Request], listen: Listener) -> list[Outcome | LabenvError]:
    """Bring several students' environments up at the same time: what came of each, in the order of the requests."""

    def each(request: Request) -> Outcome | LabenvError:
        def tell(event: Event) -> None:
            listen(replace(event, step=f"{request.student_id} {event.step}"))

        try:
            return up(engine, request, tell if len(requests) > 1 else listen)
        except LabenvError as error:
            return error

    with Together(_TOGETHER) as pool:
        return list(pool.map(each, requests))


def down(engine: Engine, environment: Environment, listen: Listener) -> None:
    """Remove an environment: machines, networks, cgroups; its saves stay. Raises EngineError.

    While all machines are there, an interrupted `down` has only switched them off; from then on it is finished by the next
    command that changes the environment.
    """
    who = environment.student.id
    with student_lock(who, listen), announced(listen, "down", f"removing {who}'s machines and network"):
        there = engine.environments(who)
        if kept.found(engine, who):
            for current in there:
                history.collect_now(engine, current, listen)
        for current in there:
            engine.switch_off(current)
        noted = kept.note(engine, who, "removing")
        for current in there:
            engine.remove(current)
        records.remove(engine, who)
        remove_home(engine, who)
        count = len(kept.tidied(engine, who))
        for other in kept.notes(engine, who):
            if other != noted:
                kept.drop(engine, other)
        kept.drop(engine, noted)
        if not count:
            history.forget(environment)
    if count:
        told = "1 save of it is" if count == 1 else f"{count} saves of it are"
        listen(Event("down", f"{told} kept; to see and to remove them: labenv saves -s {who}", "note"))


def _create(engine: Engine, request: Request, listen: Listener) -> Outcome:
    for _ in range(256):
        made = new_plan(engine, request, listen)
        try:
            with _networks(engine, made) as coming:
                try:
                    Images(engine).ensure(set(made.images().values()), listen)
                except KeyboardInterrupt:  # building takes a while; nothing else is there yet
                    wait(coming.values())
                    _undo(engine, made)
                    raise
                with announced(listen, "machines", f"making {made.student.id}'s machines on {made.student.network}"):
                    changes = _make(engine, made, list(made.topology.nodes), listen, coming)
            return Outcome(_found(engine, made.student.id), changes, ())
        except NetworkTaken as error:
            _undo(engine, made)  # somebody took it between the look and the making
            if request.x is not None:
                raise UsageError(f"The network {made.student.network} is taken: {error}") from error
        except LabenvError:
            _undo(engine, made)
            raise
    raise EngineError("No network 192.168.X.0/24 could be had. `labenv doctor` says who has them.")


def _undo(engine: Engine, made: Plan) -> None:
    """Remove what a failed `up` has made; if the engine is gone, the next command finds it by its labels."""
    try:
        for environment in engine.environments(made.student.id):
            engine.remove(environment)
    except EngineError:
        pass


@contextmanager
def _networks(engine: Engine, made: Plan) -> Iterator[Mapping[str, Future[None]]]:
    """The networks of a plan by name, being made while the block goes on, with what else the machines wait for."""
    labels = environment_labels(made.environment())
    with Together(1 + len(made.topology.networks)) as pool:
        coming = {n.name: pool.submit(_make_network, engine, made, n, labels) for n in made.topology.networks}
        pool.submit(lambda: engine.facts)
        yield coming


def _make(
    engine: Engine, made: Plan, nodes: list[Node], listen: Listener, coming: Mapping[str, Future[None]] | None = None
) -> tuple[str, ...]:
    """Make and start machines, all at once; each waits for those of its networks that are only coming."""
    labels = environment_labels(made.environment())
    shift = _free_ports(engine, made, nodes, listen)
    coming = coming or {}

    def make(node: Node) -> None:
        copied = made.copied.get(node.name, Copied(made.image_tag(node), {}))
        labels_too = labels | machine_labels(node, made_from(made, node)) | copied.labels
        published = made.topology.published(node, made.student.x, shift)
        files = render.as_tar(made.overlay(node))
        container = engine.create_machine(node, made.student, copied.image, published, labels_too, files)
        for network in made.topology.networks:
            if network.name == node.network or node.name in network.joined_by:
                if network.name in coming:
                    coming[network.name].result()
                if network.name != node.network:
                    engine.join(container, made.student, network.name, network.joined_by[node.name])
        start(container)

    on = [network_name(made.student.id, network.name) for network in made.topology.networks]
    with in_turn(engine, on) as start, Together(len(nodes)) as pool:
        list(pool.map(make, nodes))
    return tuple(f"made {node.name}" for node in nodes)


def _make_network(engine: Engine, made: Plan, network: Network, labels: dict[str, str]) -> None:
    engine.create_network(made.student, network, labels, network_options(engine, network))


def _free_ports(engine: Engine, made: Plan, nodes: list[Node], listen: Listener) -> int:
    """The first block of ports on 127.0.0.1 of which none is in use; 0, the usual one, where that cannot be told."""
    if not engine.is_local:
        return 0
    for shift in range(8):
        numbers = {n for node in nodes for n in made.topology.published(node, made.student.x, shift).values()}
        used = sorted(number for number in numbers if port_in_use(number))
        if not used:
            return shift
        listen(
            Event("ports", f"port {used[0]} of 127.0.0.1 is in use by another program; publishing on others", "note")
        )
    return 0


def _brought_back(engine: Engine, request: Request, there: Environment, listen: Listener) -> Outcome:
    """What is there, complete and settled. Raises as `up` does."""
    first = _reconcile(engine, request, there, listen)
    try:
        settle(engine, first.environment, first.environment.machines, listen)
    except EngineError:
        # What a killed command asked of the engine last, such as to switch off, may have been done only now.
        again = _reconcile(engine, request, _found(engine, there.student.id), listen)
        if not again.changes:
            raise
        settle(engine, again.environment, again.environment.machines, listen)
        return replace(again, changes=first.changes + again.changes)
    return first


def _reconcile(engine: Engine, request: Request, there: Environment, listen: Listener) -> Outcome:
    if contradiction := _contradiction(request, there):
        option, old = contradiction
        raise UsageError(
            f"{there.student.id}'s environment is already there with {option} {old}, and a student's work is in it. "
            f"Leave {option} out to bring it up as it is, or remove it first: labenv down -s {there.student.id}"
        )
    source = str(request.topology.resolve()) if request.topology else there.topology
    machines = [machine.name for machine in there.machines]
    made = plan_again(there.student, there.lab, there.stage, source, machines, request.profiles)
    Images(engine).ensure(set(made.images().values()), listen)
    changes: list[str] = []
    new: list[str] = []
    for network in made.topology.networks:
        if not engine.has_network(there, network.name):
            _make_network(engine, made, network, environment_labels(made.environment()))
            changes.append(f"made the network{network.name and ' '}{network.name}")
            new.append(network.name)
    absent: list[Node] = []
    drifted: list[str] = []
    present = {machine.name: machine for machine in there.machines}
    for node in made.topology.nodes:
        machine = present.get(node.name)
        change, missing = _revive(engine, machine, made, node.network in new) if machine else ([], True)
        changes += change
        if missing:
            absent.append(node)
        elif machine and machine.made_from != made_from(made, node):
            drifted.append(node.name)
            listen(Event(node.name, f"{node.name} was made by another version of labenv; it is left as it is", "warn"))
    if absent:
        with announced(listen, "machines", f"making {', '.join(node.name for node in absent)}"):
            changes += _make(engine, made, absent, listen)
    return Outcome(_found(engine, there.student.id), tuple(changes), tuple(drifted))


def _revive(engine: Engine, machine: Machine, made: Plan, new_network: bool) -> tuple[list[str], bool]:
    """Bring back a machine that is there but does not run: what was done, and whether it must be made anew."""
    changes: list[str] = []
    if machine.state in ("created", "dead", "removing"):
        engine.remove_machine(machine.container)  # it never ran, so nobody's work is in it
    if machine.state in ("missing", "created", "dead", "removing"):
        return changes, True
    if new_network or not machine.attached:
        engine.reattach(machine, made.student)
        changes.append(f"attached {machine.name}")
    joined = False
    for network in made.topology.networks:
        to_join = machine.name in network.joined_by
        if to_join and network_name(made.student.id, network.name) not in machine.attached_to:
            engine.join(machine.container, made.student, network.name, network.joined_by[machine.name])
            changes.append(f"attached {machine.name} to the network {network.name}")
            joined = True
    if machine.state == "paused":
        engine.unpause(machine.container)
        changes.append(f"unpaused {machine.name}")
    elif machine.state != "running":
        engine.start(machine.container)
        changes.append(f"started {machine.name}")
        joined = False  # what it does at boot, it does with the new network
    if joined:
        lead_out(engine, machine)
    return changes, False


def _never_made(there: Environment) -> bool:
    """Whether an `up` was broken off before any machine ran; nobody's work is in such an environment."""
    return all(machine.state in ("missing", "created") for machine in there.machines)


def _contradiction(request: Request, there: Environment) -> tuple[str, Any] | None:
    """The first option that asks for something else than what is there, and what is there."""
    asked: list[tuple[str, Any, Any]] = [
        ("--net", request.x, there.student.x),
        ("--first", request.first, there.student.first),
        ("--at", request.stage, there.stage),
        ("--lab", request.lab, there.lab),
    ]
    return next(((option, old) for option, new, old in asked if new not in (None, old)), None)


def _found(engine: Engine, student_id: str) -> Environment:
    there = engine.environments(student_id)
    if not there:
        raise EngineError(
            f"{student_id}'s environment was removed while it was being brought up. Run `labenv up` again."
        )
    return there[0]


def _await_answers(
    engine: Engine, environment: Environment, machines: Iterable[Machine], listen: Listener, patience: float = 60
) -> None:
    lab = labs.load(environment.lab)
    names = {machine.name for machine in machines}
    due = [a for a in lab.answers if a.machine in names and lab.reached(a.since, environment.stage)]
    if not due:
        return
    with announced(listen, "ready", "waiting until " + ", ".join(f"{a.machine}:{a.port}" for a in due) + " answer"):
        await_answers(engine, environment, due, patience)


def settle(engine: Engine, environment: Environment, machines: Iterable[Machine], listen: Listener) -> None:
    """Wait for machines that a student has worked on: what they broke stays down, which is no reason to fail."""
    machines = list(machines)
    regular = [machine for machine in machines if not machine.optional]
    if regular:
        names = ", ".join(machine.name for machine in regular)
        with (
            announced(listen, "boot", f"waiting until {names} {'has' if len(regular) == 1 else 'have'} booted"),
            Together(len(regular)) as pool,
        ):
            list(pool.map(lambda machine: await_boot(engine, machine), regular))
    # On optional machines nobody works.
    _await_answers(engine, environment, [machine for machine in machines if machine.optional], listen)
    try:
        _await_answers(engine, environment, environment.regular, listen, patience=3)
    except NoAnswer as error:
        listen(Event("ready", str(error), "warn"))


def reboot(
    engine: Engine, environment: Environment, machines: Sequence[Machine], listen: Listener, *, hard: bool = False
) -> None:
    """Boot machines again and wait until they have booted; `hard`, their power fails first. Raises EngineError."""
    with student_lock(environment.student.id, listen):
        for machine in machines:
            if machine.state != "running":
                raise EngineError(
                    f"{machine.name} is {machine.state}. Bring it back with: labenv up {environment.student.id}"
                )

        def boot(machine: Machine) -> None:
            with announced(listen, machine.name, f"{'power cut on' if hard else 'rebooting'} {machine.name}"):
                (engine.cut_power if hard else engine.restart)(machine.container)

        with history.told(engine, environment, listen, "labenv reboot"):
            with Together(len(machines)) as pool:
                list(pool.map(boot, machines))
            settle(engine, _found(engine, environment.student.id), machines, listen)
