"""A class hour, simulated: students come, wait for their environments, have them checked; nodes are drained and fail.

Nothing here is chosen at the moment of running but by a seed, so that the same question has the same answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

from labenv.classroom.capacity.clock import Clock
from labenv.classroom.capacity.figures import FIGURES, Figures
from labenv.classroom.capacity.hour import Hour
from labenv.classroom.capacity.need import Need
from labenv.classroom.capacity.node import Node
from labenv.classroom.capacity.outcome import Outcome, Spread
from labenv.classroom.capacity.size import Size
from labenv.classroom.capacity.swarm import Server, Swarm

_MINUTE = 60.0
_DRAIN, _FAIL = "drain", "fail"


@dataclass(eq=False)
class Seat:
    """A student of the class, and where their environment is.

    `life` counts the environments that they had: what was begun for an earlier one no longer concerns them. `asked` is since when they
    wait for one, `kept` of when the state is that the keeper has, `after` what took the one that they had.
    """

    number: int
    server: Server | None = None
    is_up: bool = False
    life: int = 0
    asked: float = -1.0
    kept: float = 0.0
    after: str = ""


class Simulation:
    """One hour of a class of so many students on servers of these sizes, whose environments take what `need` says and reserve its memory.

    `watch` is called after each thing that happened.

    >>> Simulation(30, [Size(2, 24 << 30)] * 2, Need(3, 1, 0, 200 << 20)).run().never
    0
    """

    def __init__(
        self,
        students: int,
        sizes: Sequence[Size],
        need: Need,
        hour: Hour | None = None,
        *,
        figures: Figures = FIGURES,
        seed: int = 0,
        watch: Callable[["Simulation"], None] = lambda _: None,
    ) -> None:
        self._figures = figures
        self._hour = hour or Hour()
        self._chance = Random(seed)
        self._clock = Clock(lambda: watch(self))
        self.servers = [Server(Node(self._clock, size.processors, need.machines, figures), size.room) for size in sizes]
        self.seats = [Seat(number) for number in range(students)]
        self._swarm = Swarm(self._clock, figures, self.servers, need.memory)
        self._waits: dict[str, list[float]] = {"": [], _DRAIN: [], _FAIL: []}
        self._lost: list[float] = []
        self._waiting = self._most = self._fullest = 0

    def run(self) -> Outcome:
        """Let the hour pass; returns what came of it."""
        hour = self._hour
        for seat in self.seats:
            self._clock.later(hour.arrival(self._chance), partial(self._come, seat))
        if hour.drain_at is not None:
            self._clock.later(hour.drain_at, self._drain)
        if hour.fail_at is not None:
            self._clock.later(hour.fail_at, self._fail)
        spent, busiest = [0.0 for _ in self.servers], 0.0
        while self._clock.now < hour.lasts:
            began = self._clock.now
            self._clock.run(min(began + _MINUTE, hour.lasts))
            for place, processors in enumerate(server.node.processors for server in self.servers):
                before, spent[place] = spent[place], processors.spent
                busiest = max(busiest, (spent[place] - before) / (processors.number * (self._clock.now - began)))
        whole = hour.lasts * sum(server.node.processors.number for server in self.servers)
        without = [seat for seat in self.seats if not seat.is_up]
        return Outcome(
            students=len(self.seats),
            nodes=len(self.servers),
            waits=Spread.of(self._waits[""]),
            waiting=self._most,
            never=sum(not seat.after for seat in without),
            drained=Spread.of(self._waits[_DRAIN]),
            failed=Spread.of(self._waits[_FAIL]),
            unplaced=sum(bool(seat.after) for seat in without),
            lost=Spread.of(self._lost),
            fullest=self._fullest,
            busy=sum(spent) / whole,
            busiest=busiest,
            manager=self._swarm.bears,
        )

    def _come(self, seat: Seat) -> None:
        self._swarm.connected()
        self._wait(seat)
        self._place(seat)

    def _wait(self, seat: Seat) -> None:
        """A student waits for an environment from now on."""
        seat.asked = self._clock.now
        self._waiting += 1
        self._most = max(self._most, self._waiting)

    def _place(self, seat: Seat) -> None:
        seat.life += 1
        self._swarm.place(seat.number, partial(self._placed, seat))

    def _placed(self, seat: Seat, server: Server) -> None:
        seat.server = server
        self._fullest = max(self._fullest, server.tasks)
        self._later(self._figures.task_told, seat, self._start)

    def _start(self, seat: Seat) -> None:
        at, server = self._figures, _of(seat)
        server.node.up(at.supervisor, at.restore if seat.after else 0.0, self._still(seat, self._up))

    def _up(self, seat: Seat) -> None:
        self._waiting -= 1
        self._waits[seat.after].append(self._clock.now - seat.asked)
        seat.is_up, seat.kept = True, self._clock.now
        self._later(self._hour.push_every, seat, self._push)
        self._later(self._chance.expovariate(1 / self._hour.check_every), seat, self._check)

    def _check(self, seat: Seat) -> None:
        def checked(seat: Seat) -> None:
            self._later(self._chance.expovariate(1 / self._hour.check_every), seat, self._check)

        _of(seat).node.work(self._figures.check, self._still(seat, checked))

    def _push(self, seat: Seat) -> None:
        begun = self._clock.now

        def pushed(seat: Seat) -> None:
            seat.kept = begun
            self._swarm.pushed()
            self._later(self._hour.push_every, seat, self._push)

        _of(seat).node.work(self._figures.push, self._still(seat, pushed))

    def _drain(self) -> None:
        """Empty the node with the fewest environments: each is pushed, removed, and placed again. Later the node is ready again."""
        server = min(self._ready(), key=lambda each: each.tasks, default=None)
        if server is None:
            return
        server.is_ready = False
        for seat in self._at(server):
            self._leave(seat, _DRAIN)
            self._push_out(seat, server)
        if self._hour.back_at is not None:
            self._clock.later(self._hour.back_at - self._clock.now, partial(self._swarm.ready, server))

    def _push_out(self, seat: Seat, server: Server) -> None:
        def pushed() -> None:
            self._swarm.pushed()
            server.node.down(removed)

        def removed() -> None:
            self._swarm.leave(server)
            self._clock.later(self._figures.task_again, partial(self._place, seat))

        server.node.work(self._figures.push, pushed)

    def _fail(self) -> None:
        """Lose the node with the most environments. It does not come back; what it had is placed again once the manager has noticed."""
        server = max(self._ready(), key=lambda each: each.tasks, default=None)
        if server is None:
            return
        server.is_ready = False
        server.node.fail()
        noticed = self._chance.uniform(*self._figures.noticed) + self._figures.task_again
        for seat in self._at(server):
            if seat.is_up:
                self._lost.append(self._clock.now - seat.kept)
            self._leave(seat, _FAIL)
            self._clock.later(noticed, partial(self._place, seat))

    def _leave(self, seat: Seat, why: str) -> None:
        """A student's environment is no more. Who had one waits from now on; who waited goes on waiting."""
        seat.life += 1
        seat.server = None
        if seat.is_up:
            seat.is_up, seat.after = False, why
            self._wait(seat)

    def _ready(self) -> list[Server]:
        return [server for server in self.servers if server.is_ready]

    def _at(self, server: Server) -> list[Seat]:
        return [seat for seat in self.seats if seat.server is server]

    def _later(self, seconds: float, seat: Seat, action: Callable[[Seat], None]) -> None:
        self._clock.later(seconds, self._still(seat, action))

    @staticmethod
    def _still(seat: Seat, action: Callable[[Seat], None]) -> Callable[[], None]:
        """The action, if the environment for which it was begun is still the student's when it is due."""
        life = seat.life
        return lambda: action(seat) if seat.life == life else None


def _of(seat: Seat) -> Server:
    """The server of a student who has one."""
    assert seat.server is not None
    return seat.server
