"""An environment as a graph: the record, from which all drawings and texts are made."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from labenv.dns.exchangers import Answer
from labenv.graph.firewall import Firewall
from labenv.graph.reach import Reach, Result

if TYPE_CHECKING:
    from labenv.mail.trace import Trace

_LOCAL = " (local)"


@dataclass(frozen=True)
class Door:
    """A TCP port of a machine: who listens (nobody: ""), on which addresses, and what each other machine got from it.

    `is_local`: other machines cannot reach it, as it listens on the machine's own loopback alone.
    """

    port: int
    program: str
    addresses: tuple[str, ...] = ()
    results: tuple[tuple[str, Result], ...] = ()
    is_local: bool = False

    def __str__(self) -> str:
        """The port and who listens."""
        return f"{self.port} {self.who}"

    @property
    def who(self) -> str:
        """Who listens, in words."""
        return f"{self.program or 'nobody listens'}{_LOCAL if self.is_local else ''}"

    @property
    def told(self) -> list[tuple[str, bool]]:
        """Who reaches it, in words, each with whether that is so: "open to host, vm3", "closed to vm2 (no answer)"."""
        order = sorted(self.results, key=lambda one: one[1] != "open")
        groups = [
            (result, ", ".join(name for name, _ in group)) for result, group in groupby(order, lambda one: one[1])
        ]
        return [
            (f"open to {names}" if result == "open" else f"closed to {names} ({result})", result == "open")
            for result, names in groups
        ]


@dataclass(frozen=True)
class Node:
    """A machine: `networks` are those that it is on ("": the first one); `down` are services that should run, each with how it does not.

    `relay` is Postfix's relayhost, `relays_to` the machine that this is, if it is one. `firewall` is None if it could not be asked.
    """

    name: str
    fqdn: str
    addresses: tuple[str, ...]
    networks: tuple[str, ...]
    state: str
    doors: tuple[Door, ...] = ()
    down: tuple[tuple[str, str], ...] = ()
    firewall: Firewall | None = None
    relay: str = ""
    relays_to: str = ""

    @property
    def runs(self) -> bool:
        """Whether it does."""
        return self.state == "running"


@dataclass(frozen=True)
class Mx:
    """An MX record of the domain: what has it, the servers that answer it, and the machine that it names, if it is one."""

    preference: int
    name: str
    servers: tuple[str, ...]
    machine: str = ""


@dataclass(frozen=True)
class Graph:
    """All of it. `message` is the last one that was traced, `notes` say what could not be found out, in sentences."""

    student: str
    lab: str
    stage: str
    domain: str
    subnet: str
    nodes: tuple[Node, ...]
    mx: tuple[Mx, ...] = ()
    answers: tuple[tuple[str, Answer], ...] = ()
    reaches: tuple[Reach, ...] = ()
    message: "Trace | None" = None
    notes: tuple[str, ...] = ()

    @property
    def way(self) -> list[str]:
        """The machines that the message came to, in order, to the one where it stopped.

        Each is named once: what a machine says after it has handed the message on, such as that it was taken, is no way back.
        """
        if not self.message:
            return []
        names = [moment.machine for moment in self.message.moments]
        stopped = [end.machine for end in self.message.ends if end.state != "delivered"]
        return list(dict.fromkeys([*names, *stopped[:1]]))

    @property
    def fate(self) -> str:
        """The way of the message, and what became of it; "" if there is none."""
        return f"{' → '.join(self.way)}. It was {self.message.verdict}." if self.message else ""

    @property
    def sources(self) -> list[str]:
        """The machines from which something was measured, in order."""
        there = {reach.start for reach in self.reaches}
        return [node.name for node in self.nodes if node.name in there]

    def between(self) -> Iterator[tuple[str, str, Result, tuple[int, ...]]]:
        """What was measured as arrows: from which machine to which, a result, and the ports that have it."""

        def key(reach: Reach) -> tuple[str, str, str]:
            return reach.start, reach.end, reach.result

        order = {node.name: place for place, node in enumerate(self.nodes)}
        for (start, end, _), group in groupby(
            sorted(self.reaches, key=lambda r: (order[r.start], order[r.end], r.result != "open", r.result, r.port)),
            key,
        ):
            there = list(group)
            yield start, end, there[0].result, tuple(reach.port for reach in there)

    def to_dict(self) -> dict[str, Any]:
        """The graph as `graph --json` prints it."""
        return {
            "student": self.student,
            "lab": self.lab,
            "stage": self.stage,
            "domain": self.domain,
            "network": self.subnet,
            "machines": [_node(node) for node in self.nodes],
            "mx": [asdict(one) for one in self.mx],
            "reach": [{"from": r.start, "to": r.end, "port": r.port, "result": r.result} for r in self.reaches],
            "message": {**self.message.to_dict(), "way": self.way} if self.message else None,
            "notes": list(self.notes),
        }


def _node(node: Node) -> dict[str, Any]:
    firewall = node.firewall
    return {
        "name": node.name,
        "fqdn": node.fqdn,
        "addresses": list(node.addresses),
        "state": node.state,
        "listening": [
            {"port": door.port, "program": door.program, "addresses": list(door.addresses), "local": door.is_local}
            for door in node.doors
            if door.program
        ],
        "down": [{"service": name, "state": how} for name, how in node.down],
        "firewall": _firewall(firewall) if firewall else None,
        "relayhost": {"value": node.relay, "machine": node.relays_to} if node.relay else None,
    }


def _firewall(firewall: Firewall) -> dict[str, Any]:
    rulings = [
        {"accepts": not one.refuses, "words": one.words, "ports": list(one.ports), "late": one.late}
        for one in firewall.rulings
    ]
    return {"words": str(firewall), "rulings": rulings, "rest": firewall.rest, "others": list(firewall.others)}


def told(graph: Graph) -> Iterator[str]:
    """What the drawing shows, a sentence for each machine, and some for the mail."""
    for node in graph.nodes:
        state = "runs" if node.runs else f"is {node.state}"
        up = "; ".join(_on_ports(program, list(doors)) for program, doors in _by_program(node))
        down = "; ".join(f"{name} is {how}" for name, how in node.down)
        yield (
            f"{node.name} ({' and '.join(node.addresses)}) {state}."
            + (f" Services: {up}." if up else "")
            + (f" But {down}." if down else "")
        )
        measured = [
            f"{door.port} is {'; '.join(words for words, _ in door.told)}" for door in node.doors if door.results
        ]
        if measured:
            yield f"Ports of {node.name}, as measured: {'. '.join(measured)}."
        if node.firewall:
            yield f"The firewall of {node.name} {node.firewall}."
        if node.relay:
            yield f"{node.name} hands mail on to {node.relay}{f', which is {node.relays_to}' if node.relays_to else ''}."
    for one in graph.mx:
        yield f"Mail for {graph.domain} goes to {one.name}, says {' and '.join(one.servers)} (MX {one.preference})."
    yield from graph.notes
    if graph.message:
        yield f"The message: {graph.fate}"


def _by_program(node: Node) -> Iterator[tuple[str, Iterable[Door]]]:
    heard = sorted((door for door in node.doors if door.program), key=lambda door: (door.program, door.port))
    yield from groupby(heard, lambda door: door.program)


def _on_ports(program: str, doors: Iterable[Door]) -> str:
    return f"{program} on {' and '.join(str(door.port) + _LOCAL * door.is_local for door in doors)}"
