"""What the whole gate knows: the class as its files are now, what runs, who is there."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from labenv.classroom.folder import load
from labenv.classroom.folder.model import Class, Member
from labenv.classroom.serving import audit
from labenv.engine import Engine
from labenv.environment import Environment
from labenv.errors import EngineError, LabenvError, UsageError
from labenv.events import Event, Listener
from labenv.gate.held import Holder
from labenv.gate.throttle import Throttle

if TYPE_CHECKING:
    from asyncssh import SSHServerConnection

ENOUGH = 200  # sessions at a time, of all students
EACH = 12  # of one student


class Visitor(Protocol):
    """Somebody who is there."""

    student: str

    async def tell(self, text: str, *, in_shells: bool = False) -> None:
        """Say something in the middle of whatever is going on; in shells of machines too, if wanted."""


@dataclass
class Gate:
    """The state of a gate. `typed` is when each student last typed something here (seconds since 1970).

    `strangers` are connections that nobody has logged in on yet, by address.
    """

    shared: Engine
    of: Class
    listen: Listener
    holder: Holder = field(default_factory=Holder)
    throttle: Throttle = field(default_factory=Throttle)
    connections: set["SSHServerConnection"] = field(default_factory=set)
    strangers: Counter[str] = field(default_factory=Counter)
    files: Counter[str] = field(default_factory=Counter)  # sessions of scp and sftp, by student
    visits: set[Visitor] = field(default_factory=set)
    typed: dict[str, float] = field(default_factory=dict)
    swept: set[str] = field(default_factory=set)  # containers in which nothing of an earlier gate is left
    starting: set[str] = field(default_factory=set)  # students whose machines are being started
    # Who is told of students whose machines went to another server.
    movers: set[Callable[[str], None]] = field(default_factory=set)
    _read: tuple[float, ...] = field(init=False)
    _tasks: set["asyncio.Task[Any]"] = field(default_factory=set)

    def __post_init__(self) -> None:
        """The class was read just now."""
        self._read = self._written()

    def engine_of(self, student_id: str) -> Engine:
        """The engine that has a student's machines, for one piece of work: a machine that hangs costs nobody else's patience.

        Raises EngineError.
        """
        return self.shared.holding(student_id).apart()

    def current(self) -> Class:
        """The class; read again if its files have changed. While they are broken, it stays as it was."""
        if (now := self._written()) != self._read:
            self._read = now
            try:
                self.of = load.load(self.of.folder)
            except LabenvError as error:
                self.say(f"the class stays as it was: {error}", "warn")
        return self.of

    def _written(self) -> tuple[float, ...]:
        """When the class's files were written."""
        files = (self.of.folder / load.FILE, self.of.folder / load.ROSTER)
        found = []
        for file in files:
            with suppress(OSError):  # an editor is just replacing it
                found.append(file.stat().st_mtime)
        return tuple(found)

    def member(self, student_id: str) -> Member | None:
        """The student with that id, if there is one."""
        return next((one for one in self.current().members if one.id == student_id), None)

    def check_member(self, student_id: str) -> None:
        """Raise UsageError for somebody who has left the roster since."""
        if self.member(student_id) is None:
            raise UsageError(f"You are not in the roster of {self.of.name} any more. Ask your teacher.")

    def say(self, message: str, kind: str = "note") -> None:
        """Say something in the server's own log."""
        self.listen(Event("gate", message, "warn" if kind == "warn" else "note"))

    def note(self, student: str, what: str, address: str = "", **more: str | int) -> None:
        """Add a line to the audit log; if that cannot be written, the server says so and goes on."""
        try:
            audit.note(self.of, student, what, address, **more)
        except LabenvError as error:
            self.say(str(error), "warn")

    @contextmanager
    def place(self, visit: Visitor) -> Iterator[None]:
        """Count a visit during the block. Raises UsageError if there is no room for one more."""
        same = sum(other.student == visit.student for other in self.visits)
        if same >= EACH or len(self.visits) >= ENOUGH:
            raise UsageError("Too many sessions are open. Close one, and try again.")
        self.visits.add(visit)
        try:
            yield
        finally:
            self.visits.discard(visit)

    async def tell(self, student: str, text: str) -> None:
        """Say something to a student wherever they are here."""
        await asyncio.gather(*(visit.tell(text) for visit in list(self.visits) if visit.student == student))

    def moved(self, student: str) -> None:
        """A student's machines are up on another server."""
        for mover in self.movers:
            mover(student)

    def seen(self, student: str) -> None:
        """Somebody types."""
        self.typed[student] = time.time()

    async def environment(self, student_id: str) -> Environment | None:
        """The student's environment, if there is one.

        Raises UsageError if it is not one of this class, AwayError if it is on its way to another server, EngineError.
        """
        return await asyncio.to_thread(self.find, student_id)

    def find(self, student_id: str) -> Environment | None:
        """The same, in a thread."""
        try:
            there = self.engine_of(student_id).environments(student_id)
        except EngineError as error:
            raise self.shared.away(student_id, is_there=None) or error from error
        if away := self.shared.away(student_id, is_there=bool(there)):
            raise away
        if there and there[0].belongs.class_id != self.of.id:
            raise UsageError(
                f"The machines of {student_id} on this server do not belong to this class. Ask your teacher."
            )
        return there[0] if there else None

    def spawn(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Begin something that goes on whoever leaves."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
