"""The log book on the page: the student's own file, in an editor, with its headings to go to and what is not written yet."""

import re
from collections.abc import Iterator

from nicegui import ui
from nicegui.events import ValueChangeEventArguments

from labenv.engine import Engine
from labenv.environment import Environment
from labenv.errors import UsageError
from labenv.lab import labs
from labenv.sheet import logbook
from labenv.web.desk import Desk
from labenv.web.parts import State, button, sure, told, words

_HEADING = re.compile(r"#{1,6}\s+(\S.*)")
_FENCE = re.compile(r"\s*(```|~~~)")


class Book:
    """The editor. What was written elsewhere meanwhile is never overwritten without a question."""

    def __init__(self, desk: Desk) -> None:
        """Draw into the element that is open now."""
        self._desk = desk
        self._read = self._blank = ""
        with ui.row().classes("bar"):
            button("Save", self._save)
            button("Read it again", self.load)
            self._headings = ui.select({}, label="Go to", on_change=self._go).props("dense options-dense")
            self._headings.classes("choice")
            self._state = State()
        self._editor = ui.codemirror("", language="Markdown", line_wrapping=True, on_change=self._changed).classes(
            "editor"
        )
        self._editor.props('aria-label="Log book"')
        with ui.element("details"):
            self._left = words("summary", "").classes("note")
            self._missing = ui.element("ul").classes("hints")

    async def load(self) -> None:
        """Read the book, and forget what was not saved if the student agrees."""
        if self._editor.value != self._read and not await sure("What you wrote is not saved. Forget it?", "Forget it"):
            return
        with told():
            self._read, self._blank = await self._desk.ask(_books)
            self._editor.set_value(self._read)
            self._state.say("")
            self._outline()

    async def _save(self) -> None:
        text = self._editor.value or ""
        with told():
            there = await self._desk.ask(logbook.read)
            if there != self._read and not await sure(
                "The log book was changed elsewhere since you opened it here. Replace that?", "Replace it"
            ):
                raise UsageError("The log book was not saved. To see it as it is: Read it again.")
            await self._desk.change(["logbook"], logbook.write, text)
            self._read = text
            self._state.say("Saved on host.")
            self._outline()

    def _outline(self) -> None:
        """List the headings, and what is not written yet."""
        self._headings.set_options(dict(headings(self._read)), value=None)
        lacking = [section.missing for section in logbook.sections(self._read, self._blank) if section.missing]
        self._left.set_text(f"Not written yet: {len(lacking)}" if lacking else "Every part is written.")
        self._missing.clear()
        with self._missing:
            for sentence in lacking:
                words("li", f"{sentence}.")

    def _go(self, event: ValueChangeEventArguments[int | None]) -> None:
        if event.value:
            self._editor.reveal_line(event.value)
            self._headings.set_value(None)  # so that the same one can be chosen again

    def _changed(self) -> None:
        self._state.say("Not saved." if self._editor.value != self._read else "")


def _books(engine: Engine, environment: Environment) -> tuple[str, str]:
    """The student's book, and the blank one."""
    return logbook.read(engine, environment), logbook.blank(labs.of(environment), environment.student)


def headings(text: str) -> Iterator[tuple[int, str]]:
    """The lines that are headings, by their numbers from 1."""
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced and (found := _HEADING.match(line)):
            yield number, found[1].strip()[:80]
