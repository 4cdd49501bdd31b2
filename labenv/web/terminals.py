"""The terminals on the page: root shells in the machines, which go on when the page is closed or its line drops."""

import asyncio
import codecs
from collections.abc import Awaitable, Callable
from contextlib import suppress

from nicegui import background_tasks, ui
from nicegui.events import XtermDataEventArguments, XtermResizeEventArguments

from labenv.gate.held import Held, Viewer
from labenv.web.desk import Desk, Sight
from labenv.web.parts import button, told

_SIZE = (24, 80)
_AT_ONCE = 32 * 1024  # characters that a browser is sent before it has drawn the last
_PATIENCE = 30.0  # seconds for a browser to draw them; a line that drops is back before, or the page is read again
# F6 leaves a terminal, which has the Tab key for itself; the same key leads on in desktop programs.
_KEYS = """event => {
    if (event.key !== 'F6') return true;
    if (event.type === 'keydown') { event.preventDefault(); document.getElementById('steps').focus(); }
    return false;
}"""
_LOOKS = {
    "fontFamily": '"DejaVu Sans Mono", Menlo, Consolas, monospace',
    "fontSize": 14,
    "scrollback": 5000,
    "cursorBlink": True,
    "screenReaderMode": True,
    "theme": {"background": "#14191d", "foreground": "#e4e8eb"},
}


class Terminals:
    """A tab for each shell that runs, and a button for each machine, which opens another."""

    def __init__(self, desk: Desk) -> None:
        """Draw into the element that is open now, with the shells that still run."""
        self._desk = desk
        self._open: dict[int, _Terminal] = {}
        self._names: list[str] = []
        with ui.row().classes("bar-of-terminals"):
            self._tabs = ui.tabs().props('dense no-caps align="left" aria-label="Terminals"')
            self._buttons = ui.row().classes("machines-of-terminals")
        self._panels = ui.tab_panels(self._tabs, keep_alive=True).classes("terminals")
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
            self._open[held.number] = _Terminal(self._desk, held)
        self._tabs.set_value(f"t{held.number}")
        background_tasks.create(self._close_when_over(held, tab), name=f"terminal {held.number}")

    async def _close_when_over(self, held: Held, tab: ui.tab) -> None:
        await held.over.wait()
        terminal = self._open.pop(held.number)
        terminal.leave()
        if terminal.is_there:
            terminal.panel.delete()
            tab.delete()
            left = next(reversed(self._open), None)
            self._tabs.set_value(f"t{left}" if left else None)


class _Terminal:
    """One shell, as this page shows it."""

    def __init__(self, desk: Desk, held: Held) -> None:
        self._held = held
        self._typed: asyncio.Queue[bytes] = asyncio.Queue()
        self._size: tuple[int, int] = (0, 0)
        self._text = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self.panel = ui.context.slot.parent
        self._client = ui.context.client
        self._taken = ui.element("div").classes("taken")
        with self._taken:
            ui.label("This terminal is shown in another window.")
            button("Show it here", self._attach)
        self._taken.set_visibility(False)
        self._screen = ui.xterm(_LOOKS, on_data=self._type, on_resize=self._resize).classes("xterm-of-machine")
        self._screen.props(f'role="application" aria-label="Terminal on {held.title}. F6 leaves it"')
        ui.element("q-resize-observer").on("resize", self._fit)
        self._tasks = [
            background_tasks.create(work, name=f"terminal {held.number}")
            for work in (self._pass_on(), self._write(), self._begin())
        ]
        self._viewer: Viewer | None = None
        self._client.on_delete(self.leave)

    @property
    def is_there(self) -> bool:
        """Whether the page is still there."""
        return not self._client.is_deleted

    async def _begin(self) -> None:
        await self._client.connected(timeout=60)
        self._screen.run_terminal_method(":attachCustomKeyEventHandler", _KEYS)
        await self._attach()

    async def _attach(self) -> None:
        self._taken.set_visibility(False)
        self._viewer = viewer = Viewer(self._take)
        self._screen.run_terminal_method("reset")
        self._fit()
        self._screen.run_terminal_method("focus")
        await self._held.show(viewer)
        self._tasks.append(background_tasks.create(self._wait_replaced(viewer), name="terminal"))

    async def _wait_replaced(self, viewer: Viewer) -> None:
        await viewer.replaced.wait()
        if self.is_there and self._viewer is viewer:
            self._taken.set_visibility(True)

    def leave(self) -> None:
        """Show the shell no more."""
        self._room.set()
        if self._viewer:
            self._held.leave(self._viewer)
        for task in self._tasks:
            task.cancel()

    def _fit(self) -> None:
        self._screen.fit()

    def _type(self, event: XtermDataEventArguments) -> None:
        if self._viewer and not self._viewer.replaced.is_set():
            self._typed.put_nowait(event.data.encode())

    async def _pass_on(self) -> None:
        while True:
            data = await self._typed.get()
            await self._held.program.write(data)

    async def _resize(self, event: XtermResizeEventArguments) -> None:
        size = (event.rows, event.cols)
        if size != self._size and self._viewer and not self._viewer.replaced.is_set():
            self._size = size
            await self._held.program.resize(*size)

    async def _take(self, data: bytes) -> None:
        """What the shell says: kept until the browser has drawn what came before; then the shell waits."""
        self._text += self._decoder.decode(data)
        self._news.set()
        if len(self._text) > _AT_ONCE:
            self._room.clear()
        await self._room.wait()

    async def _write(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            text, self._text = self._text[:_AT_ONCE], self._text[_AT_ONCE:]
            if self._text:
                self._news.set()
            with suppress(TimeoutError):
                await self._screen.run_method("write", text, timeout=_PATIENCE)
            if len(self._text) <= _AT_ONCE:
                self._room.set()
