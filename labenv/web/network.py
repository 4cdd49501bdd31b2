"""The drawing of the network: machines, addresses, what listens there, and the way of the message that was traced last."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

import jinja2
from nicegui import ui

from labenv.engine import Engine
from labenv.environment import Environment, Machine
from labenv.errors import EngineError, LabenvError
from labenv.mail import trace as traces
from labenv.web.desk import Desk, Sight
from labenv.web.parts import button, told, words

if TYPE_CHECKING:
    from labenv.mail.trace import Trace

_LOOK = "ss -Hltnp"
_LISTENS = re.compile(r"^LISTEN\s+\d+\s+\d+\s+(\S+):(\d+)\s+\S+(?:\s+users:\(\(\"([^\"]{1,40})\")?", re.MULTILINE)
_WIDE, _TOP, _LINE, _BUS = 180, 34, 16, 30
_SHOWN = 6  # programs of a machine

Ports = Mapping[str, Sequence[str]]


class Network:
    """The drawing, and the trace below it."""

    def __init__(self, desk: Desk) -> None:
        """Draw into the element that is open now."""
        self._desk = desk
        self._environment: Environment | None = None
        self._ports: Ports = {}
        self._trace: Trace | None = None
        with ui.row().classes("bar"):
            button("Trace the latest message", self._follow)
            self._id = ui.input("or a message id").props("dense")
            self._id.on("keydown.enter", self._follow)
        self._drawing = ui.html("", sanitize=False).classes("drawing")  # the template escapes
        self._told = ui.element("div").classes("panel").props('aria-live="polite"')

    async def load(self) -> None:
        """Draw it as it is now."""
        with told():
            self._environment, self._ports = await self._desk.ask(_looked)
            self._draw()

    async def show(self, sight: Sight) -> None:
        """Draw it again, as something has changed."""
        with suppress(LabenvError):  # the steps say so
            if sight.report:
                self._environment, self._ports = await self._desk.ask(_looked)
                self._draw()

    async def _follow(self) -> None:
        with told():
            self._trace = await self._desk.ask(_traced, self._id.value or "latest")
            self._draw()
            self._told.clear()
            with self._told:
                self._tell(self._trace)

    def _draw(self) -> None:
        if self._environment:
            self._drawing.set_content(drawn(self._environment, self._ports, self._trace))

    def _tell(self, found: "Trace") -> None:
        good = all(end.state == "delivered" for end in found.ends)
        with ui.element("section").classes(f"next {'pass' if good else 'fail'}"):
            words("span", found.verdict)
        with ui.element("ol").classes("moments"):
            for moment in found.moments:
                with ui.element("li"):
                    words("span", f"{moment.time:%H:%M:%S} {moment.machine} ").classes("note")
                    words("span", moment.words)
                    with ui.element("details"):
                        words("summary", "log").classes("note")
                        words("pre", "\n".join(moment.lines))
        for note in found.notes:
            ui.label(note).classes("note")


def _looked(engine: Engine, environment: Environment) -> tuple[Environment, Ports]:
    return environment, {
        machine.name: _listening(engine, environment, machine.name) for machine in environment.machines
    }


def _listening(engine: Engine, environment: Environment, name: str) -> list[str]:
    """What listens on a machine's addresses: each program with its TCP ports."""
    machine = environment.machine(name)
    if machine.state != "running":
        return []
    try:
        with engine.shell(machine) as channel:
            told_ = channel.run(_LOOK, timeout=10).text
    except EngineError:
        return []
    there: dict[str, set[int]] = {}
    for address, port, program in _LISTENS.findall(told_):
        if not address.startswith(("127.", "[::1]")) and "%lo" not in address:
            there.setdefault(program or "?", set()).add(int(port))
    return [f"{program} {', '.join(map(str, sorted(ports)))}" for program, ports in sorted(there.items())]


def _traced(engine: Engine, environment: Environment, wanted: str) -> "Trace":
    return traces.trace(environment, engine, wanted)


@dataclass(frozen=True)
class _Node:
    """A machine in the drawing: the middle of its box, its height, what it says, and the networks it hangs on."""

    name: str
    x: int
    tall: int
    lines: tuple[str, ...]
    state: str
    buses: tuple[str, ...]


def drawn(environment: Environment, ports: Ports, trace: "Trace | None" = None) -> str:
    """The network as SVG. Whatever a machine says of itself is text there, never markup."""
    nodes = [
        _node(environment, machine, _WIDE * place + _WIDE // 2 + 10, ports.get(machine.name, ()))
        for place, machine in enumerate(environment.machines)
    ]
    names = list(dict.fromkeys(name for node in nodes for name in node.buses))
    buses = {name: _BUS * (place + 1) for place, name in enumerate(names)}
    top = _BUS * (len(names) + 1)
    at = {node.name: node.x for node in nodes}
    way = [name for name, _ in groupby(moment.machine for moment in trace.moments)] if trace else []
    points = [at[name] for name in way if name in at]
    ends = trace.ends if trace else ()
    return _TEMPLATES.get_template("network.svg.j2").render(
        width=_WIDE * len(nodes) + 20,
        height=top + max((node.tall for node in nodes), default=0) + 10,
        top=top,
        label=f"The network: {', '.join(f'{m.name} {m.address}' for m in environment.machines)}",
        buses={name or str(environment.subnet): y for name, y in buses.items()},
        nodes=[(node, [buses[name] for name in node.buses]) for node in nodes],
        path=_path(points, top + 8),
        seconds=len(points) * 1.2,
        stopped={end.machine for end in ends if end.state != "delivered"},
        arrived={end.machine for end in ends if end.state == "delivered"},
    )


def _node(environment: Environment, machine: Machine, x: int, listening: Sequence[str]) -> _Node:
    runs = machine.state == "running"
    lines = (machine.address, *machine.addresses, *(() if runs else (machine.state,)), *listening[:_SHOWN])
    buses = tuple(dict.fromkeys((machine.network, *_further(environment, machine))))
    return _Node(machine.name, x, _TOP + _LINE * len(lines), lines, "up" if runs else "down", buses)


def _further(environment: Environment, machine: Machine) -> list[str]:
    """The networks of a machine beside that of its address, by the topology's own names."""
    prefix = f"{environment.network_name}."
    return sorted(name.removeprefix(prefix) for name in machine.attached_to if name.startswith(prefix))


def _path(points: Sequence[int], y: int) -> str:
    """A way from each machine to the next, in arcs above them."""
    if len(points) < 2:
        return ""
    arcs = [f"Q {(x + x2) / 2} {y - 60} {x2} {y}" for x, x2 in pairwise(points)]
    return " ".join([f"M {points[0]} {y}", *arcs])


_TEMPLATES = jinja2.Environment(loader=jinja2.PackageLoader("labenv.web", "."), autoescape=True, trim_blocks=True)
