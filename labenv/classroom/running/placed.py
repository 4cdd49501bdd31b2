"""Bringing a class up on the nodes of a swarm: a supervisor for each student, which Swarm places, and waiting until each is up."""

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack

from labenv.checks.results import Report
from labenv.classroom.folder.model import Class
from labenv.engine import swarm
from labenv.environment import Environment
from labenv.environments.plan import Request
from labenv.environments.up import Outcome
from labenv.environments.up import up as up_one
from labenv.errors import EngineError, LabenvError, UsageError
from labenv.events import Event, Listener, silent
from labenv.lab import labs
from labenv.swarm import images, init, leases, services, wishes, words
from labenv.swarm.services import Reserve
from labenv.swarm.where import Fleet
from labenv.text import many

Check = Callable[[Environment], Report]
_POLL = 0.1
_AGAIN = 3  # times that an environment is waited for again that went while it was looked at
_AT_LEAST = 1.0  # seconds after which leases are read that seem unchanged
_LOOK = 2.0  # seconds between two looks at what Swarm says
_ROOM = 12.0  # seconds after which Swarm's answer that there is no room counts
_PATIENCE = 240.0  # seconds in which nobody's environment came up


def opened(engine: Fleet, of: Class, lab: str, listen: Listener) -> str:
    """Have the swarm ready for a class and a lab: services, images on the nodes. Returns the label of the nodes that have them.

    What a node cannot take is said; it gets no environments. Raises UsageError for a class that cannot be on a swarm, EngineError.
    """
    manager = engine.nodes.manager
    if of.federate:
        raise UsageError(f"{of.name} is federated: it has one world outside, on one computer. A swarm has no such.")
    if not labs.is_shipped(labs.load(lab).folder):
        raise UsageError(
            f"{lab} lies in a folder here, which no other node has. On a swarm, only labs that labenv ships can be used."
        )
    wish = of.swarm
    if wish:
        file = str(wish.settings) if wish.settings else ""
        wishes.keep(of.id, wishes.Wish(wish.place, file, wish.every.total_seconds()))
    image = images.ready(manager, [lab], listen, desktop=of.page.desktop)
    init.ensure(manager, image, listen)
    tags = images.needed([lab], desktop=of.page.desktop)
    label = words.HAS + hashlib.sha256(" ".join(sorted(tags)).encode()).hexdigest()[:12]
    refused = dict[str, LabenvError]()
    for name, got in images.distribute(engine.nodes, tags, listen):
        if isinstance(got, LabenvError):
            refused[name] = got
            listen(Event("swarm", f"{name} gets no new environments: {got}", "warn"))
    for node in engine.nodes.all:  # it is never taken away: Swarm would end what is there
        if not node.is_lost and node.name not in refused and label not in node.labels:
            swarm.set_label(manager, node, label, "yes")
    return label


def brought_up(
    engine: Fleet, of: Class, requests: Sequence[Request], listen: Listener, check: Check | None, label: str
) -> Iterator[tuple[str, Outcome | LabenvError, Report | None, bool]]:
    """Have a supervisor for each request, and yield each student as the environment is up: what was made, the report, whether it is new.

    What waits for room in the swarm is an error that says so, and comes up when there is room.
    """
    manager = engine.nodes.manager
    image = images.image_id(manager, images.own_tag())
    classes = services.classes(manager)
    supervised = {who for who, class_id in classes.items() if class_id == of.id}
    reserve = Reserve(of.swarm.memory, of.swarm.processors) if of.swarm else Reserve()
    secrets = services.secrets(manager)
    waiting: dict[str, tuple[Request, bool]] = {}
    with ExitStack() as stack:
        listen(Event("class", f"bringing up {many(len(requests), 'environment')} on the swarm", "start"))
        for request in requests:
            who = request.student_id
            is_new = who not in supervised
            before = leases.read(who)
            try:
                _refuse_other(who, of, classes.get(who) or (before.class_id if before and before.node else of.id))
                if is_new:
                    swarm.ensure(manager, services.supervisor(image, request, reserve, label, secrets))
                waiting[who] = request, is_new and not (before and before.stamp)
            except LabenvError as error:
                yield who, error, None, False
        pool = stack.enter_context(ThreadPoolExecutor((os.cpu_count() or 1) + 2))
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)
        coming = _Coming(engine, of, listen)
        again: Counter[str] = Counter()
        running: dict[Future[tuple[Outcome, Report | None]], tuple[Request, bool]] = {}
        while waiting or running:
            for who in coming.up(waiting):
                request, is_new = waiting.pop(who)
                running[pool.submit(_seen, engine, request, check, is_new)] = request, is_new
            for who, why in coming.refused(waiting):
                del waiting[who]
                yield who, why, None, False
            ended, _ = wait(running, _POLL, FIRST_COMPLETED) if running else (set(), set())
            for future in ended:
                request, is_new = running.pop(future)
                who = request.student_id
                coming.moved()
                try:
                    outcome, report = future.result()
                    yield who, outcome, report, is_new
                except LabenvError as error:
                    lease = leases.read(who)
                    if lease and not lease.is_up and again[who] < _AGAIN:
                        again[who] += 1  # its supervisor has begun again meanwhile, as after a restart of its engine
                        waiting[who] = request, is_new
                    else:
                        yield who, error, None, False
            if not running:
                time.sleep(_POLL)
            names = ", ".join(list(waiting)[:3])
            listen(
                Event("class", f"{len(waiting)} under way{f': {names}' if names else ''}, {len(running)} being checked")
            )
        listen(Event("class", "", "done"))


