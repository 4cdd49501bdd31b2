"""A student's page as the teacher sees it: the steps, the network, the history, and nothing that changes anything."""

from typing import Any

from nicegui import ui
from nicegui.events import ValueChangeEventArguments

from labenv.sheet import progress
from labenv.web.class_ import frame
from labenv.web.class_.house import House
from labenv.web.class_.looking import Looking
from labenv.web.class_.nudging import nudge
from labenv.web.desk import Sight
from labenv.web.history import History
from labenv.web.network import Network
from labenv.web.parts import button
from labenv.web.steps import Steps

_LOOK, _NETWORK, _HISTORY = "Terminals", "Network", "History"


class BeheldPage:
    """The page of one student, for the teacher. Its desk refuses whatever would change something."""

    def __init__(self, house: House, student: str) -> None:
        """Draw it for the browser that asks for it. Raises UsageError for somebody who is not in the roster."""
        self._desk = house.read_only(student)
        self._calls = house.teaching.calls
        self._drawn = {_LOOK}
        with frame.top(f"{student}, read-only") as self._state:
            ui.link("Back to the class", "/")
            button("Nudge", self._nudge, f"Send a nudge to {student}")
        with ui.splitter(value=42, limits=(20, 70)).classes("page") as parts:
            with (
                parts.before,
                ui.element("section").classes("sheet").props('id="steps" tabindex="-1" aria-label="Steps"'),
            ):
                self._steps = Steps(self._desk)
            with parts.after, ui.element("section").classes("tools").props('aria-label="Tools"'):
                names = (_LOOK, _NETWORK, _HISTORY)
                with (
                    ui.tabs(on_change=self._open)
                    .props('dense no-caps align="left" aria-label="Tools"')
                    .classes("bar") as tabs
                ):
                    for name in names:
                        ui.tab(name)
                with ui.tab_panels(tabs, value=_LOOK, keep_alive=True).classes("panels"):
                    self._panels = {name: ui.tab_panel(name) for name in names}
                with self._panels[_LOOK]:
                    Looking(house.gate, self._calls, student)
        ui.context.client.on_delete(self._desk.show(self._show))

    async def _open(self, event: ValueChangeEventArguments[Any]) -> None:
        """Draw a tool when it is first wanted."""
        name = str(event.value)
        if name in self._drawn or self._desk.sight.lab is None:
            return
        self._drawn.add(name)
        with self._panels[name]:
            if name == _NETWORK:
                await Network(self._desk).load()
            elif name == _HISTORY:
                await History(self._desk).load()

    def _show(self, sight: Sight) -> None:
        counted = progress.counted(progress.sheet(sight.report, sight.lab)) if sight.report and sight.lab else ""
        at = f"checked {sight.at:%H:%M:%S}" if sight.at else ""
        self._state.set_text(" · ".join(part for part in (sight.lab.title if sight.lab else "", counted, at) if part))
        self._steps.show(sight)

    async def _nudge(self) -> None:
        await nudge(self._calls, {self._desk.student: ""}, self._desk.student)
