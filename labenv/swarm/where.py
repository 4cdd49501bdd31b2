"""On which node a student's environment is, and the engine of that node: what every command needs that is meant for one."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from threading import Lock
from typing import TypeVar

from labenv.engine import Engine, swarm
from labenv.engine.endpoint import Endpoint
from labenv.engine.find import reconnect
from labenv.engine.road import keyed
from labenv.engine.swarm import Node
from labenv.environment import Environment, Machine
from labenv.errors import EngineError, LabenvError
from labenv.events import Event, Listener
from labenv.parallel import Together
from labenv.swarm import leases, setup, words
from labenv.swarm.leases import Lease

T = TypeVar("T")
_TOGETHER = 16  # nodes that are asked at the same time
_AGAIN = 0.5  # seconds between two looks where an environment is
_GOING = 5.0  # seconds in which the machines of one that goes elsewhere are removed
_FRESH = 3.0  # seconds for which what Swarm says of its nodes is not asked again: a server of a class runs for months


class AwayError(EngineError):
    """A student's environment is on its way: from one node to another, or being made, so that nobody can work in it now."""


class Nodes:
    """The nodes of a swarm, and their engines, each opened when it is needed. Safe to share between threads."""

    def __init__(self, manager: Engine) -> None:
        """Ask nothing yet."""
        self.manager = manager
        self._engines: dict[str, Engine] = {}
        self._locks: defaultdict[str, Lock] = defaultdict(Lock)  # a node that does not answer holds up nobody else's
        self._seen: tuple[float, Sequence[Node]] = (-_FRESH, ())

    @property
    def all(self) -> Sequence[Node]:
        """The nodes as they are, or were a moment ago, by name. Raises EngineError."""
        now = time.monotonic()
        if now - self._seen[0] > _FRESH:
            self._seen = now, swarm.nodes(self.manager)
        return self._seen[1]

    @cached_property
    def here(self) -> str:
        """The id of the node that this computer is. Raises EngineError."""
        return str(swarm.state(self.manager).get("NodeID", ""))

    def named(self, name: str) -> Node:
        """The node of that name or id; of two of a name, as after a server joined again, the one that is ready.

        Raises EngineError, naming the nodes, if there is none.
        """
        for node in sorted(self.all, key=lambda node: node.state != "ready"):
            if name in (node.name, node.id):
                return node
        raise EngineError(f"There is no node {name}. The nodes are: {', '.join(node.name for node in self.all)}.")

    def engine(self, node: str) -> Engine:
        """The engine of the node with that id. Raises EngineError if it does not answer, or is no node any more."""
        if node == self.here:
            return self.manager
        with self._locks[node]:
            if node not in self._engines:
                self._engines[node] = Engine(reconnect(endpoint(self.named(node))))
            return self._engines[node]

    def is_down(self, node: str) -> bool:
        """Whether Swarm has lost a node, or knows none of that id. Raises EngineError."""
        return all(each.is_lost for each in self.all if each.id == node)

    def engines(self, wanted: Iterable[Node] | None = None) -> dict[str, Engine | LabenvError]:
        """The engines of these nodes, or of all that are not lost, by the node's id; or why one does not answer."""
        chosen = [node for node in (wanted or self.all) if wanted or not node.is_lost]
        with Together(_TOGETHER) as pool:
            return dict(zip((node.id for node in chosen), pool.map(self._opened, chosen), strict=True))

    def _opened(self, node: Node) -> Engine | LabenvError:
        try:
            return self.engine(node.id)
        except LabenvError as error:
            return error


def endpoint(node: Node) -> Endpoint:
    """Where the engine of a node answers: over ssh, with the key that `labenv swarm init` has made."""
    return Endpoint(f"ssh://{node.address}", f"the node {node.name}", chosen=True, ssh=keyed(setup.folder()))


def engine_of(manager: Engine, student_id: str) -> Engine | None:
    """The engine that has a student's environment; None if the swarm has none of that student.

    Raises AwayError if the environment is on no node now, EngineError if the node does not answer.
    """
    lease = leases.placed(student_id)
    if lease is None:
        return None
    if lease.node:
        return Nodes(manager).engine(lease.node)
    raise _nowhere(manager, lease)


def _nowhere(manager: Engine, lease: Lease) -> AwayError:
    """Why an environment is on no node."""
    whose = f"{lease.student}'s environment"
    if swarm.tasks(manager, service=words.supervisor(lease.student)):
        kept = f" It goes on as it was at {leases.clock(lease.pushed)}." if lease.pushed else ""
        return AwayError(f"{whose} is on its way to a server that has room.{kept}")
    kept = f", as it was at {leases.clock(lease.pushed)}" if lease.pushed else ""
    return AwayError(
        f"{whose} is on no node now, and nothing brings it up. To do so{kept}: labenv class up --only {lease.student}"
    )


def moving(engine: Engine, student_id: str, machine: Machine) -> EngineError | None:
    """Why a machine went in which somebody worked, if the environment goes to another node, or has gone; None if not. Raises EngineError.

    `engine` stands for all nodes. One machine goes after the other, so that it takes a moment to tell.
    """
    deadline = time.monotonic() + _GOING
    while leases.placed(student_id):
        there: Sequence[Environment] | None = None
        with suppress(EngineError):
            there = engine.holding(student_id).environments(student_id)
        if away := engine.away(student_id, is_there=None if there is None else bool(there)):
            return away
        runs = [
            each
            for found in there or ()
            for each in found.machines
            if (each.name, each.state) == (machine.name, "running")
        ]
        lease = leases.placed(student_id)
        if runs and lease and lease.moves and runs[0].made != machine.made:
            return AwayError(f"{student_id}'s environment is on {lease.name} by now.")
        if runs or time.monotonic() > deadline:
            break
        time.sleep(_AGAIN)
    return None


