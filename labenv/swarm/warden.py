"""The warden of a node: pushes copies of its environments on a schedule, and keeps stale ones aside.

It tells the keeper what is there. An environment that another node has by now, because this one was lost for a while, is copied, kept as
a save of its student, and removed: nobody has two.
"""

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from labenv.engine import Engine
from labenv.engine.find import reconnect
from labenv.errors import LabenvError
from labenv.events import silent
from labenv.swarm import copies, wishes, words
from labenv.swarm.client import Keeper, of_service
from labenv.swarm.supervisor import ENGINE

_LOOK = 10.0  # seconds between two looks
_AGAIN = 60.0  # seconds until an environment that could not be pushed is tried again


class Warden:
    """What the warden does, look by look."""

    def __init__(self, engine: Engine, keeper: Keeper, node: str, name: str, every: float) -> None:
        """Push nothing yet: who has just come up has nothing to lose."""
        self._engine, self._keeper = engine, keeper
        self._node, self._name = node, name
        self._every = every
        self._due: dict[str, float] = {}
        self._resting: set[str] = set()  # whose machines are off, as they were at the last push
        self._said: dict[str, str] = {}

    def look(self) -> None:
        """Look once, and do what is due. What fails is said, once, and tried again later; the other environments do not wait for it."""
        with self._telling(""):
            self._look()

    def _look(self) -> None:
        there = [each for each in self._engine.environments() if each.belongs.class_id and not each.replays]
        off = {each.student.id for each in there if all(machine.state == "exited" for machine in each.machines)}
        self._resting &= off
        holds = {each.student.id: each.belongs.class_id for each in there}
        told = self._seen(holds)
        for student in told["stale"]:
            with self._telling(student):
                self._keep_aside(student, holds[student])
        for student, generation in told["current"].items():
            now = time.monotonic()
            if student in self._resting or now < self._due.setdefault(student, now + self._every):
                continue
            self._due[student] = now + min(self._every, _AGAIN)
            with self._telling(student):
                copies.push(self._engine.apart(), student, self._keeper, generation)
                self._due[student] = now + self._every
                self._resting |= {student} & off
        self._due = {student: due for student, due in self._due.items() if student in told["current"]}
        self._said = {student: said for student, said in self._said.items() if student in holds}

    def _keep_aside(self, student: str, class_id: str) -> None:
        def is_stale() -> bool:
            return student in self._seen({student: class_id})["stale"]

        save = copies.keep_aside(self._engine.apart(), student, self._keeper, self._name, is_stale, silent)
        if save is not None:
            was = f"what was here is the save {save}" if save else "what was here was incomplete, and is gone"
            print(f"{student}: another node has the environment; {was}", flush=True)

    def _seen(self, holds: dict[str, str]) -> dict[str, Any]:
        return self._keeper.say("seen", node=self._node, name=self._name, holds=holds)

    @contextmanager
    def _telling(self, about: str) -> Iterator[None]:
        try:
            yield
            self._said.pop(about, None)
        except LabenvError as error:
            self._tell(about, f"{about}: {error}" if about else str(error))
        except Exception:  # a fault of labenv's with one environment leaves nobody else without copies
            self._tell(about, traceback.format_exc())

    def _tell(self, about: str, said: str) -> None:
        if said != self._said.get(about):
            print(said, file=sys.stderr, flush=True)
        self._said[about] = said


def main() -> None:
    """Look again and again until SIGTERM."""
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    node, name = os.environ[words.NODE], os.environ[words.NODE_NAME]
    warden: Warden | None = None
    while not over.wait(_LOOK if warden else 1.0):
        try:
            if warden is None:
                every = float(os.environ.get(words.EVERY, wishes.EVERY))
                warden = Warden(Engine(reconnect(ENGINE)), of_service(), node, name, every)
                print(f"The warden of {name} pushes every {every:.0f} s.", flush=True)
            warden.look()
        except LabenvError as error:
            print(error, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
