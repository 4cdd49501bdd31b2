"""How long a class on a swarm takes: the same number of environments on one engine and through Swarm, in turns, and what takes the time.

What has a part on two computers is measured by the clock of one: a supervisor tells how long it took for what, and the manager when it
heard of it.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path

from labenv.bench import class_
from labenv.bench.timing import Measurement, pss, run_labenv, said, timed
from labenv.engine import Engine, kept, swarm
from labenv.engine.errors import refusals
from labenv.engine.labels import SWARM
from labenv.engine.swarm import Node
from labenv.environments import history
from labenv.errors import EngineError, UsageError
from labenv.events import Event, Listener
from labenv.lab import labs
from labenv.swarm import client, drain, init, leases, words
from labenv.swarm.leases import Lease
from labenv.swarm.where import Fleet

_EACH = 40.0  # seconds that a command may take for each student: several times what it takes
_SCHEDULING = "scheduling"
# What is measured, in this order: the row's title, its unit, and the targets by the number of students, with three nodes that share two
# processors.
_ROWS: dict[str, tuple[str, str, dict[int, float]]] = {
    "alone": ("{} environments up and verified on one engine, at the lab's first stage", "s", {}),
    "swarm": ("the same through Swarm (class up --swarm)", "s", {}),
    "ratio": ("ratio: through Swarm / on one engine", "x", {12: 1.8}),
    _SCHEDULING: ("of one: Swarm, from the service to the shell of its task", "s", {}),
    words.TURN: ("of one: waiting for a turn on its node", "s", {}),
    words.START: ("of one: start of its supervisor (Python)", "s", {}),
    words.ASKED: ("of one: answer of the keeper", "s", {}),
    words.UP: ("of one: up", "s", {}),
    "verified": ("from the last one up until all are verified", "s", {}),
    "status": ("class status over all nodes", "s", {12: 2}),
    "push": ("push of one environment", "s", {}),
    "pushed": ("size of what is pushed", "kB", {}),
    "drain": ("swarm drain, until the environments of a node are up elsewhere", "s", {12: 45}),
    "left": ("of these: until the last of them begins elsewhere", "s", {}),
    "images": ("swarm images, where all nodes have all", "s", {}),
    "keeper": ("memory of the keeper (PSS)", "MiB", {}),
    "warden": ("memory of a warden (PSS)", "MiB", {}),
    "supervisor": ("memory of a supervisor that waits (PSS)", "MiB", {}),
}


def check_there(engine: Engine) -> None:
    """Raise UsageError if the engine manages no swarm that labenv has made for this user."""
    if not swarm.is_manager(engine) or not leases.is_kept():
        raise UsageError("A swarm is measured on the server that manages it. To make one: labenv swarm init")


def measured(engine: Engine, listen: Listener, prefix: str, students: int, runs: int) -> list[Measurement]:
    """The rows for so many students, whose ids begin with `prefix`; they are removed after each run. Raises EngineError."""
    values: dict[str, list[float]] = {key: [] for key in _ROWS}
    with said(listen, "swarm init, swarm images"):  # so that no run begins with what is done once
        run_labenv("swarm", "init")
        run_labenv("swarm", "images", most=60 + _EACH * students)
    for number in range(runs):
        with tempfile.TemporaryDirectory(prefix="labenv-bench-") as name:
            _Run(engine, listen, Path(name), prefix, students, values, f"run {number + 1} of {runs}").go()
    return [
        Measurement(title.format(students), unit, tuple(values[key]), targets.get(students))
        for key, (title, unit, targets) in _ROWS.items()
        if values[key]
    ]


class _Run:
    """One run of all."""

    def __init__(
        self,
        engine: Engine,
        listen: Listener,
        folder: Path,
        prefix: str,
        students: int,
        values: Mapping[str, list[float]],
        which: str,
    ) -> None:
        self._fleet = Fleet(engine)
        self._listen = listen
        self._folder = folder
        self._students = students
        self._values = values
        self._which = which
        self._alone, self._placed = f"{prefix}-one", f"{prefix}-swarm"
        self._first = labs.load(labs.default()).stages[0].id
        for id_ in (self._alone, self._placed):
            (folder / id_).mkdir()
            class_.write(folder / id_, id_, students, labs.load(labs.default()))

    def go(self) -> None:
        up = ("up", "--at", self._first)
        self._timing("alone", f"{self._students} environments on one engine", self._class(self._alone, *up))
        self._class(self._alone, "down", "--yes")()
        self._timing("swarm", f"{self._students} environments through Swarm", self._class(self._placed, *up, "--swarm"))
        over = time.time()
        self._values["ratio"].append(self._values["swarm"][-1] / self._values["alone"][-1])
        for key, value in _parts(self._fleet, self._placed, over).items():
            self._values[key].append(value)
        self._timing("status", "class status", self._class(self._placed, "status"))
        self._timing("images", "swarm images", partial(run_labenv, "swarm", "images", most=60 + _EACH))
        with said(self._listen, f"a push, {self._which}"):
            seconds, size = _pushed(self._fleet, sorted(leases.everything(self._placed))[0])
        self._values["push"].append(seconds)
        self._values["pushed"].append(size / 1e3)
        for role, memory in _memory(self._fleet.nodes.manager):
            self._values[role].append(memory)
        self._drained()
        self._class(self._placed, "down", "--yes")()

    def _class(self, id_: str, *arguments: str) -> Callable[[], str]:
        command = ("class", *arguments, "-c", str(self._folder / id_))
        return partial(run_labenv, *command, most=60 + _EACH * self._students)

    def _timing(self, key: str, what: str, work: Callable[[], object]) -> None:
        with said(self._listen, f"{what}, {self._which}"):
            self._values[key].append(timed(work))

    def _drained(self) -> None:
        node = _to_drain(self._fleet, self._placed)
        if node is None:
            self._listen(Event("drain", "skipped: no other node has environments of the bench, and no others", "note"))
            return
        gone = drain.on(node)
        began = time.time()
        try:
            self._timing(
                "drain", f"swarm drain {node.name}", partial(run_labenv, "swarm", "drain", node.name, most=400)
            )
        finally:
            run_labenv("swarm", "drain", node.name, "--back")
        moved = (lease.begun for who in gone if (lease := leases.read(who)) and lease.node != node.id)
        if left := max(map(_seconds, moved), default=None):
            self._values["left"].append(left - began)


def _parts(fleet: Fleet, class_id: str, over: float) -> dict[str, float]:
    """What the parts took, each the middle of all environments of a class that was up and verified at that time."""
    made = {
        told["Spec"]["Labels"][words.SUPERVISED]: _seconds(told["CreatedAt"])
        for told in swarm.services(fleet.nodes.manager, f"{words.OF_CLASS}={class_id}")
    }
    held = {who: lease for who, lease in leases.everything(class_id).items() if lease.is_up}
    found: dict[str, list[float]] = {}
    for who, lease in held.items():
        for part, seconds in ({_SCHEDULING: _scheduled(lease, made[who])} | lease.parts).items():
            found.setdefault(part, []).append(seconds)
    last = max(_seconds(lease.up) for lease in held.values())
    return {part: statistics.median(each) for part, each in found.items()} | {"verified": over - last}


def _scheduled(lease: Lease, made: float) -> float:
    """How long Swarm took until the task's shell ran: what remains of the time until the keeper was asked."""
    before = sum(lease.parts[part] for part in (words.TURN, words.START))
    return max(0.0, _seconds(lease.begun) - made - before)


