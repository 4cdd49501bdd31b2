"""What goes from the teacher to the students' pages: sentences, and the wish to look into a terminal."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from labenv.classroom.serving import losses, nudges
from labenv.classroom.serving.nudges import Nudge
from labenv.errors import UsageError
from labenv.gate.held import Held, Observer
from labenv.gate.state import Gate
from labenv.web.class_.bar import Bar

WAITS = 120.0  # seconds for an answer


@dataclass(eq=False)
class Look:
    """The teacher's look over a shoulder: wished for, then begun if the student agrees, then over."""

    held: Held
    observer: Observer = field(default_factory=Observer)
    agreed: bool = False
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_over(self) -> bool:
        """Whether the student said no, or somebody ended it."""
        return self.observer.is_over


Seer = Callable[[], None]


class Calls:
    """The sentences and looks of all students, and the pages that show them."""

    def __init__(self, gate: Gate) -> None:
        """There is none yet."""
        self._gate = gate
        self._seers: dict[str, set[Seer]] = {}
        self._looks: list[Look] = []
        gate.movers.add(self._tell)

    # The student's pages

    def show(self, student: str, seer: Seer) -> Callable[[], None]:
        """Tell `seer` when there is something new for a student; returns a function that ends this.

        A look ends with the student's last page: nobody is looked at who cannot see that.
        """
        seers = self._seers.setdefault(student, set())
        seers.add(seer)
        seer()

        def leave() -> None:
            seers.discard(seer)
            if not seers:
                for look in self.looks(student):
                    self.end(look, "the page was closed")

        return leave

    def reaches(self, student: str) -> bool:
        """Whether a student has a page open, on which to answer."""
        return bool(self._seers.get(student))

    def looks(self, student: str) -> list[Look]:
        """The looks that the student is asked for, and those that go on."""
        return [look for look in self._looks if look.held.student == student]

    async def lost(self, student: str) -> str:
        """What a student lost with a server, in sentences, and has not read yet; "" for nothing."""
        return await asyncio.to_thread(losses.unread, self._gate.of, student)

    async def read_loss(self, student: str) -> None:
        """The student has read it. Raises UsageError."""
        await asyncio.to_thread(losses.read, self._gate.of, student)
        self._tell(student)

    async def unread(self, student: str) -> list[Nudge]:
        """The sentences that a student has not read yet."""
        return await asyncio.to_thread(nudges.unread, self._gate.of, student)

    async def read(self, student: str, key: str) -> None:
        """The student has read a sentence. Raises UsageError."""
        await asyncio.to_thread(nudges.read, self._gate.of, student, [key])
        self._tell(student)

    def agree(self, look: Look) -> None:
        """The student agrees: the teacher sees the terminal from now on."""
        if look in self._looks and not look.agreed:
            look.agreed = True
            look.held.observe(look.observer)
            look.answered.set()
            self._said(look, "look agreed", "Your teacher looks in here now.")

    # The teacher's

    async def nudge(self, students: Collection[str], text: str) -> None:
        """Send a sentence to students: it waits for those who are not there. Raises UsageError."""
        of = self._gate.current()
        text = nudges.tidy(text)
        await asyncio.to_thread(nudges.send, of, students, text)
        for student in students:
            self._gate.note(student, "nudge", line=text)
            self._tell(student)
        there = [each for each in self._gate.visits if each.student in students and not isinstance(each, Bar)]
        await asyncio.gather(*(visit.tell(f"Your teacher says: {text}") for visit in there))

    def ask(self, held: Held) -> Look:
        """Ask a student to let the teacher look into a terminal. Raises UsageError if the student has no page to answer on."""
        if not self.reaches(held.student):
            raise UsageError(
                f"{held.student} has no page open, and can only agree there. Send a nudge: it waits until the page is open."
            )
        if any(look.held is held for look in self._looks):
            raise UsageError(f"{held.student} is asked already, or {held.title} is looked into. Wait a moment.")
        look = Look(held)
        self._looks.append(look)
        self._said(look, "look asked", "Your teacher asks to look in here. Answer on your page.")
        return look

    def end(self, look: Look, why: str) -> None:
        """No look any more: the student or the teacher ended it, or nobody answered."""
        if look in self._looks:
            self._looks.remove(look)
            look.held.forget(look.observer)
            look.answered.set()
            what = "look ended" if look.agreed else "look refused"
            self._said(look, what, "Nobody looks in here now.", why=why)

    def _said(self, look: Look, what: str, sentence: str, **more: str) -> None:
        """Write it down, and tell the student: on the pages, and in the terminal."""
        held = look.held
        self._gate.note(held.student, what, line=held.title, **more)
        self._tell(held.student)
        self._gate.spawn(held.tell(f"\r\n*** {sentence}\r\n".encode()))

    def _tell(self, student: str) -> None:
        for seer in list(self._seers.get(student, ())):
            seer()
