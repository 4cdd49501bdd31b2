"""On which node a student's environment is, and the engine of that node: what every command needs that is meant for one."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from threading import Lock

from labenv.engine import Engine, swarm
from labenv.engine.endpoint import Endpoint
from labenv.engine.find import reconnect
from labenv.engine.road import keyed
from labenv.engine.swarm import Node
from labenv.environment import Environment
from labenv.errors import EngineError, LabenvError
from labenv.events import Event, Listener
from labenv.parallel import Together
from labenv.swarm import leases, setup, words

_TOGETHER = 16  # nodes that are asked at the same time


class Nodes:
    """The nodes of a swarm, and their engines, each opened when it is needed. Safe to share between threads."""

    def __init__(self, manager: Engine) -> None:
        """Ask nothing yet."""
        self.manager = manager
        self._engines: dict[str, Engine] = {}
        self._lock = Lock()

    @cached_property
    def all(self) -> Sequence[Node]:
        """The nodes as they were when somebody first asked, by name. Raises EngineError."""
        return swarm.nodes(self.manager)

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
        with self._lock:
            if node not in self._engines:
                self._engines[node] = Engine(reconnect(endpoint(self.named(node))))
            return self._engines[node]

    def engines(self, wanted: Iterable[Node] | None = None) -> dict[str, Engine | LabenvError]:
        """The engines of these nodes, or of all that are ready, by the node's id; or why one does not answer."""
        chosen = [node for node in (wanted or self.all) if wanted or node.state == "ready"]
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

    Raises EngineError if the node does not answer, or if the environment is on no node now.
    """
    lease = leases.read(student_id)
    if lease is None or lease.is_over:
        return None
    if lease.node:
        return Nodes(manager).engine(lease.node)
    if swarm.tasks(manager, service=words.supervisor(student_id)):
        raise EngineError(
            f"{student_id}'s environment is on no node now: the swarm looks for one that has room. labenv swarm nodes"
        )
    kept = f", as it was at {leases.clock(lease.pushed)}" if lease.pushed else ""
    raise EngineError(
        f"{student_id}'s environment is on no node now, and nothing brings it up. To do so{kept}: labenv class up --only {student_id}"
    )


def tell(student_id: str, listen: Listener) -> None:
    """Say what a student lost lately because a node was lost, if anything."""
    lease = leases.read(student_id)
    if lease and lease.moves and leases.is_news(lease.moves[-1]):
        listen(Event("swarm", " ".join(leases.told(lease)), "warn"))


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

    def holding(self, student_id: str) -> Engine:
        """The engine of the node that has a student's environment; the manager's if none has. Raises EngineError."""
        lease = leases.read(student_id)
        return self.nodes.engine(lease.node) if lease and lease.node else self.nodes.manager

    def environments(self, student_id: str | None = None) -> list[Environment]:
        """The environments of all nodes that answer, by student; of two of one student, the one that is current. Raises EngineError."""
        there = {node: one for node, one in self.nodes.engines().items() if isinstance(one, Engine)}
        held = leases.everything()
        found: dict[str, Environment] = {}
        with Together(_TOGETHER) as pool:
            told = pool.map(lambda one: one.environments(student_id), there.values())
            for node, environments in zip(there, told, strict=True):
                for each in environments:
                    lease = held.get(each.student.id)
                    if lease is None or node == (lease.node or self.nodes.here):
                        found[each.student.id] = each
        return [found[who] for who in sorted(found)]
