"""Small parts that all of the page uses."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from labenv.errors import LabenvError


def words(tag: str, text: str) -> TextElement:
    """An HTML element with a text, which is never taken for markup."""
    return TextElement(tag=tag, text=text)


def button(text: str, press: object, label: str = "") -> ui.button:
    """A plain button; `label` is what a screen reader says, where the text alone is too short."""
    made = ui.button(text, on_click=press).props("flat dense no-caps")  # type: ignore[arg-type]
    if label:
        made.props["aria-label"] = label
    return made


Drawn = TypeVar("Drawn", bound=ui.element)


def labelled(element: Drawn, label: str) -> Drawn:
    """The element with what a screen reader says of it, which may have any characters."""
    element.props["aria-label"] = label
    return element


def colours() -> None:
    """Draw the choice between light, dark, and as the browser has it."""
    dark = ui.dark_mode(None)
    with ui.element("div").props('role="group" aria-label="Colours"'):
        for word, value in (("Light", False), ("Dark", True), ("Auto", None)):
            button(word, lambda value=value: dark.set_value(value))


@contextmanager
def told() -> Iterator[None]:
    """Show an error of the block as a sentence, until the student closes it. Nobody is told whose page was closed meanwhile."""
    client = None
    with suppress(RuntimeError):
        client = ui.context.client
    try:
        yield
    except LabenvError as error:
        if client and not client.is_deleted:
            with client:
                ui.notify(str(error), type="warning", multi_line=True, timeout=0, close_button="Close")
    except RuntimeError:  # nothing can be drawn on a page that is gone
        if client and not client.is_deleted:
            raise


async def sure(question: str, yes: str) -> bool:
    """Whether the student says yes to a question; Escape is no."""
    with ui.dialog() as dialog, ui.card():
        ui.label(question)
        with ui.row():
            button(yes, lambda: dialog.submit(True))
            button("Cancel", lambda: dialog.submit(False))
    try:
        return bool(await dialog)
    finally:
        dialog.delete()


class State:
    """A line that says what goes on, to a screen reader too. `done` is what it says once that has gone well."""

    def __init__(self) -> None:
        """Draw it into the element that is open now."""
        self._line = words("span", "").classes("note").props('role="status"')
        self.done = ""

    def say(self, sentence: str) -> None:
        """Say that, until something else is to be said."""
        self._line.set_text(sentence)

    @contextmanager
    def during(self, sentence: str) -> Iterator[Callable[[str], None]]:
        """Say that while the block runs, and show its error as `told` does; yields what says how far it is."""
        self.done = ""
        with told():
            self.say(sentence)
            try:
                yield lambda line: self.say(f"{sentence} {line}")
            finally:
                self.say(self.done)
