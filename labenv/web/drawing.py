"""The network as a drawing, and the same facts in words: machines, addresses, services, the way of the message that was traced."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

import jinja2

from labenv.environment import Environment, Machine
from labenv.web.services import Service

if TYPE_CHECKING:
    from labenv.mail.trace import End, Trace

Services = Mapping[str, Sequence[Service]]

_WIDE, _TOP, _LINE, _BUS = 180, 34, 16, 30
_SHOWN = 7  # services of a machine
_LONG = 26  # characters that a machine's box has room for
_PACE = 1.2  # seconds from a machine to the next
_TEMPLATES = jinja2.Environment(loader=jinja2.PackageLoader("labenv.web", "."), autoescape=True, trim_blocks=True)


@dataclass(frozen=True)
class _Node:
    """A machine in the drawing: the middle of its box, its height, its lines with their looks, and the networks it hangs on."""

    name: str
    x: int
    tall: int
    lines: tuple[tuple[str, str], ...]
    state: str
    buses: tuple[str, ...]


def drawn(environment: Environment, services: Services, trace: "Trace | None" = None, turn: int = 0) -> str:
    """The network as SVG. Whatever a machine says of itself is text there, never markup. The message moves again in each `turn`."""
    ends = {end.machine: end for end in trace.ends} if trace else {}
    nodes = [
        _node(environment, machine, _WIDE * place + _WIDE // 2 + 10, services.get(machine.name, ()), ends)
        for place, machine in enumerate(environment.machines)
    ]
    names = list(dict.fromkeys(name for node in nodes for name in node.buses))
    buses = {name: _BUS * (place + 1) for place, name in enumerate(names)}
    top = _BUS * (len(names) + 1)
    at = {machine.name: node.x for machine, node in zip(environment.machines, nodes, strict=True)}
    points = [at[name] for name in way(trace) if name in at] if trace else []
    return _TEMPLATES.get_template("network.svg.j2").render(
        width=_WIDE * len(nodes) + 20,
        height=top + max((node.tall for node in nodes), default=0) + 10,
        top=top,
        label=f"The network of {environment.student.domain}. The same stands below in words.",
        buses={name or str(environment.subnet): y for name, y in buses.items()},
        nodes=[(node, [buses[name] for name in node.buses]) for node in nodes],
        path=_path(points, top),
        seconds=max(len(points) - 1, 1) * _PACE,
        turn=turn,
    )


def way(trace: "Trace") -> list[str]:
    """The machines that a message came to, in order, to the one where it stopped."""
    names = [name for name, _ in groupby(moment.machine for moment in trace.moments)]
    stopped = [end.machine for end in trace.ends if end.state != "delivered"]
    return [*names, *(name for name in stopped[:1] if names[-1:] != [name])]


def told(environment: Environment, services: Services, trace: "Trace | None") -> Iterator[str]:
    """What the drawing shows, a sentence for each machine, and one for the message."""
    for machine in environment.machines:
        where = " and ".join([machine.address, *machine.addresses])
        there = services.get(machine.name, ())
        up = "; ".join(
            f"{service.name} on {' and '.join(map(str, service.ports))}" for service in there if not service.down
        )
        down = "; ".join(f"{service.name} is {service.down}" for service in there if service.down)
        state = "runs" if machine.state == "running" else f"is {machine.state}"
        yield (
            f"{machine.name} ({where}) {state}."
            + (f" Services: {up}." if up else "")
            + (f" But {down}." if down else "")
        )
    if trace:
        yield f"The message: {' → '.join(way(trace))}. It was {trace.verdict}."


def _node(
    environment: Environment, machine: Machine, x: int, services: Sequence[Service], ends: Mapping[str, "End"]
) -> _Node:
    runs = machine.state == "running"
    lines = [(address, "") for address in (machine.address, *machine.addresses)]
    lines += [] if runs else [(f"✗ {machine.state}", "bad")]
    lines += [
        (f"{'✗ ' if service.down else ''}{service}", "bad" if service.down else "") for service in services[:_SHOWN]
    ]
    if end := ends.get(machine.name):
        arrived = end.state == "delivered"
        lines.append((f"{'✓' if arrived else '✗'} message {end.state}", "good" if arrived else "bad"))
    buses = tuple(dict.fromkeys((machine.network, *_further(environment, machine))))
    state = "up" if runs else "down"
    if end:
        state += " arrived" if end.state == "delivered" else " stopped"
    short = tuple((_short(text), look) for text, look in lines)
    return _Node(_short(machine.name), x, _TOP + _LINE * len(lines), short, state, buses)


def _short(text: str) -> str:
    return text if len(text) <= _LONG else f"{text[: _LONG - 1]}…"


def _further(environment: Environment, machine: Machine) -> list[str]:
    """The networks of a machine beside that of its address, by the topology's own names."""
    prefix = f"{environment.network_name}."
    return sorted(name.removeprefix(prefix) for name in machine.attached_to if name.startswith(prefix))


def _path(points: Sequence[int], y: int) -> str:
    """A way from each machine to the next, in arcs above them; a point, if there is only one."""
    if not points:
        return ""
    arcs = [f"Q {(x + x2) / 2} {y - 60} {x2} {y}" for x, x2 in pairwise(points)]
    return " ".join([f"M {points[0]} {y}", *(arcs or [f"l 0.1 {0}"])])