def followed(fleet: "Fleet", student_id: str, was: Engine, listen: Listener) -> Engine | None:
    """The engine to which a student's environment went from the one where it `was`, once it is up there.

    None if it went nowhere, and was only removed, or stopped. Says on which way it is. Raises EngineError.
    """
    said, deadline = "", time.monotonic() + _GOING
    while leases.placed(student_id):
        there: Sequence[Environment] | None = None
        with suppress(EngineError):
            there = fleet.holding(student_id).environments(student_id)
        away = fleet.away(student_id, is_there=None if there is None else bool(there))
        if away and str(away) != said:
            said = str(away)
            listen(Event("swarm", said, "warn"))
        runs = bool(there) and all(machine.state == "running" for each in there or () for machine in each.regular)
        if not away and (runs or said or time.monotonic() > deadline):
            found = fleet.holding(student_id)
            if not said and found.endpoint == was.endpoint:
                return None
            listen(Event("swarm", f"{student_id}'s environment goes on.", "warn"))
            return found
        time.sleep(_AGAIN)
    return None


class Fleet(Engine):
    """All nodes of a swarm as one engine, for commands about many students.

    What is about one of them goes to the engine of the node that has the environment (`holding`).
    """

    def __init__(self, manager: Engine) -> None:
        """Open the nodes when they are needed."""
        super().__init__(manager._connection)
        self.nodes = Nodes(manager)
        self.is_local = False  # of what it stands for, most is elsewhere

    def each(self) -> list[Engine]:
        """The engines of the nodes that answer. Raises EngineError."""
        return [one for one in self.nodes.engines().values() if isinstance(one, Engine)]

    def named(self) -> list[tuple[str, Engine]]:
        """The same, each with the name of its node. Raises EngineError."""
        names = {node.id: node.name for node in self.nodes.all}
        return [(names.get(node, node), one) for node, one in self.nodes.engines().items() if isinstance(one, Engine)]

    def holding(self, student_id: str) -> Engine:
        """The engine of the node that has a student's environment; the manager's if the swarm has none of that student.

        Raises AwayError if the environment is on no node now, or on one that Swarm has lost; EngineError.
        """
        lease = leases.read(student_id)
        if lease is None or lease.is_over:
            return self.nodes.manager
        if not lease.node:
            raise _nowhere(self.nodes.manager, lease)
        if self.nodes.is_down(lease.node):
            raise _silent(lease)
        return self.nodes.engine(lease.node)

    def away(self, student_id: str, *, is_there: bool | None = True) -> EngineError | None:
        """Why nobody can work in a student's environment now, if it is on its way to a node; None if it is where it should be.

        `is_there` is whether its node lists it, None if that does not answer. Raises EngineError.
        """
        lease = leases.read(student_id)
        if lease is None or lease.is_over:
            return None
        if not lease.node:
            return _nowhere(self.nodes.manager, lease)
        if not lease.up:
            failed = f": {lease.failed.rstrip('.')}. It is tried again." if lease.failed else " just now."
            return AwayError(f"{student_id}'s environment comes up on {lease.name}{failed}")
        if is_there is None or self.nodes.is_down(lease.node):
            return _silent(lease)
        if is_there:
            return None
        return AwayError(
            f"{student_id}'s environment is on its way from {lease.name} to another server. Wait a moment."
        )

    def environments(self, student_id: str | None = None) -> list[Environment]:
        """The environments of all nodes that answer, by student; of two of one student, the one that is current. Raises EngineError."""
        found = self.gathered(lambda one: {each.student.id: each for each in one.environments(student_id)})
        return [found[who] for who in sorted(found)]

    def located(self) -> list[tuple[str, Environment]]:
        """The same environments, each with the name of its node. Raises EngineError."""
        names = {node.id: node.name for node in self.nodes.all}
        found = self._told(lambda one: {each.student.id: each for each in one.environments()})
        return [(names.get(node, node), each) for _, (node, each) in sorted(found.items())]

    def gathered(self, question: Callable[[Engine], Mapping[str, T]]) -> dict[str, T]:
        """What the engines of all nodes that answer tell of students, each from the node that has the environment. Raises EngineError."""
        return {who: each for who, (_, each) in self._told(question).items()}

    def _told(self, question: Callable[[Engine], Mapping[str, T]]) -> dict[str, tuple[str, T]]:
        """The same, with the node's id."""

        def ask(engine: Engine) -> Mapping[str, T]:
            try:
                return question(engine)
            except EngineError:  # a node may be lost before Swarm has noticed
                if engine is self.nodes.manager:
                    raise
                return {}

        there = {node: one for node, one in self.nodes.engines().items() if isinstance(one, Engine)}
        held = leases.everything()
        found: dict[str, tuple[str, T]] = {}
        with Together(_TOGETHER) as pool:
            for node, told in zip(there, pool.map(ask, there.values()), strict=True):
                for who, each in told.items():
                    lease = held.get(who)
                    if lease is None or node == (lease.node or self.nodes.here):
                        found[who] = node, each
        return found


def _silent(lease: Lease) -> AwayError:
    """The error for a node that does not answer."""
    kept = f", as it was at {leases.clock(lease.pushed)}" if lease.pushed else ""
    return AwayError(
        f"The server {lease.name} does not answer. If it stays so, {lease.student}'s environment goes on on another one{kept}."
    )
