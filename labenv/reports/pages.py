"""HTML pages of labenv: self-contained, and with one style sheet."""

from pathlib import Path

import jinja2

_TEMPLATES = Path(__file__).parent / "templates"


def templates(*folders: Path) -> jinja2.Environment:
    """The templates in these folders, and below them those that all pages share. In `.html.j2` every value is escaped."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, _TEMPLATES]),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
