"""The graph in the language of Graphviz (https://graphviz.org/doc/info/lang.html)."""

from textwrap import wrap

from labenv.graph.arrows import Arrow, Box, Kind, boxes_and_arrows
from labenv.graph.record import Graph

_LOOKS: dict[Kind, str] = {
    "open": 'color="#0b6e5f"',
    "closed": 'color="#b3261e", fontcolor="#b3261e", style=dashed',
    "mail": 'color="#1f5fa8", penwidth=2',
    "message": 'color="#8a5800", fontcolor="#8a5800", penwidth=2, style=bold',
}
_WIDE = 44  # characters of a line
_HEAD = """\
  rankdir=LR; nodesep=0.6; ranksep=1.4; bgcolor=white;
  node [shape=box, style=rounded, fontname="DejaVu Sans", fontsize=11];
  edge [fontname="DejaVu Sans", fontsize=10];"""


def written(graph: Graph) -> str:
    """The graph as a digraph."""
    boxes, arrows = boxes_and_arrows(graph)
    lines = [f'digraph "{_text(graph.domain)}" {{', _HEAD, *map(_box, boxes), *map(_arrow, arrows), "}"]
    return "\n".join(lines) + "\n"


def _box(box: Box) -> str:
    # \l ends a line that is aligned to the left.
    said = "".join(f"{_text(part)}\\l" for line in box.lines for part in wrap(line, _WIDE, break_on_hyphens=False))
    looks = ("" if box.is_machine else ", shape=oval") + ("" if box.is_well else ', color="#b3261e"')
    return f'  {box.key} [label="{said}"{looks}];'


def _arrow(arrow: Arrow) -> str:
    return f'  {arrow.start} -> {arrow.end} [label="{_text(arrow.words)}", {_LOOKS[arrow.kind]}];'


def _text(text: str) -> str:
    """Text of any kind inside quotes: a label has escapes of its own, and entities of HTML."""
    return text.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')
