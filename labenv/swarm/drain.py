"""Taking a node out of use without losing anything, and back."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from labenv.engine import Engine, swarm
from labenv.engine.swarm import Node
from labenv.environments import history
from labenv.errors import EngineError, LabenvError
from labenv.events import Event, Listener, announced
from labenv.parallel import Together
from labenv.swarm import leases, words
from labenv.swarm.where import Nodes
from labenv.text import many

_POLL = 0.25
_LOOK = 2.0  # seconds between two looks at what Swarm says
_ROOM = 20.0  # seconds after which its answer that there is no room counts
_PATIENCE = 300.0  # seconds after which somebody should look


@dataclass(frozen=True)
class Drained:
    """What became of the environments of a node: those that are up elsewhere, with the node's name, and those that wait for room."""

    moved: dict[str, str]
    waiting: dict[str, str]


def on(node: Node) -> list[str]:
    """The students whose environments a node has."""
    return [who for who, lease in leases.everything().items() if lease.node == node.id]


def drain(nodes: Nodes, node: Node, listen: Listener) -> Drained:
    """Have a node give up its environments, each after its last push, and wait until they are up elsewhere.

    Raises EngineError if Swarm refuses. What finds no room elsewhere is in `waiting`, with Swarm's reason.
    """
    who = on(node)
    _collect(nodes, node, who, listen)
    with announced(listen, "drain", f"draining {node.name}: {many(len(who), 'environment')}"):
        swarm.set_availability(nodes.manager, node, "drain")
        return _followed(nodes.manager, node, who, listen)


def back(nodes: Nodes, node: Node) -> None:
    """Let a node have environments again; those that went elsewhere stay there. Raises EngineError."""
    swarm.set_availability(nodes.manager, node, "active")


def _collect(nodes: Nodes, node: Node, who: Sequence[str], listen: Listener) -> None:
    """Bring the histories of the node's environments to the manager. A node that does not answer keeps them, and its last push."""
    try:
        engine = nodes.engine(node.id)
        there = [each for each in engine.environments() if each.student.id in who]
    except EngineError as error:
        listen(Event("drain", str(error), "warn"))
        return
    with Together(8) as pool:
        list(pool.map(lambda each: history.collect_now(engine.apart(), each, listen), there))


def _followed(manager: Engine, node: Node, who: Sequence[str], listen: Listener) -> Drained:
    began = looked = time.monotonic()
    reasons: dict[str, str] = {}
    while True:
        held = {each: leases.read(each) for each in who}
        moved = {each: lease.name for each, lease in held.items() if lease and lease.is_up and lease.node != node.id}
        rest = [each for each in who if each not in moved]
        listen(Event("drain", f"{len(moved)} of {len(who)} are up elsewhere"))
        if not rest:
            return Drained(moved, {})
        now = time.monotonic()
        if now - looked > _LOOK:
            looked, reasons = now, _reasons(manager, rest)
        is_stuck = now - began > _ROOM and reasons.keys() >= set(rest)
        if is_stuck or now - began > _PATIENCE:
            return Drained(moved, {each: reasons.get(each, "it takes longer than usual") for each in rest})
        time.sleep(_POLL)


def _reasons(manager: Engine, who: Sequence[str]) -> dict[str, str]:
    """Why Swarm places nothing, by student."""
    found = {}
    try:
        for each in who:
            for task in swarm.tasks(manager, service=words.supervisor(each)):
                if task.state == "pending" and task.error:
                    found[each] = task.error
    except LabenvError:
        return {}
    return found