def _pushed(fleet: Fleet, who: str) -> tuple[float, int]:
    """The seconds of a push, as the warden of the environment's node does it, and the bytes that the keeper has then."""
    engine, lease = fleet.holding(who), leases.read(who)
    container = next(iter(_containers(engine, "warden")), None)
    if container is None or lease is None:
        raise EngineError(f"There is no warden on the node of {who}: labenv swarm init")
    command = ["python3", "-m", "labenv.bench.push", who, str(lease.generation)]
    with refusals("pushing"):
        done = engine.api.exec_create(container, command)["Id"]
        output = engine.api.exec_start(done).decode()
        if engine.api.exec_inspect(done)["ExitCode"]:
            raise EngineError(f"{who} was not pushed: {output.strip()[-500:]}")
    lease = leases.read(who)
    return float(output), len(kept.packed(who, lease.stamp) or b"") if lease else 0


def _memory(engine: Engine) -> Iterator[tuple[str, float]]:
    """The memory of each of labenv's services here, where it can be seen; of supervisors the middle one."""
    for role in ("keeper", "warden", "supervisor"):
        used = [sum(map(pss, engine.processes(each))) for each in _containers(engine, role)]
        if any(used):
            yield role, statistics.median(used)


def _containers(engine: Engine, role: str) -> list[str]:
    with refusals("listing the containers"):
        return [each["Id"] for each in engine.api.containers(filters={"label": f"{SWARM}={role}"})]


def _to_drain(fleet: Fleet, class_id: str) -> Node | None:
    """The node that has most of a class's environments, and nobody else's, and is not this one."""
    held = leases.everything()
    counts: dict[str, int] = {}
    for node in fleet.nodes.all:
        there = [lease.class_id for lease in held.values() if lease.node == node.id]
        if node.takes and node.id != fleet.nodes.here and set(there) == {class_id}:
            counts[node.id] = len(there)
    return fleet.nodes.named(max(counts, key=lambda node: counts[node])) if counts else None


def sweep(engine: Engine, prefix: str, remove: Callable[[Engine], None]) -> None:
    """Remove everything of students whose ids begin with `prefix` from a swarm: services, environments, copies, leases.

    `remove` does it on one engine. Raises EngineError.
    """
    fleet = Fleet(engine)
    there = [each["Spec"]["Labels"].get(words.SUPERVISED, "") for each in swarm.services(engine)]
    mine = sorted({who for who in (*there, *leases.everything()) if who.startswith(prefix)})
    for who in mine:
        swarm.remove(engine, words.supervisor(who))
    with suppress(EngineError):  # what has not ended by itself is removed now
        init.await_ended(mine)
    answering = fleet.each()
    for each in answering:
        remove(each)
    for who in mine:
        client.of_manager().say("forget", student=who)
        history.drop(who)
        if len(answering) == len(fleet.nodes.all):  # else a node that comes back must learn that what it has is stale
            leases.drop(who)


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
