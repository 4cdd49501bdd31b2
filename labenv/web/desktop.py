"""The desktop on the page: Thunderbird beside the terminals, in a frame."""

from nicegui import ui

from labenv.environments import desktop as core
from labenv.web import relay
from labenv.web.desk import Desk
from labenv.web.parts import State, button, sure, words

# F6 leaves the desktop, as it leaves a terminal; there all other keys belong to its programs.
_LEAVES = """event => event.target.contentWindow.addEventListener('keydown', key => {
    if (key.key !== 'F6') return;
    key.preventDefault();
    key.stopImmediatePropagation();
    document.getElementById('steps').focus();
}, true)"""


class Desktop:
    """A button that starts the desktop, and the desktop itself, which takes the size of its place."""

    def __init__(self, desk: Desk) -> None:
        """Draw into the element that is open now."""
        self._desk = desk
        with ui.row().classes("bar"):
            button("Open", self._open, "Open the desktop")
            self._configured = ui.checkbox("with both accounts of the sheet set up").props("dense")
            self._own = ui.link("In a window of its own", relay.PATH, new_tab=True)
            button("Stop", self._stop, "Stop the desktop")
            self._state = State()
        self._place = ui.element("div").classes("screen")

    async def load(self) -> None:
        """Show it if it runs."""
        with self._state.during("Looking for the desktop …"):
            runs = await self._desk.ask(core.page) is not None
            self._own.set_visibility(bool(runs and self._desk.screen))
            self._place.clear()
            with self._place:
                if runs and self._desk.screen:
                    self._show(f"{relay.PATH}/#{self._desk.screen}")
                else:
                    words(
                        "p",
                        "Host's desktop has Thunderbird, a root terminal on host and a file manager. "
                        + (
                            "It runs: Open shows it here."
                            if runs
                            else "Its image is built on first use, which takes minutes."
                        ),
                    ).classes("note")

    def _show(self, address: str) -> None:
        self._own.props["href"] = address
        self._own.update()
        frame = ui.element("iframe").props('title="The desktop. F6 leaves it"')
        frame.props["src"] = address
        frame.on("load", js_handler=_LEAVES)

    async def _open(self) -> None:
        with self._state.during("Starting the desktop …") as hear:
            accounts = ["--configured"] if self._configured.value else []
            shown = await self._desk.labenv("desktop", "--no-open", *accounts, hear=hear)
            self._desk.screen = shown["password"]
        await self.load()

    async def _stop(self) -> None:
        if await sure("Stop the desktop? Its accounts and files are kept.", "Stop"):
            with self._state.during("Stopping the desktop …") as hear:
                await self._desk.labenv("desktop", "--stop", hear=hear)
                self._desk.screen = ""
            await self.load()
