"""The manager of a simulated swarm: it says on which node a task runs, and counts what that costs it."""

from collections import Counter, deque
from collections.abc import Callable, Sequence

from labenv.classroom.capacity.clock import Clock
from labenv.classroom.capacity.figures import Figures
from labenv.classroom.capacity.node import Node
from labenv.classroom.capacity.outcome import Manager
from labenv.classroom.capacity.turns import Turns

_SPAN = 10  # seconds over which a rate is taken
_KEPT = 6  # tasks of a service: one that runs and those that it had before (docker swarm init --task-history-limit, 5)


class Server:
    """A node as the manager sees it: what of its memory is not reserved, and how many tasks it has."""

    def __init__(self, node: Node, memory: int) -> None:
        self.node = node
        self.memory = memory
        self.tasks = 0
        self.is_ready = True


class Swarm:
    """Places tasks that reserve memory, each on the ready node with the fewest tasks that has so much left; others wait for room.

    That is Swarm's own rule for services of one replica each (moby/swarmkit, manager/scheduler: spread).
    """

    def __init__(self, clock: Clock, figures: Figures, servers: Sequence[Server], reserved: int) -> None:
        self._clock = clock
        self._figures = figures
        self.servers = servers
        self._reserved = reserved
        self._waiting: deque[tuple[int, Callable[[Server], None]]] = deque()
        self._scheduler = Turns(1)
        self._had: Counter[int] = Counter()  # tasks by service
        self._placed: Counter[int] = Counter()  # by span of time
        self._pushes: Counter[int] = Counter()
        self._changes = 0
        self._connections = 0

    def place(self, service: int, then: Callable[[Server], None]) -> None:
        """Find a node for a new task of a service; `then` is called with it."""

        def scheduled() -> None:
            self._scheduler.leave()
            self._waiting.append((service, then))
            self._try()

        self._scheduler.take(lambda: self._clock.later(self._figures.task_placed, scheduled))

    def leave(self, server: Server) -> None:
        """A task on that node has ended."""
        server.tasks -= 1
        server.memory += self._reserved
        self._try()

    def ready(self, server: Server) -> None:
        """A node takes tasks again."""
        server.is_ready = True
        self._try()

    def pushed(self) -> None:
        """The state of an environment has arrived at the keeper."""
        self._pushes[self._span] += 1

    def connected(self) -> None:
        """One more student is in, for the rest of the hour."""
        self._connections += 1

    @property
    def bears(self) -> Manager:
        """What it had to bear so far."""
        at = self._figures
        kept = sum(min(tasks, _KEPT) for tasks in self._had.values())
        tasks, pushes = self._placed.total(), self._pushes.total()
        return Manager(
            tasks=tasks,
            tasks_peak=max(self._placed.values(), default=0) / _SPAN,
            pushes=pushes,
            pushes_peak=max(self._pushes.values(), default=0) / _SPAN,
            pushed=pushes * at.push_bytes,
            pushed_peak=max(self._pushes.values(), default=0) * at.push_bytes / _SPAN,
            raft_store=len(self._had) * at.service_bytes + kept * at.task_bytes,
            raft_written=len(self._had) * at.service_bytes + tasks * at.task_changes * at.task_bytes,
            connections=self._connections,
        )

    @property
    def _span(self) -> int:
        return int(self._clock.now // _SPAN)

    def _try(self) -> None:
        """Place those that wait, the first first, as long as there is room."""
        while self._waiting:
            free = [each for each in self.servers if each.is_ready and each.memory >= self._reserved]
            if not free:
                return
            chosen = min(free, key=lambda each: each.tasks)
            service, then = self._waiting.popleft()
            chosen.tasks += 1
            chosen.memory -= self._reserved
            self._had[service] += 1
            self._placed[self._span] += 1
            then(chosen)
