"""The teacher's look into a student's terminals: each asks first, shows what the student sees there, and takes no keys."""

import asyncio
import codecs

from nicegui import background_tasks, ui

from labenv.gate.held import Held
from labenv.gate.state import Gate
from labenv.web.class_.calls import WAITS, Calls, Look
from labenv.web.parts import button, told, words
from labenv.web.xterm import LOOKS

_AGAIN = 2.0  # seconds between two looks for terminals that were opened or closed
_PATIENCE = 30.0


class Looking:
    """The list of what a student has open, and the one terminal that is looked into."""

    def __init__(self, gate: Gate, calls: Calls, student: str) -> None:
        """Draw into the element that is open now."""
        self._gate = gate
        self._calls = calls
        self._student = student
        self._there: list[Held] | None = None
        self._look: Look | None = None
        self._list = ui.element("div").classes("bar")
        self._state = ui.label().classes("note").props('role="status"')
        with ui.row().classes("bar") as self._ending:
            words("span", "Both of you see that you look. You cannot type.").classes("note")
            button("End the look", self._end)
        self._ending.set_visibility(False)
        self._panel = ui.element("div").classes("looked-into")
        ui.timer(_AGAIN, self._list_again)
        # Who cannot be seen to look does not look: a line that drops ends it.
        ui.context.client.on_disconnect(self._end)
        ui.context.client.on_delete(self._end)

    def _list_again(self) -> None:
        there = self._gate.holder.of(self._student)
        if there == self._there:
            return
        self._there = there
        self._list.clear()
        with self._list:
            if not there:
                ui.label(f"{self._student} has nothing open in a terminal.")
            for held in there:
                since = f"{held.began.astimezone(self._gate.of.zone):%H:%M}"
                with ui.row():
                    words("span", f"{held.title} · {held.number}, since {since}")
                    button("Ask to look", lambda held=held: self._ask(held), f"Ask to look into {held.title}")

    async def _ask(self, held: Held) -> None:
        self._end()
        with told():
            self._look = look = self._calls.ask(held)
            self._state.set_text(f"{self._student} is asked. Waiting for an answer …")
            background_tasks.create(self._follow(look), name=f"look {held.number}")

    async def _follow(self, look: Look) -> None:
        try:
            async with asyncio.timeout(WAITS):
                await look.answered.wait()
            if look.agreed:
                await self._show(look)
                self._say(look, f"The look into {look.held.title} is over.")
            else:
                self._say(look, f"{self._student} did not agree.")
        except TimeoutError:
            self._say(look, f"{self._student} did not answer.")
        finally:
            self._calls.end(look, "the teacher ended it" if look.agreed else "nobody answered")

    async def _show(self, look: Look) -> None:
        """Draw what is said there, in the size that the student's terminal has, until the look is over."""
        self._say(look, f"You look into {look.held.title} of {self._student}.")
        self._ending.set_visibility(True)
        self._panel.clear()
        with self._panel:
            screen = ui.xterm(LOOKS | {"disableStdin": True})
            screen.props(f'role="img" aria-label="Terminal of {self._student}: {look.held.title}"')
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        size = (0, 0)
        try:
            while data := await look.observer.read():
                if look.held.program.size != size:
                    size = look.held.program.size
                    screen.run_terminal_method("resize", size[1], size[0])
                await screen.run_method("write", decoder.decode(data), timeout=_PATIENCE)
        except TimeoutError:
            pass  # a browser that draws nothing for so long sees nothing more
        finally:
            self._ending.set_visibility(False)

    def _say(self, look: Look, sentence: str) -> None:
        if look is self._look:
            self._state.set_text(sentence)

    def _end(self) -> None:
        if self._look:
            self._calls.end(self._look, "the teacher ended it")
