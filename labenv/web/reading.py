"""The sheet's own text on the page, as its authors published it."""

import re

from nicegui import ui

from labenv.lab import sheet_text
from labenv.lab.model import Lab
from labenv.web.parts import told, words

_PICTURE = re.compile(r"!\[([^\]]*)\]\([^)]*\)")


def draw(lab: Lab) -> None:
    """Draw the sheet of a lab: its text with whose work it is, else a link."""
    with told():
        sheet = sheet_text.of(lab)
        if sheet is None:
            ui.label("The author of this lab names no sheet. The steps say what there is to do.")
            return
        with ui.element("p").classes("note"):
            ui.link("The sheet where it is published", sheet.link, new_tab=True)
            if text := sheet.text:
                words("span", f". {sheet.author}. Licence: ")
                ui.link(sheet.licence, sheet.licence_link or sheet.link, new_tab=True)
                words("span", ". The text below is as its authors published it; its pictures are left out.")
        if text:
            ui.markdown(_PICTURE.sub(r"*(picture: \1)*", text), extras=["fenced-code-blocks", "tables"]).classes(
                "sheet-text"
            )
