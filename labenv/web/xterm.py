"""One shell or log, as one window of a browser shows it in xterm.js."""

import asyncio
import codecs
from contextlib import suppress

from nicegui import background_tasks, ui
from nicegui.events import XtermDataEventArguments, XtermResizeEventArguments

from labenv.gate.held import Held, Viewer
from labenv.web.parts import button, labelled, sure, words

_AT_ONCE = 32 * 1024  # characters that a browser is sent before it has drawn the last
_PATIENCE = 30.0  # seconds for a browser to draw them; a line that drops is back before, or the page is read again
# F6 leaves a terminal, which has the Tab key for itself; the same key leads on in desktop programs. Ctrl+Shift+C copies what is
# selected, as in other terminals: Ctrl+C is for the program there. To paste is the browser's own Ctrl+Shift+V, and its menu.
_KEYS = """event => {
    const copies = event.ctrlKey && event.shiftKey && event.code === 'KeyC';
    if (event.key !== 'F6' && !copies) return true;
    if (event.type === 'keydown') {
        event.preventDefault();
        if (copies) navigator.clipboard?.writeText(this.getSelection());
        else document.getElementById('steps').focus();
    }
    return false;
}"""
_COPY = """() => {
    const terminal = getElement(%d).terminal;
    navigator.clipboard?.writeText(terminal.getSelection());
    terminal.focus();
}"""
# Who does not let a page read what was copied is told the keys.
_PASTE = """async () => {
    const terminal = getElement(%d).terminal;
    try { terminal.paste(await navigator.clipboard.readText()); } catch { emit(); }
    terminal.focus();
}"""
LOOKS = {
    "fontFamily": '"DejaVu Sans Mono", Menlo, Consolas, monospace',
    "fontSize": 14,
    "lineHeight": 1.15,  # below 1.1 a row hides its underscores
    "scrollback": 5000,
    "cursorBlink": False,  # a browser draws all the time for one that blinks
    "screenReaderMode": True,
    "theme": {"background": "#14191d", "foreground": "#e4e8eb"},
}


class Xterm:
    """One shell, as this page shows it."""

    def __init__(self, held: Held) -> None:
        """Draw it into the element that is open now."""
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
        with ui.row().classes("bar-of-terminal"):
            words("span", f"{held.title}, since {held.began.astimezone():%H:%M}").classes("note")
            ui.space()
            copy = button("Copy", None, "Copy what is selected (Ctrl+Shift+C)")
            paste = button("Paste", None, "Paste (Ctrl+Shift+V)")
            button("Close", self._close, f"Close {held.title} · {held.number}")
        self._screen = ui.xterm(LOOKS, on_data=self._type, on_resize=self._resize).classes("xterm-of-machine")
        labelled(self._screen.props('role="application"'), f"Terminal on {held.title}. F6 leaves it")
        copy.on("click", js_handler=_COPY % self._screen.id)
        paste.on("click", self._tell_keys, js_handler=_PASTE % self._screen.id)
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
        await self._client.connected()  # a page that no window shows is removed after a minute, and this task with it
        self._screen.run_terminal_method(":attachCustomKeyEventHandler", _KEYS)
        await self._attach()

    async def _close(self) -> None:
        title = self._held.title
        if title.startswith("log of ") or await sure(f"End this terminal ({title}) and what runs in it?", "End it"):
            await self._held.program.hang_up()

    def _tell_keys(self) -> None:
        ui.notify("Your browser lets no page read what you copied. To paste: Ctrl+Shift+V")

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
