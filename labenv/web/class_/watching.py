"""What all pages of the teacher see of a class: its rows, looked at again and again while one of them is open."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from labenv.classroom.folder.model import Class
from labenv.classroom.running.board import Board, Row
from labenv.errors import LabenvError
from labenv.gate.state import Gate
from labenv.lab.model import Lab

_PAUSE, _SHARE = 2.0, 10  # seconds between two looks, and at least so many times what one takes


@dataclass(frozen=True)
class Seen:
    """The rows of a lab's students as they were at the last look; `problem` is why there is no newer one."""

    lab: Lab | None = None
    rows: Sequence[Row] = ()
    problem: str = ""


Seer = Callable[[Seen], None]


@dataclass(eq=False)
class _Watch:
    """One lab that is looked at: who sees it, and what was seen last."""

    name: str
    seen: Seen = field(default_factory=Seen)
    seers: set[Seer] = field(default_factory=set)
    board: Board | None = None
    of: Class | None = None
    is_on: bool = False


class Watching:
    """The looks at the labs of a class. Nobody looks where nobody sees it."""

    def __init__(self, gate: Gate) -> None:
        """Look at nothing yet."""
        self._gate = gate
        self._watches: dict[str, _Watch] = {}

    def show(self, lab: str, seer: Seer) -> Callable[[], None]:
        """Tell `seer` of a lab of the class, now and after each look; returns a function that ends this."""
        watch = self._watches.setdefault(lab, _Watch(lab))
        watch.seers.add(seer)
        seer(watch.seen)
        if not watch.is_on:
            watch.is_on = True
            self._gate.spawn(self._go(watch))
        return lambda: watch.seers.discard(seer)

    async def _go(self, watch: _Watch) -> None:
        try:
            while watch.seers:
                await self._publish(watch)
        finally:
            watch.is_on = False

    async def _publish(self, watch: _Watch) -> None:
        """Look once, tell it, and rest."""
        began = time.monotonic()
        try:
            rows = await asyncio.to_thread(self._look, watch)
            watch.seen = Seen(watch.board.lab if watch.board else None, rows)
        except LabenvError as error:
            watch.seen = replace(watch.seen, problem=str(error))
        for seer in list(watch.seers):
            seer(watch.seen)
        await asyncio.sleep(max(_PAUSE, _SHARE * (time.monotonic() - began)))

    def _look(self, watch: _Watch) -> Sequence[Row]:
        of = self._gate.current()
        if watch.board is None or of is not watch.of:
            watch.board, watch.of = Board(self._gate.shared, of, of.assignment(watch.name), of.members), of
        return watch.board.look()
