"""What all our pages have of NiceGUI, and how they look."""

from pathlib import Path

import httpx
from fastapi import FastAPI
from nicegui import ui

from labenv.graph import drawing
from labenv.reports.pages import LOOK

_STYLE = Path(__file__).with_name("page.css")
_RECONNECT = 60.0  # seconds in which a page whose line dropped finds everything as it was


def dress(app: FastAPI) -> None:
    """Give an application our style, and NiceGUI below it."""
    ui.add_css("".join(file.read_text(encoding="utf-8") for file in (LOOK, drawing.STYLE, _STYLE)), shared=True)
    ui.run_with(
        app,
        dark=None,
        reconnect_timeout=_RECONNECT,
        tailwind=False,
        show_welcome_message=False,
        title="labenv",
        gzip_middleware_factory=None,  # packing would take longer than all the rest; whoever serves far away has a proxy
    )


async def warm_up(app: FastAPI, path: str = "/") -> None:
    """Have a page made once: what NiceGUI needs for its first one takes longer than the page."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://page") as client:
        await client.get(path)
