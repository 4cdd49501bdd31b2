"""The graph as a drawing: SVG of our own, for the page and as a file that needs nothing else."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from textwrap import wrap

import jinja2

from labenv.graph.record import Graph, Node
from labenv.reports.pages import LOOK

STYLE = Path(__file__).with_name("network.css")

_WIDE, _GAP, _LINE, _BUS, _LANE = 216, 20, 16, 30, 26
_HEAD = 28  # from the top of a box to its first line
_SIGN = 18  # from one sign to the next
_ASIDE = 8  # right of the last one: the names above lean that way
_LABEL = 150  # what a line with signs has for its words
_LONG = 29  # characters that the narrowest box has room for
_LETTER = 7  # the width of one, about
_NAMES = 46  # above the signs, for the names of those from whom was measured
_MOST = 14  # lines of a box about its ports; the same about its firewall
_TITLE = 34
_PACE = 1.2  # seconds from a machine to the next
_SIGNS = {"open": "open", "refused": "refused", "rejected": "lost", "no answer": "lost", "no route": "lost"}
_LEGEND = (("open", "open, as measured"), ("refused", "refused"), ("lost", "no answer, or rejected"))
_PAPER = """
.drawing { font-family: system-ui, "DejaVu Sans", sans-serif; }
.drawing .paper { fill: var(--paper); stroke: none; }
"""
_COLOURS = re.compile(r"--(\w+): light-dark\((#\w+), (#\w+)\);")
_TEMPLATES = jinja2.Environment(loader=jinja2.PackageLoader("labenv.graph", "."), autoescape=True, trim_blocks=True)


@dataclass(frozen=True)
class _Line:
    """A line of a box: how far below its top, what it says, its look, and signs, each with its place and what it stands for."""

    y: int
    text: str
    look: str = ""
    signs: tuple[tuple[str, int, str], ...] = ()


@dataclass(frozen=True)
class _Box:
    """A machine in the drawing: its left edge, its middle, its height, its lines, and which names stand over which signs, how far below its top."""

    name: str
    left: int
    x: int
    tall: int
    lines: tuple[_Line, ...]
    state: str
    columns: tuple[tuple[int, str], ...]
    head: int


@dataclass(frozen=True)
class _Lane:
    """An arrow below the boxes, with its words at a place."""

    path: str
    tip: str
    x: int
    y: int
    text: str


def drawn(graph: Graph, turn: int = 0) -> str:
    """The graph as SVG for the page, which has the style. What a machine says of itself is text there, never markup.

    The message moves again in each `turn`.
    """
    return _made(graph, turn, "")


def as_file(graph: Graph) -> str:
    """The graph as an SVG file: with its colours, for a light and a dark screen, with a title and what its signs mean."""
    return _made(graph, 0, _style())


def _made(graph: Graph, turn: int, style: str) -> str:
    sources = graph.sources
    wide = max(_WIDE, _LABEL + _SIGN * len(sources))
    boxes = [_box(graph, node, wide, place, sources) for place, node in enumerate(graph.nodes)]
    names = list(dict.fromkeys(name for node in graph.nodes for name in node.networks))
    above = _TITLE if style else 0
    buses = {name: above + _BUS * (place + 1) for place, name in enumerate(names)}
    top = above + _BUS * (len(names) + 1)
    at = {node.name: box for node, box in zip(graph.nodes, boxes, strict=True)}
    points = [at[name].x for name in graph.way if name in at]
    bottom = top + max((box.tall for box in boxes), default=0)
    width = max(boxes[-1].left + wide + 20 if boxes else 0, 500 if style else 0)
    lanes = list(_lanes(graph, at, top, bottom, width))
    caption = _caption(graph, width) if style else []
    foot = bottom + _LANE * len(lanes) + 30
    return _TEMPLATES.get_template("network.svg.j2").render(
        width=width,
        height=foot + _LINE * len(caption) + 30 if style else foot - 14,
        top=top,
        wide=wide,
        foot=foot,
        style=style,
        title=f"{graph.domain}: {graph.lab} at {graph.stage}",
        label=f"The network of {graph.domain}." + ("" if style else " The same stands below in words."),
        buses={name or graph.subnet: y for name, y in buses.items()},
        nodes=[(box, [buses[n] for n in node.networks]) for node, box in zip(graph.nodes, boxes, strict=True)],
        lanes=lanes,
        path=_path(points, top),
        tip=_tip(points[-1], top, down=True) if points else "",
        seconds=max(len(points) - 1, 1) * _PACE,
        turn=turn,
        caption=caption,
        legend=_LEGEND if sources else (),
    )


def _box(graph: Graph, node: Node, wide: int, place: int, sources: Sequence[str]) -> _Box:
    left = 20 + (wide + _GAP) * place
    end = next((end for end in graph.message.ends if end.machine == node.name), None) if graph.message else None
    arrived = end is not None and end.state == "delivered"
    others = [name for name in sources if name != node.name] if any(door.results for door in node.doors) else []
    at = {name: left + wide - _ASIDE - _SIGN * (len(others) - place) for place, name in enumerate(others)}
    lines: list[_Line] = []
    y = _HEAD

    def add(text: str, look: str = "", signs: tuple[tuple[str, int, str], ...] = (), most: int = 1) -> None:
        nonlocal y
        room = (wide - 22) // _LETTER if not signs else (_LABEL - 10) // _LETTER
        for part in _folded(text, room, most):
            y += _LINE
            lines.append(_Line(y - 6, part, look, signs))

    for address in node.addresses:
        add(address, "soft")
    if not node.runs:
        add(f"✗ {node.state}", "bad")
    if others:
        y = max(y, _HEAD + _NAMES - _LINE)
    head = y - 2
    shown = node.doors[:_MOST]
    for door in shown:
        marks = tuple((_SIGNS[r], at[start], f"from {start}: {r}") for start, r in door.results)
        add(str(door), "" if door.program and not door.is_local else "soft", marks)
    if len(node.doors) > len(shown):
        add(f"and {len(node.doors) - len(shown)} more", "soft")
    for name, how in node.down:
        add(f"✗ {name} {how}", "bad")
    if node.firewall:
        y += 6
        add(f"firewall {node.firewall}", "soft", most=_MOST)
    if end:
        y += 6
        add(f"{'✓' if arrived else '✗'} message {end.state}", "good" if arrived else "bad")
    columns = tuple((x, _short(name, 8)) for name, x in at.items())
    state = "up" if node.runs else "down"
    if end:
        state += " arrived" if arrived else " stopped"
    return _Box(_short(node.name, _LONG - 6), left, left + wide // 2, y + 6, tuple(lines), state, columns, head)


def _lanes(graph: Graph, at: dict[str, _Box], top: int, bottom: int, width: int) -> Iterator[_Lane]:
    """Where mail goes, as arrows from box to box: relayhosts, and the MX records from the servers that answer them."""
    ways = [(node.name, node.relays_to, f"relayhost {node.relay}") for node in graph.nodes if node.relay]
    ways += [
        (one.servers[0], one.machine, f"MX {one.preference} {one.name}, says {', '.join(one.servers)}")
        for one in graph.mx
    ]
    for place, (start, end, text) in enumerate(ways):
        y, aside = bottom + _LANE * (place + 1), 14 * (place - len(ways) // 2)
        x = at[start].x + aside
        begin = f"M {x} {top + at[start].tall} V {y}"
        if end not in ("", start):
            there, x2 = top + at[end].tall, at[end].x + aside
            yield _Lane(
                f"{begin} H {x2} V {there + 8}",
                _tip(x2, there, down=False),
                min(x, x2) + 8,
                y - 5,
                _short(text, (width - min(x, x2) - 28) // _LETTER),
            )
        else:
            to = text if end else f"{text}, no machine of this lab"
            yield _Lane(
                f"{begin} h 8", f"M {x + 16} {y} l -8 -4 v 8 z", x + 22, y + 4, _short(to, (width - x - 42) // _LETTER)
            )


def _caption(graph: Graph, width: int) -> list[str]:
    said = [f"The last message: {graph.fate}"] if graph.message else []
    return [line for text in (*said, *graph.notes) for line in _folded(text, (width - 40) // _LETTER, 4)]


def _folded(text: str, room: int, most: int) -> list[str]:
    """The text in lines that are no longer than the room, and no more than `most`."""
    if most == 1:
        return [_short(text, room)]
    lines = wrap(text, room, subsequent_indent="  ", break_on_hyphens=False) or [""]
    return lines if len(lines) <= most else [*lines[: most - 1], "  …"]


def _short(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: room - 1]}…"


def _path(points: Sequence[int], y: int) -> str:
    """A way from each machine to the next, in arcs above them; a point, if there is only one."""
    if not points:
        return ""
    arcs = [f"Q {(x + x2) / 2} {y - 60} {x2} {y}" for x, x2 in pairwise(points)]
    return " ".join([f"M {points[0]} {y}", *(arcs or [f"l 0.1 {0}"])])


def _tip(x: int, y: int, *, down: bool) -> str:
    """The head of an arrow that ends there."""
    return f"M {x} {y} l -5 -9 h 10 z" if down else f"M {x} {y + 1} l -4 8 h 8 z"


@cache
def _style() -> str:
    """The style with the colours of all our pages put in: programs that show files do not know variables."""
    colours = _COLOURS.findall(LOOK.read_text(encoding="utf-8"))
    rules = re.sub(r"/\*.*?\*/", "", STYLE.read_text(encoding="utf-8"), flags=re.DOTALL).strip() + _PAPER
    by_day = by_night = rules
    for name, day, night in colours:
        by_day, by_night = by_day.replace(f"var(--{name})", day), by_night.replace(f"var(--{name})", night)
    return f"\n{by_day}@media (prefers-color-scheme: dark) {{\n{by_night}}}\n"
