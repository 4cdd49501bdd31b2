"""Small parts that all of the page uses."""

from collections.abc import Iterator
from contextlib import contextmanager

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from labenv.errors import LabenvError


def words(tag: str, text: str) -> TextElement:
    """An HTML element with a text, which is never taken for markup."""
    return TextElement(tag=tag, text=text)


def button(text: str, press: object, label: str = "") -> ui.button:
    """A plain button; `label` is what a screen reader says, where the text alone is too short."""
    made = ui.button(text, on_click=press).props("flat dense no-caps")  # type: ignore[arg-type]
    return made.props(f'aria-label="{label}"') if label else made


@contextmanager
def told() -> Iterator[None]:
    """Show an error of the block as a sentence, until the student closes it."""
    try:
        yield
    except LabenvError as error:
        ui.notify(str(error), type="warning", multi_line=True, timeout=0, close_button="Close")


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
