"""Who of a federated class reaches whom by mail, on the teacher's page."""

from collections.abc import Mapping
from typing import Any

import jinja2
from nicegui import ui

from labenv.classroom.federation.matrix import STATES, WORDS
from labenv.classroom.federation.page import SIGNS
from labenv.web.class_.works import Works
from labenv.web.parts import button, told


class MatrixPart:
    """The map of the last look, and a button for another."""

    def __init__(self, works: Works) -> None:
        """Draw into the element that is open now."""
        self._works = works
        with ui.row().classes("bar"):
            button("Look who reaches whom", self._look)
            ui.label("Each student's own machine sends a real message to all others. They are removed again.").classes(
                "note"
            )
        self._map = ui.html("", sanitize=False).classes("panel map-panel")  # the template escapes
        self.show()

    def show(self) -> None:
        """Show what came of the last look."""
        if last := self._works.done.get("matrix"):
            self._map.set_content(drawn(last.document))

    def _look(self) -> None:
        with told():
            self._works.start("Who reaches whom", "matrix")


def drawn(document: Mapping[str, Any]) -> str:
    """What `class matrix --json` prints, as HTML."""
    pairs = {(pair["from"], pair["to"]): pair for pair in document["pairs"]}
    return _TEMPLATES.get_template("matrix.html.j2").render(
        students=[each["student"] for each in document["students"]],
        pairs=pairs,
        counts=document["summary"],
        states=STATES,
        words=WORDS,
        signs=SIGNS,
    )


_TEMPLATES = jinja2.Environment(loader=jinja2.PackageLoader("labenv.web.class_", "."), autoescape=True)
