"""At the foot of a student's page: what the teacher says, who looks over the student's shoulder, and what was lost with a server."""

from nicegui import background_tasks, ui

from labenv.classroom.serving import nudges
from labenv.errors import LabenvError
from labenv.gate.state import Gate
from labenv.web.class_.calls import Calls, Look
from labenv.web.class_.frame import STYLE
from labenv.web.parts import button, told, words


class Called:
    """The bar. It is there only while it has something to say."""

    def __init__(self, gate: Gate, calls: Calls, student: str) -> None:
        """Draw it on the page that is drawn now."""
        self._gate = gate
        self._calls = calls
        self._student = student
        ui.add_css(STYLE)
        self._bar = ui.element("section").classes("called").props('aria-label="Messages"')
        with self._bar:
            self._looks = ui.element("div").props('role="alert"')
            self._lost = ui.element("div").props('role="alert"')
            self._nudges = ui.element("ul").props('aria-live="assertive"')
        self._bar.set_visibility(False)
        ui.context.client.on_delete(calls.show(student, self._show))

    def _show(self) -> None:
        background_tasks.create_lazy(self._draw(), name=f"called {id(self)}")

    async def _draw(self) -> None:
        waiting = await self._calls.unread(self._student)
        lost = await self._calls.lost(self._student)
        if self._bar.is_deleted:
            return
        looks = self._calls.looks(self._student)
        self._bar.set_visibility(bool(looks or waiting or lost))
        self._looks.clear()
        with self._looks:
            for look in looks:
                self._draw_look(look)
        self._lost.clear()
        if lost:
            with self._lost, ui.element("p"):
                words("span", lost)
                button("Close", self._read_loss, "Close what is said of the server")
        self._nudges.clear()
        with self._nudges:
            for nudge in waiting:
                with ui.element("li"):
                    words("span", nudges.said(nudge, self._gate.of))
                    button("Close", lambda key=nudge.key: self._read(key), "Close this message")

    def _draw_look(self, look: Look) -> None:
        title = look.held.title
        with ui.element("p"):
            if look.agreed:
                words("b", f"Your teacher looks into {title} now.")
                button("End it", lambda: self._calls.end(look, "the student ended it"))
            else:
                words("b", f"Your teacher asks to look into {title}.")
                words("span", " Your teacher sees what you see there, and cannot type. You can end it at any time.")
                button("Agree", lambda: self._calls.agree(look))
                button("No", lambda: self._calls.end(look, "the student said no"))

    async def _read_loss(self) -> None:
        with told():
            await self._calls.read_loss(self._student)

    async def _read(self, key: str) -> None:
        with told():
            try:
                await self._calls.read(self._student, key)
            except LabenvError:
                self._show()
                raise
