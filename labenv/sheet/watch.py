"""Watches an environment: runs the checks again as soon as something in a machine has changed.

Each machine watches itself: one command over its own channel looks about once a second (watch.pl), and answers when
something has changed. Until then, nothing else runs.
"""

import queue
import shlex
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from labenv.checks import interface
from labenv.checks.results import Report
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


def reports(
    engine: "Engine", environment: Environment, *, steps: list[str] | None = None, listen: Listener = silent
) -> Iterator[Report]:
    """A report now, and another one each time something changes in a machine, without an end.

    Waiting for the next one can be interrupted (KeyboardInterrupt). Raises UsageError for an unknown step, EngineError once
    the environment is gone.
    """
    containers = [machine.container for machine in environment.machines]
    watched = all_watched(labs.of(environment))
    changes: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
    before = digests(engine, containers, watched)
    lookouts = [_Lookout(engine, name, digest, watched, changes) for name, digest in before.items()]
    again = True
    while True:
        _settled(engine, environment)
        yield run_checks(engine, environment, steps=steps, written=True, listen=listen)
        after = digests(engine, containers, watched)
        while not changes.empty():  # caused by the run itself
            changes.get()
        if after != before and again:  # a change during the run; after one more run it counts as known
            before, again = after, False
            continue
        before, again = after, True
        for lookout in lookouts:
            if not lookout.is_alive():
                lookout.start()
        name, digest = changes.get()
        while before[name] == digest:
            name, digest = changes.get()
        before = before | {name: digest}


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
        self, engine: "Engine", container: str, seen: str, watched: str, changes: "queue.SimpleQueue[tuple[str, str]]"
    ) -> None:
        super().__init__(daemon=True)
        self._channel = engine.shell(container)
        self._seen = seen
        self._watched = watched
        self._changes = changes
        self._patience = threading.Event()

    def run(self) -> None:
        """Watch forever."""
        while True:
            seen = _looked(self._channel, self._seen, _TURN, self._watched)
            if seen != self._seen:
                self._seen = seen
                self._changes.put((self._channel.container, seen))
            elif not seen:
                self._patience.wait(_BROKEN)


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
