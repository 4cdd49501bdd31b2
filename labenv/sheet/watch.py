"""Watches an environment: runs the checks again as soon as something in a machine has changed.

Each machine watches itself: one command over its own channel looks twice a second (watch.pl), and answers when
something has changed. Until then, nothing else runs.
"""

import math
import queue
import shlex
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from labenv.checks import interface
from labenv.checks.onlooker import Onlooker, Overtaken
from labenv.checks.results import CheckResult, Report
from labenv.checks.run import run_checks
from labenv.engine.channel import Channel
from labenv.environment import Environment
from labenv.environments.changing import changed_by
from labenv.errors import EngineError
from labenv.events import Listener, silent
from labenv.lab import labs
from labenv.lab.model import Lab
from labenv.parallel import Together

if TYPE_CHECKING:
    from labenv.engine import Engine

_LOOK = shlex.quote((Path(__file__).with_suffix(".pl")).read_text(encoding="utf-8"))
_TURN = 20  # seconds that one command watches, and that it may outlive us
_TRY = 0.2  # seconds between two looks at what another command does
_BROKEN = 1.0  # seconds between two tries at a machine that is not running
_SELDOM = 60.0  # seconds between two runs that each change something themselves
_GIVEN_UP = 3  # runs in a row that a student's edits have given up
_OWN = 2  # runs in a row during which something changed: then it is the runs that change it


def reports(
    engine: "Engine",
    environment: Environment,
    *,
    steps: list[str] | None = None,
    check: "Callable[..., Report]" = run_checks,
    tell: Callable[[tuple[CheckResult, ...]], None] = lambda _: None,
    over: threading.Event | None = None,
    away: Callable[[], EngineError | None] = lambda: None,
    listen: Listener = silent,
) -> Iterator[Report]:
    """A report now, and another one each time something changes in a machine: without an end, or until `over` is set.

    A run during which a student edits something is given up for the next one, a few times in a row. `tell` is given what a run is
    certain of, as an Onlooker's. Waiting can be interrupted (KeyboardInterrupt). `check` makes a report, as `run_checks` does; a run is given up once
    `away` says why nobody can work in the environment. Raises UsageError for an unknown step, EngineError once the environment is gone or away.
    """
    containers = [machine.container for machine in environment.machines]
    watched = all_watched(labs.of(environment))
    changes: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
    over = over or threading.Event()
    before = digests(engine, containers, watched)
    lookouts = [_Lookout(engine, name, digest, watched, changes, over) for name, digest in before.items()]
    for lookout in lookouts:
        lookout.start()
    changed = 0  # how many runs in a row something changed during: by the run itself, or by the student, whose change may be unseen
    given_up = 0  # how many runs in a row
    urgent: frozenset[str] = frozenset()  # a student works at what fails
    news: dict[str, str] = {}

    def is_over() -> bool:
        """Whether a run is given up: a student edits something meanwhile, and it is not the runs themselves that do."""
        while not changes.empty():
            news.update([changes.get()])
        edited = any(_edits(before[name]) != _edits(digest) for name, digest in news.items())
        return over.is_set() or away() is not None or (edited and changed < _OWN and given_up < _GIVEN_UP)

    while not over.is_set():
        if why := away():
            raise why
        _settled(engine, environment)
        news.clear()
        try:
            report = check(
                engine, environment, steps=steps, written=True, onlooker=Onlooker(tell, is_over, urgent), listen=listen
            )
        except Overtaken:
            before, given_up = before | news, given_up + 1
            continue
        yield report
        urgent = frozenset(result.step for result in report.results if result.status == "fail")
        given_up = 0
        after = digests(engine, containers, watched)
        while not changes.empty():
            changes.get()
        changed = changed + 1 if after != before else 0
        before = after
        if changed == 1:
            continue
        until = time.monotonic() + (min(2.0**changed, _SELDOM) if changed else math.inf)
        name, digest = _next(changes, over, until)
        while name and before[name] == digest:
            name, digest = _next(changes, over, until)
        if name:
            before = before | {name: digest}


def _next(changes: "queue.SimpleQueue[tuple[str, str]]", over: threading.Event, until: float) -> tuple[str, str]:
    """The next change, as a container and the digest of its state; "" and "" when it is over, or late (time.monotonic)."""
    while not over.is_set() and (left := until - time.monotonic()) > 0:
        with suppress(queue.Empty):
            return changes.get(timeout=min(left, _BROKEN))
    return "", ""


def _edits(digest: str) -> str:
    """The part of a digest that does not change as mail comes and goes."""
    return digest.partition(" ")[0]


def all_watched(lab: Lab) -> str:
    """What a lab's kits add to that which is watched in its machines, as words of a command."""
    words = []
    for kit in interface.of(lab):
        there = kit.watched
        words += [f"path {path}" for path in there.paths]
        words += [f"name {folder}" for folder in there.names]
        words += [f"size {file}" for file in there.sizes]
        words += [f"log {path} {pattern}" for path, pattern in there.logs.items()]
    return shlex.join(words)


def _settled(engine: "Engine", environment: Environment) -> None:
    """Wait while another command replaces or reboots machines. Raises EngineError once the environment is gone."""
    who, by = environment.student.id, ""
    while True:
        command = changed_by(engine, who)
        there = engine.environments(who)
        if there and all(machine.state == "running" for machine in there[0].machines):
            return
        if not command:
            break
        by = f" (labenv {command})"
        time.sleep(_TRY)
    if not there:
        raise EngineError(f"{who}'s environment was removed{by}. Make it again: labenv up {who}")


class _Lookout(threading.Thread):
    """Puts into `changes` each change of a machine. A daemon thread, because it waits for the machine."""

    def __init__(
        self,
        engine: "Engine",
        container: str,
        seen: str,
        watched: str,
        changes: "queue.SimpleQueue[tuple[str, str]]",
        over: threading.Event,
    ) -> None:
        super().__init__(daemon=True)
        self._channel = engine.shell(container)
        self._seen = seen
        self._watched = watched
        self._changes = changes
        self._over = over

    def run(self) -> None:
        """Watch until it is over."""
        while not self._over.is_set():
            seen = _looked(self._channel, self._seen, _TURN, self._watched)
            if seen != self._seen:
                self._seen = seen
                self._changes.put((self._channel.container, seen))
            elif not seen:
                self._over.wait(_BROKEN)
        self._channel.close()


def digests(engine: "Engine", containers: list[str], watched: str) -> dict[str, str]:
    """A digest of each machine's state now, by container; empty for one that is not running. `watched` as `all_watched` tells it."""

    def look(container: str) -> str:
        with engine.shell(container) as channel:
            return _looked(channel, "", 0, watched)

    with Together(len(containers)) as pool:
        return dict(zip(containers, pool.map(look, containers), strict=True))


def _looked(channel: Channel, known: str, seconds: int, watched: str) -> str:
    """A digest of the machine's state, once it is no longer `known` or the time is over; empty if it is down."""
    try:
        result = channel.run(f"perl -e {_LOOK} {shlex.quote(known)} {seconds} {watched}", timeout=seconds + 30)
    except EngineError:
        return ""
    return result.text
