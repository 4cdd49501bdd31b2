"""HTML pages of labenv: self-contained, and with one style sheet, which the page in the browser has, too."""

from functools import cache
from pathlib import Path

import jinja2

_TEMPLATES = Path(__file__).parent / "templates"
LOOK = _TEMPLATES / "look.css"  # what the page and all reports share


def templates(*folders: Path) -> jinja2.Environment:
    """The templates in these folders, and below them those that all reports share. In `.html.j2` every value is escaped."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, _TEMPLATES]),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def sentence(text: str) -> str:
    """A page that says one thing, such as why somebody gets no other."""
    return _sentence().render(text=text)


@cache
def _sentence() -> jinja2.Template:
    return templates().get_template("sentence.html.j2")
