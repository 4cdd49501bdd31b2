"""What runs for students, apart from the lines on which they came: a line may drop, and who comes back returns to it."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from labenv.errors import LabenvError, UsageError
from labenv.gate.programs import Program

KEPT = 64 * 1024  # bytes of what it said, for who comes back
ALONE = 3600.0  # seconds that something goes on with nobody there
BEHIND = 4 * KEPT  # bytes by which somebody who looks on may be behind
EACH, ALL = 6, 400  # how much of it a student may have, and all together


@dataclass(frozen=True, eq=False)
class Viewer:
    """A line that shows something: what takes the bytes, and what is set once another line shows it instead."""

    take: Callable[[bytes], Awaitable[None]]
    replaced: asyncio.Event = field(default_factory=asyncio.Event)


class Observer:
    """Somebody who looks on beside the line that shows something: sees what is said, and types nothing.

    Whoever works there never waits for it: one that falls behind too far sees no more.
    """

    def __init__(self) -> None:
        """Nothing was said yet."""
        self.is_over = False
        self._said = bytearray()
        self._news = asyncio.Event()

    def take(self, data: bytes) -> None:
        """Keep what was said until it is read."""
        if len(self._said) + len(data) > BEHIND:
            self.end()
        elif not self.is_over:
            self._said += data
            self._news.set()

    def end(self) -> None:
        """See no more."""
        self.is_over = True
        self._news.set()

    async def read(self) -> bytes:
        """What was said since the last call; empty at the end."""
        while not self._said and not self.is_over:
            await self._news.wait()
            self._news.clear()
        said = bytes(self._said)
        self._said.clear()
        return said


class Held:
    """Something that runs for a student: `title` is what they typed, `began` when. At most one line at a time shows it."""

    def __init__(self, number: int, student: str, title: str, program: Program) -> None:
        self.number = number
        self.student = student
        self.title = title
        self.program = program
        self.began = datetime.now(UTC)
        self.left = time.monotonic()  # since when nobody is there, if nobody is
        self.status: int | LabenvError = 0
        self.over = asyncio.Event()
        self._said = bytearray()
        self._viewer: Viewer | None = None
        self._observers: set[Observer] = set()

    @property
    def is_alone(self) -> bool:
        """Whether no line shows it."""
        return self._viewer is None

    async def show(self, viewer: Viewer) -> None:
        """Let a line show it from now on, beginning with the last that it said; a line that did so before is told."""
        if self._viewer:
            self._viewer.replaced.set()
        self._viewer = viewer
        if self._said:
            await viewer.take(bytes(self._said))

    def leave(self, viewer: Viewer) -> None:
        """A line shows it no more."""
        if self._viewer is viewer:
            self._viewer = None
            self.left = time.monotonic()

    def observe(self, observer: Observer) -> None:
        """Let somebody look on from now on, beginning with the last that it said."""
        if self._said:
            observer.take(bytes(self._said))
        self._observers.add(observer)

    def forget(self, observer: Observer) -> None:
        """Somebody looks on no more."""
        observer.end()
        self._observers.discard(observer)

    async def tell(self, data: bytes) -> None:
        """Show something that it did not say itself, if somebody is there."""
        if self._viewer:
            await self._viewer.take(data)

    async def run(self) -> None:
        """Pass on what it says until its end, and keep how it ended."""
        try:
            while data := await self.program.read():
                self._said += data
                del self._said[:-KEPT]
                for observer in self._observers:
                    observer.take(data)
                await self.tell(data)
            self.status = await self.program.ended()
        except LabenvError as error:
            self.status = error
        finally:
            self.over.set()
            for observer in list(self._observers):
                self.forget(observer)


class Holder:
    """All that runs. What nobody has come back to for an hour is ended."""

    def __init__(self) -> None:
        self._all: dict[int, Held] = {}
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()

    def of(self, student: str) -> list[Held]:
        """What runs for a student, oldest first."""
        return [held for held in self._all.values() if held.student == student]

    def check_room(self, student: str) -> None:
        """Raise UsageError if the student, or everybody together, has as much as may run."""
        if len(self.of(student)) >= EACH:
            raise UsageError(
                f"{EACH} things run for you already. End one first: close it on the page, or return to it (`back`)."
            )
        if len(self._all) >= ALL:
            raise UsageError("Too much runs on this server at the moment. Try again in a few minutes.")

    def hold(self, student: str, title: str, program: Program) -> Held:
        """Take something that has just started, and let it run to its end."""
        held = Held(next(self._numbers), student, title, program)
        self._all[held.number] = held
        task = asyncio.create_task(self._run(held))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return held

    async def _run(self, held: Held) -> None:
        try:
            await held.run()
        finally:
            del self._all[held.number]

    async def tidy(self) -> list[Held]:
        """End what nobody has come back to for too long; returns it."""
        now = time.monotonic()
        left = [held for held in self._all.values() if held.is_alone and now - held.left > ALONE]
        await asyncio.gather(*(held.program.hang_up() for held in left))
        return left

    async def close(self, patience: float) -> None:
        """End everything: shells at once, and what still works on something after `patience` seconds."""
        busy = [held for held in self._all.values() if not held.title.startswith("shell")]
        if busy:
            await asyncio.wait([asyncio.ensure_future(held.over.wait()) for held in busy], timeout=patience)
        await asyncio.gather(*(held.program.hang_up() for held in list(self._all.values())), return_exceptions=True)
