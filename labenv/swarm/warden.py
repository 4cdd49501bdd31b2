"""The warden of a node: pushes copies of its environments on a schedule, and keeps stale ones aside.

It tells the keeper what is there. An environment that another node has by now, because this one was lost for a while, is copied, kept as
a save of its student, and removed: nobody has two.
"""

import os
import signal
import sys
import threading
import time

from labenv.engine import Engine
from labenv.engine.find import reconnect
from labenv.errors import LabenvError
from labenv.events import silent
from labenv.swarm import copies, wishes, words
from labenv.swarm.client import Gone, Keeper, of_service
from labenv.swarm.supervisor import ENGINE

_LOOK = 10.0  # seconds between two looks


class Warden:
    """What the warden does, look by look."""

    def __init__(self, engine: Engine, keeper: Keeper, node: str, name: str, every: float) -> None:
        """Push nothing yet: who has just come up has nothing to lose."""
        self._engine, self._keeper = engine, keeper
        self._node, self._name = node, name
        self._every = every
        self._pushed: dict[str, float] = {}
        self._resting: set[str] = set()  # whose machines are off, as they were at the last push
        self._said = ""

    def look(self) -> None:
        """Look once, and do what is due. What fails is said, once, and tried again the next time."""
        try:
            self._look()
            self._said = ""
        except LabenvError as error:
            if str(error) != self._said:
                print(error, file=sys.stderr, flush=True)
            self._said = str(error)

    def _look(self) -> None:
        there = [each for each in self._engine.environments() if each.belongs.class_id and not each.replays]
        off = {each.student.id for each in there if all(machine.state == "exited" for machine in each.machines)}
        self._resting &= off
        holds = [each.student.id for each in there]
        told = self._keeper.say("seen", node=self._node, name=self._name, holds=holds)
        for student in told["stale"]:
            save = copies.keep_aside(self._engine, student, self._keeper, self._name, silent)
            print(
                f"{student}: another node has the environment; what was here is the save {save or '(it was incomplete)'}",
                flush=True,
            )
        now = time.monotonic()
        for student, generation in told["current"].items():
            if student in self._resting or now - self._pushed.setdefault(student, now) < self._every:
                continue
            try:
                copies.push(self._engine.apart(), student, self._keeper, generation)
            except Gone as error:
                print(error, flush=True)
            self._pushed[student] = now
            self._resting |= {student} & off


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
