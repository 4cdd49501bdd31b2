"""The frame of the teacher's pages."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nicegui import ui

from labenv.classroom.federation.page import MAP
from labenv.web.class_.bar import sign_out
from labenv.web.parts import colours, words

STYLE = "".join(file.read_text(encoding="utf-8") for file in (Path(__file__).with_name("class.css"), MAP))


@contextmanager
def top(title: str) -> Iterator[ui.label]:
    """The line at the top of a page, with the state, which is yielded, and the colours; what the block draws stands between them."""
    ui.add_css(STYLE)
    ui.page_title(f"{title} · labenv")
    with ui.header(elevated=False).classes("top"):
        words("h1", title)
        state = ui.label().classes("state").props('role="status"')
        ui.space()
        yield state
        sign_out()
        colours()
