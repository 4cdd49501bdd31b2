"""Who reaches whom as one HTML page: a heat map, and what stops all mail from or to a student."""

from pathlib import Path

from labenv.classroom.federation.matrix import STATES, WORDS, Matrix, State
from labenv.reports import pages
from labenv.text import clean

_TEMPLATES = Path(__file__).parent / "templates"
MAP = _TEMPLATES / "map.css"  # the map's own style, also in the page
SIGNS: dict[State, str] = {"delivered": "✓", "accepted": "a", "refused": "✗", "unfound": "?", "unsent": "-"}


def html(matrix: Matrix, again: int = 0) -> str:
    """The page, self-contained. With `again`, a browser loads it again after that many seconds."""
    page = pages.templates(_TEMPLATES).get_template("matrix.html.j2")
    return clean(page.render(matrix=matrix, states=STATES, words=WORDS, signs=SIGNS, again=again))
