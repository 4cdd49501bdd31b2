"""Handing in from the page: what is packed, and the archive as a download."""

import tempfile
from pathlib import Path

from nicegui import ui

from labenv.classroom.handins.handin import PARTS
from labenv.web.desk import Desk
from labenv.web.parts import button, told, words


class HandingIn:
    """What is handed in, what is missing, and the archive."""

    def __init__(self, desk: Desk) -> None:
        """Draw into the element that is open now."""
        self._desk = desk
        with ui.row().classes("bar"):
            button("Pack and download", self._pack)
            self._state = words("span", "").classes("note").props('role="status"')
        ui.label(f"The archive has {', '.join(PARTS.values())}. Hand it in where your teacher says.")
        self._list = ui.element("ul").classes("panel")

    async def _pack(self) -> None:
        self._state.set_text("Checking and packing …")
        done = ""
        with told(), tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"{self._desk.student}.tar.gz"
            packed = await self._desk.labenv("submit", str(file))
            ui.download.content(file.read_bytes(), file.name)
            done = f"Packed as {file.name}."
            self._list.clear()
            with self._list:
                for sentence in packed["missing"]:
                    words("li", sentence)
        self._state.set_text(done)