def _refuse_other(who: str, of: Class, has: str) -> None:
    """Raise UsageError if another class has a student's environment in this swarm."""
    if has != of.id:
        raise UsageError(
            f"{who} has an environment of the class {has} in this swarm. A student has one: remove that first, in the folder of that class: "
            f"labenv class down --only {who}"
        )


def _seen(engine: Fleet, request: Request, check: Check | None, is_new: bool) -> tuple[Outcome, Report | None]:
    """What is up, and its report. What was stopped or removed behind its supervisor's back is brought back where it was."""
    mine = engine.holding(request.student_id).apart()
    there = mine.environments(request.student_id)
    if there and all(machine.state == "running" for machine in there[0].machines):
        made = Outcome(there[0], ("machines",) if is_new else (), ())
    else:
        made = up_one(mine, request, silent)
    return made, check(made.environment) if check else None


class _Coming:
    """Looks who is up, and who cannot be."""

    def __init__(self, engine: Fleet, of: Class, listen: Listener) -> None:
        self._engine, self._of, self._listen = engine, of, listen
        self._began = self._last = self._looked = time.monotonic()
        self._seen, self._read = -1, 0.0

    def moved(self) -> None:
        """Something has happened, so it is worth waiting."""
        self._last = time.monotonic()

    def up(self, waiting: "dict[str, tuple[Request, bool]]") -> list[str]:
        """Those of the waiting whose environment is up."""
        now, changed = time.monotonic(), leases.changed()
        if (
            changed == self._seen and now - self._read < _AT_LEAST
        ):  # two may have been written in one tick of the file system
            return []
        self._seen, self._read = changed, now
        found = [who for who in waiting if (lease := leases.read(who)) and lease.is_up]
        if found:
            self.moved()
        return found

    def refused(self, waiting: "dict[str, tuple[Request, bool]]") -> list[tuple[str, LabenvError]]:
        """Those of the waiting who cannot come up now, each with the reason."""
        now = time.monotonic()
        if not waiting or now - self._looked < _LOOK:
            return []
        self._looked = now
        found: list[tuple[str, LabenvError]] = []
        failed = {who: lease.failed for who in waiting if (lease := leases.read(who)) and lease.node and lease.failed}
        found += [(who, EngineError(f"{sentence} Swarm tries it again.")) for who, sentence in failed.items()]
        rest = [who for who in waiting if who not in failed]
        manager = self._engine.nodes.manager
        ids = services.students(manager, self._of.id)
        tasks = services.tasks_of(manager, list(ids.values()))
        for who in rest:
            task = tasks.get(ids.get(who, ""))
            if who not in ids:
                found.append((who, EngineError("the service was removed meanwhile. The same command makes it again.")))
            elif task and task.state == "pending" and task.error and now - self._began > _ROOM:
                text = f"no node has room for it: {task.error}. It comes up when one has: labenv swarm nodes"
                found.append((who, EngineError(text)))
            elif now - self._last > _PATIENCE:
                said = f": {task.error}" if task and task.error else ""
                log = f"docker service logs {words.supervisor(who)}"
                found.append((who, EngineError(f"it takes longer than {_PATIENCE:.0f} s{said}. Its log: {log}")))
        return found


def is_on_swarm(of: Class) -> bool:
    """Whether a class is on a swarm that this computer manages, or is to be."""
    return bool(of.swarm) or (leases.is_kept() and any(leases.everything(of.id)))
