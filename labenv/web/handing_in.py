"""Handing in from the page: what is packed, and the archive as a download."""

from nicegui import ui

from labenv.classroom.handins.handin import PARTS
from labenv.web.desk import Desk
from labenv.web.parts import State, button, words


class HandingIn:
    """What is handed in, what is missing, and the archive."""

    def __init__(self, desk: Desk) -> None:
        """Draw into the element that is open now."""
        self._desk = desk
        with ui.row().classes("bar"):
            button("Pack and download", self._pack)
            self._state = State()
        words("p", "The archive has these parts. Hand it in where your teacher says.")
        with ui.element("ul").classes("hints"):
            for what in PARTS.values():
                words("li", what)
        self._missing = ui.element("div").classes("panel")

    async def _pack(self) -> None:
        with self._state.during("Checking and packing …") as hear:
            packed = await self._desk.submit(hear)
            ui.download.content(packed.archive, packed.name)
            self._state.done = packed.said
            self._missing.clear()
            with self._missing:
                words("h2", "What is missing" if packed.missing else "Nothing is missing").classes("heading")
                with ui.element("ul").classes("hints"):
                    for sentence in packed.missing:
                        words("li", sentence)
