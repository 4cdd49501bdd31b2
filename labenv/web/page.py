"""A student's page: the sheet's steps on the left, the terminals and the other tools on the right."""

from collections.abc import Callable
from typing import Any

from nicegui import background_tasks, ui
from nicegui.events import ValueChangeEventArguments

from labenv.sheet import logbook, progress
from labenv.web import reading
from labenv.web.book import Book
from labenv.web.desk import Desk, Sight
from labenv.web.desktop import Desktop
from labenv.web.drills import Drills
from labenv.web.handing_in import HandingIn
from labenv.web.history import History
from labenv.web.network import Network
from labenv.web.parts import colours, words
from labenv.web.saves import Saves
from labenv.web.steps import Steps
from labenv.web.terminals import Terminals

_TERMINALS = "Terminals"
_TOOLS = (_TERMINALS, "Desktop", "Sheet", "Network", "History", "Drills", "Log book", "Saves", "Hand in")


class Page:
    """The page of one student, as one window of a browser shows it."""

    def __init__(self, desk: Desk, more: Callable[[], None] = lambda: None) -> None:
        """Draw it for the browser that asks for it. `more` draws what else belongs into its head."""
        self._desk = desk
        self._drawn = {_TERMINALS}
        self._chosen = _TERMINALS
        ui.page_title(f"{desk.student} · labenv")
        with ui.header(elevated=False).classes("top"):
            self._title = words("h1", "labenv")
            self._state = ui.label().classes("state").props('role="status"')
            ui.space()
            more()
            colours()
        with ui.splitter(value=42, limits=(20, 70)).classes("page") as parts:
            with (
                parts.before,
                ui.element("section").classes("sheet").props('id="steps" tabindex="-1" aria-label="Steps"'),
            ):
                self._steps = Steps(desk)
            with parts.after, ui.element("section").classes("tools").props('aria-label="Tools"'):
                self._draw_tools()
        ui.context.client.on_delete(desk.show(self._show))

    def _draw_tools(self) -> None:
        with (
            ui.tabs(on_change=self._open).props('dense no-caps align="left" aria-label="Tools"').classes("bar") as tabs
        ):
            for name in _TOOLS:
                ui.tab(name)
        with ui.tab_panels(tabs, value=_TERMINALS, animated=False, keep_alive=True).classes("panels"):
            self._panels = {name: ui.tab_panel(name) for name in _TOOLS}
        with self._panels[_TERMINALS].classes("panel-of-terminals"):
            self._terminals = Terminals(self._desk)

    async def _open(self, event: ValueChangeEventArguments[Any]) -> None:
        self._chosen = str(event.value)
        await self._draw(self._chosen)

    async def _draw(self, name: str) -> None:
        """Draw a tool when it is first wanted: what nobody looks at costs nothing. What the lab is, is not known at once."""
        lab = self._desk.sight.lab
        if name in self._drawn or lab is None:
            return
        self._drawn.add(name)
        with self._panels[name]:
            match name:
                case "Desktop":
                    self._panels[name].classes("panel-of-desktop")
                    await Desktop(self._desk).load()
                case "Sheet":
                    reading.draw(lab)
                case "Network":
                    await Network(self._desk).load()
                case "History":
                    await History(self._desk).load()
                case "Drills":
                    await Drills(self._desk).load()
                case "Log book" if logbook.exists(lab):
                    await Book(self._desk).load()
                case "Log book":
                    ui.label("This lab has no log book.")
                case "Saves":
                    await Saves(self._desk).load()
                case "Hand in":
                    HandingIn(self._desk)

    def _show(self, sight: Sight) -> None:
        environment = sight.environment
        self._title.set_text(sight.lab.title if sight.lab else "labenv")
        where = f"{environment.student.domain} · {environment.subnet}" if environment else ""
        counted = progress.counted(progress.sheet(sight.report, sight.lab)) if sight.report and sight.lab else ""
        at = "checking …" if sight.pending else f"checked {sight.at:%H:%M:%S}" if sight.at else ""
        self._state.set_text(" · ".join(part for part in (where, counted, at) if part))
        self._steps.show(sight)
        self._terminals.show(sight)
        if sight.lab and self._chosen not in self._drawn:
            background_tasks.create(self._draw(self._chosen), name=f"draw {self._chosen}")
