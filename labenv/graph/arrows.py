"""The graph as what mermaid and dot both draw: boxes with lines, and arrows between them."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from labenv.graph.record import Graph, Node

# "closed" is what was measured and does not get through, "mail" is where mail goes, "message" the way of the last message.
Kind = Literal["open", "closed", "mail", "message"]


@dataclass(frozen=True)
class Box:
    """A machine, or what is none (`is_machine`): its id in the text, its lines, and whether it is as it should be."""

    key: str
    lines: tuple[str, ...]
    is_machine: bool = True
    is_well: bool = True


@dataclass(frozen=True)
class Arrow:
    """From a box to another, by their ids."""

    start: str
    end: str
    words: str
    kind: Kind


def boxes_and_arrows(graph: Graph) -> tuple[list[Box], list[Arrow]]:
    """All boxes of a graph, and all arrows between them."""
    keys = {node.name: f"m{place}" for place, node in enumerate(graph.nodes)}
    boxes = [Box(keys[node.name], tuple(_lines(node)), is_well=node.runs and not node.down) for node in graph.nodes]
    arrows = [
        Arrow(keys[start], keys[end], _ports(result, ports), "open" if result == "open" else "closed")
        for start, end, result, ports in graph.between()
    ]
    if graph.mx:
        boxes.append(Box("domain", (graph.domain,), is_machine=False))
    for place, one in enumerate(graph.mx):
        end = keys.get(one.machine, f"x{place}")
        if end not in keys.values():
            boxes.append(Box(end, (one.name, "no machine of this lab"), is_machine=False))
        arrows.append(Arrow("domain", end, f"MX {one.preference}, says {' and '.join(one.servers)}", "mail"))
    for place, node in enumerate(node for node in graph.nodes if node.relay):
        end = keys.get(node.relays_to, f"r{place}")
        if end not in keys.values():
            boxes.append(Box(end, (node.relay, "no machine of this lab"), is_machine=False))
        arrows.append(Arrow(keys[node.name], end, f"relayhost {node.relay}", "mail"))
    if graph.message:
        said = "the last message", graph.message.verdict
        boxes.append(Box("message", said, is_machine=False, is_well=graph.message.delivered))
        way = ["message", *(keys[name] for name in graph.way if name in keys)]
        arrows += [Arrow(*pair, f"message {number}", "message") for number, pair in enumerate(pairwise(way), 1)]
    return boxes, arrows


def _lines(node: Node) -> Iterator[str]:
    yield node.name
    yield ", ".join(node.addresses)
    if not node.runs:
        yield f"✗ {node.state}"
    yield from (str(door) for door in node.doors if door.program)
    yield from (f"✗ {name} {how}" for name, how in node.down)
    if node.firewall:
        yield f"firewall {node.firewall}"


def _ports(result: str, ports: tuple[int, ...]) -> str:
    said = ", ".join(map(str, ports))
    return said if result == "open" else f"✗ {said} {result}"
