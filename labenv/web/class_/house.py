"""All that the pages of a class share: a desk for each student who has come, and whose pages are open."""

import asyncio
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from labenv.checks.results import Report
from labenv.classroom.folder.model import Member
from labenv.classroom.running.checking import Checkers
from labenv.engine import Engine
from labenv.environment import Environment
from labenv.gate.state import Gate, Visitor
from labenv.web.class_.desk import ClassDesk
from labenv.web.class_.read_only import ReadOnly
from labenv.web.class_.teaching import Teaching

TEACHER = ""  # who is signed in, where it is no student
_LEFT = 300.0  # seconds after the last page of a student was closed until nobody watches their machines
_LOOK = 30.0


class Few(Checkers):
    """Checkers of which only some work at the same time: what is checked again after each change of thirty students waits for its turn."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._turn = threading.BoundedSemaphore(max(4, 2 * (os.cpu_count() or 1)))  # a check waits for mail, too

    def check(self, environment: Environment, **how: Any) -> Report:
        """The report of one environment, once there is a turn. Raises what the checkers raise."""
        with self._turn:
            return super().check(environment, **how)


@dataclass(eq=False)
class House:
    """The house behind the door. `pages` counts the open pages of each student."""

    gate: Gate
    checkers: Checkers
    pages: Counter[str] = field(default_factory=Counter)
    teaching: Teaching = field(init=False)
    _looks: Counter[str] = field(default_factory=Counter)  # pages that show a student's machines, the teacher's too
    _desks: dict[str, ClassDesk] = field(default_factory=dict)
    _left: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """The teacher's part works at the same gate."""
        self.teaching = Teaching(self.gate)

    @property
    def members(self) -> tuple[Member, ...]:
        """The students of the class, as its files are now."""
        return self.gate.current().members

    @property
    def desks(self) -> tuple[ClassDesk, ...]:
        """The desks of those who have come."""
        return tuple(self._desks.values())

    def desk(self, student: str) -> ClassDesk:
        """The desk of a student; made at their first visit. Raises UsageError for somebody who is not in the roster."""
        self.gate.check_member(student)
        if student not in self._desks:
            made = ClassDesk(self.gate.shared, student, self.checkers, holder=self.gate.holder, gate=self.gate)
            made.open()
            self._desks[student] = made
            self._left.setdefault(student, time.monotonic())
        return self._desks[student]

    def read_only(self, student: str) -> ReadOnly:
        """The same desk for who may only look. Raises UsageError for somebody who is not in the roster."""
        desk = self.desk(student)
        return ReadOnly(self.gate.shared, student, self.checkers, of=desk)

    def enter(self, visitor: Visitor, on_leave: Callable[[Callable[[], None]], object]) -> None:
        """Count a page of a student until it is closed. `on_leave` takes what is to be called then.

        Raises UsageError if there is no room for one more.
        """
        stack = ExitStack()
        stack.enter_context(self.gate.place(visitor))
        self.look(visitor.student, stack.callback)
        _count(self.pages, visitor.student, stack.callback)
        on_leave(stack.close)

    def look(self, student: str, on_leave: Callable[[Callable[[], None]], object]) -> None:
        """Keep a student's machines watched until a page that shows them is closed."""
        self._left.pop(student, None)

        def leave() -> None:
            if not self._looks[student]:
                self._left[student] = time.monotonic()

        stack = ExitStack()
        stack.callback(leave)
        _count(self._looks, student, stack.callback)
        on_leave(stack.close)

    async def tidy(self) -> None:
        """Have no machines watched that nobody looks at, for as long as the house stands."""
        while True:
            await asyncio.sleep(_LOOK)
            now = time.monotonic()
            for student in [one for one, since in self._left.items() if now - since > _LEFT]:
                del self._left[student]
                if desk := self._desks.pop(student, None):
                    await desk.close()

    async def close(self) -> None:
        """Watch nobody any more, and break off what is done for the class."""
        self.teaching.works.end()
        for desk in self.desks:
            await desk.close()


def _count(counter: Counter[str], student: str, on_leave: Callable[[Callable[[], None]], object]) -> None:
    counter[student] += 1

    def leave() -> None:
        counter[student] -= 1
        if not counter[student]:
            del counter[student]

    on_leave(leave)
