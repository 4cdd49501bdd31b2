"""The drawing of the network on the page, and the trace of a message, which moves along it to where it stopped."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from nicegui import background_tasks, ui

from labenv.engine import Engine
from labenv.environment import Environment
from labenv.errors import LabenvError
from labenv.graph import drawing, record
from labenv.graph.look import look
from labenv.graph.record import Graph
from labenv.mail import trace as traces
from labenv.web.desk import Desk, Sight
from labenv.web.parts import State, button, told, words

if TYPE_CHECKING:
    from labenv.mail.trace import Trace


class Network:
    """The drawing, what it shows in words, and the trace below it."""

    def __init__(self, desk: Desk) -> None:
        """Draw into the element that is open now."""
        self._desk = desk
        self._graph: Graph | None = None
        self._trace: Trace | None = None
        self._turn = 0
        self._told = bool(desk.sight.pending), desk.sight.at
        self._looks = asyncio.Lock()
        with ui.row().classes("bar"):
            button("Trace the latest message", self._follow)
            self._id = ui.input("or a message id").props("dense")
            self._id.on("keydown.enter", self._follow)
            self._state = State()
        self._drawing = ui.html("", sanitize=False).classes("drawing")  # the template escapes
        self._verdict = ui.element("div").classes("panel").props('aria-live="polite"')
        with ui.element("details").classes("in-words"):
            words("summary", "The drawing in words").classes("note")
            self._words = ui.element("ul").classes("hints")
        self._moments = ui.element("div").classes("panel")

        ui.context.client.on_delete(desk.show(self._seen))

    async def load(self) -> None:
        """Draw it as it is now."""
        with told():
            await self._look()

    def _seen(self, sight: Sight) -> None:
        """Draw it again when a check begins, as something has changed, and when it has ended."""
        if (now := (bool(sight.pending), sight.at)) != self._told:
            self._told = now
            background_tasks.create(self._look_again(), name="network", context=self._drawing)

    async def _look_again(self) -> None:
        with suppress(LabenvError):  # the steps say so
            await self._look()

    async def _look(self) -> None:
        async with self._looks:
            before = self._graph
            self._graph = await self._desk.ask(_looked)
            if before != self._graph:
                self._draw()

    async def _follow(self) -> None:
        with self._state.during("Reading the logs …"):
            self._trace = await self._desk.ask(_traced, self._id.value or "latest")
            self._turn += 1
            self._draw()
            self._tell(self._trace)

    def _draw(self) -> None:
        if self._graph:
            shown = replace(self._graph, message=self._trace)
            self._drawing.set_content(drawing.drawn(shown, self._turn))
            self._words.clear()
            with self._words:
                for sentence in record.told(shown):
                    words("li", sentence)

    def _tell(self, found: "Trace") -> None:
        good = found.delivered
        self._verdict.clear()
        with self._verdict, ui.element("section").classes(f"next {'pass' if good else 'fail'}"):
            words("b", "✓ " if good else "✗ ").props('aria-hidden="true"')
            words("span", found.verdict)
        self._moments.clear()
        with self._moments:
            with ui.element("ol").classes("moments"):
                for moment in found.moments:
                    with ui.element("li"):
                        words("span", f"{moment.time:%H:%M:%S} {moment.machine} ").classes("note")
                        words("span", moment.words)
                        with ui.element("details"):
                            words("summary", "log").classes("note")
                            words("pre", "\n".join(moment.lines))
            for note in found.notes:
                ui.label(note).classes("note")


def _looked(engine: Engine, environment: Environment) -> Graph:
    return look(engine, environment, probe=False, latest=False)


def _traced(engine: Engine, environment: Environment, wanted: str) -> "Trace":
    return traces.trace(environment, engine, wanted)
