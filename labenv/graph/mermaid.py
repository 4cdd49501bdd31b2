"""The graph in the language of Mermaid, which GitHub, GitLab and editors draw (https://mermaid.js.org/syntax/flowchart.html)."""

import re
from collections.abc import Iterator, Sequence
from textwrap import wrap

from labenv.graph.arrows import Box, Kind, boxes_and_arrows
from labenv.graph.record import Graph

_LINES: dict[Kind, str] = {"open": "-->", "closed": "-.->", "mail": "==>", "message": "==>"}
_COLOURS: dict[Kind, str] = {"closed": "#b3261e", "message": "#1f5fa8"}
_WIDE = 28  # characters of a line: Mermaid itself breaks longer ones
# Anything else could be Mermaid's, HTML's or Markdown's.
_OTHER = re.compile(r"[^\w .,:/()-]", re.ASCII)


def written(graph: Graph) -> str:
    """The graph as a flowchart."""
    boxes, arrows = boxes_and_arrows(graph)
    lines = ["flowchart LR", *map(_box, boxes)]
    lines += [f'  {arrow.start} {_LINES[arrow.kind]}|"{_text(arrow.words)}"| {arrow.end}' for arrow in arrows]
    for kind, colour in _COLOURS.items():
        if places := [str(place) for place, arrow in enumerate(arrows) if arrow.kind == kind]:
            lines.append(f"  linkStyle {','.join(places)} stroke:{colour}")
    if bad := [box.key for box in boxes if not box.is_well]:
        lines += ["  classDef bad stroke:#b3261e,stroke-width:2px", f"  class {','.join(bad)} bad"]
    return "\n".join(lines) + "\n"


def _box(box: Box) -> str:
    said = "<br>".join(map(_text, _folded(box.lines)))
    return f'  {box.key}["{said}"]' if box.is_machine else f'  {box.key}(["{said}"])'


def _folded(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        yield from wrap(line, _WIDE, break_on_hyphens=False)


def _text(text: str) -> str:
    """Text of any kind inside quotes: what could mean something stands there by its number."""
    return _OTHER.sub(lambda found: f"#{ord(found[0])};", text)
