"""The log book on the page: the student's own file, in an editor."""

from nicegui import ui

from labenv.errors import UsageError
from labenv.sheet import logbook
from labenv.web.desk import Desk
from labenv.web.parts import button, sure, told, words


class Book:
    """The editor. What was written elsewhere meanwhile is never overwritten without a question."""

    def __init__(self, desk: Desk) -> None:
        """Draw into the element that is open now."""
        self._desk = desk
        self._read = ""
        with ui.row().classes("bar"):
            button("Save", self._save)
            button("Read it again", self.load)
            self._state = words("span", "").classes("note").props('role="status"')
        self._editor = ui.codemirror("", language="Markdown", line_wrapping=True, on_change=self._changed).classes(
            "editor"
        )
        self._editor.props('aria-label="Log book"')

    async def load(self) -> None:
        """Read the book, and forget what was not saved if the student agrees."""
        if self._editor.value != self._read and not await sure("What you wrote is not saved. Forget it?", "Forget it"):
            return
        with told():
            self._read = await self._desk.ask(logbook.read)
            self._editor.set_value(self._read)
            self._state.set_text("")

    async def _save(self) -> None:
        text = self._editor.value or ""
        with told():
            there = await self._desk.ask(logbook.read)
            if there != self._read and not await sure(
                "The log book was changed elsewhere since you opened it here. Replace that?", "Replace it"
            ):
                raise UsageError("The log book was not saved. To see it as it is: Read it again.")
            await self._desk.ask(logbook.write, text)
            self._read = text
            self._state.set_text("Saved on host.")

    def _changed(self) -> None:
        self._state.set_text("Not saved." if self._editor.value != self._read else "")
