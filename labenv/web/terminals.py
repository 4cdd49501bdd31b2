"""The terminals on the page: root shells in the machines, which go on when the page is closed or its line drops."""

from collections.abc import Awaitable, Callable

from nicegui import background_tasks, ui

from labenv.errors import EngineError
from labenv.gate.held import Held
from labenv.web.desk import Desk, Sight
from labenv.web.parts import button, told
from labenv.web.xterm import Xterm

_SIZE = (24, 80)


class Terminals:
    """A tab for each shell that runs, and a button for each machine, which opens another."""

    def __init__(self, desk: Desk) -> None:
        """Draw into the element that is open now, with the shells that still run."""
        self._desk = desk
        self._open: dict[int, Xterm] = {}
        self._names: list[str] = []
        with ui.row().classes("bar-of-terminals"):
            self._tabs = ui.tabs().props(
                'dense no-caps align="left" outside-arrows mobile-arrows aria-label="Terminals"'
            )
            self._buttons = ui.row().classes("machines-of-terminals")
        self._panels = ui.tab_panels(self._tabs, animated=False, keep_alive=True).classes("terminals")
        for held in desk.holder.of(desk.student):
            self._add(held)

    def show(self, sight: Sight) -> None:
        """Offer the machines that there are now."""
        names = [machine.name for machine in sight.environment.machines] if sight.environment else []
        if names == self._names:
            return
        self._names = names
        self._buttons.clear()
        with self._buttons:
            for name in names:
                with ui.button_group().props("flat"):
                    button(
                        f"+ {name}", lambda name=name: self._start(self._desk.shell, name), f"New terminal on {name}"
                    )
                    button("log", lambda name=name: self._start(self._desk.log, name), f"Log of {name}")

    async def _start(self, begin: Callable[[str, tuple[int, int]], Awaitable[Held]], machine: str) -> None:
        with told():
            self._add(await begin(machine, _SIZE))

    def _add(self, held: Held) -> None:
        with self._tabs:
            tab = ui.tab(f"t{held.number}", label=f"{held.title} · {held.number}")
        with self._panels, ui.tab_panel(tab).classes("panel-of-terminal"):
            self._open[held.number] = Xterm(held)
        self._tabs.set_value(f"t{held.number}")
        background_tasks.create(self._close_when_over(held, tab), name=f"terminal {held.number}")

    async def _close_when_over(self, held: Held, tab: ui.tab) -> None:
        await held.over.wait()
        terminal = self._open.pop(held.number)
        terminal.leave()
        if not terminal.is_there:
            return
        shown = self._tabs.value == f"t{held.number}"
        terminal.panel.delete()
        tab.delete()
        if shown:
            left = next(reversed(self._open), None)
            self._tabs.set_value(f"t{left}" if left else None)
        with self._panels, told():
            if why := await self._desk.ended(held):
                raise EngineError(why)
