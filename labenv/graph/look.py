"""Asking an environment's machines for what the graph shows."""

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labenv.dns import exchangers
from labenv.engine import Engine, lent
from labenv.environment import Environment, Machine
from labenv.environments.plan import topology_of
from labenv.errors import EngineError, UsageError
from labenv.graph import firewall, services
from labenv.graph.firewall import Firewall
from labenv.graph.reach import Reach, measure
from labenv.graph.record import Door, Graph, Mx, Node
from labenv.graph.services import Service
from labenv.lab import labs
from labenv.mail import relayhost, trace
from labenv.parallel import Together
from labenv.text import many

if TYPE_CHECKING:
    from labenv.mail.trace import Trace

_SECONDS = 20.0
_MOST = 24  # ports of a machine that are looked at: a program may listen on all that there are
_CUT = "=== labenv: next"


@dataclass(frozen=True)
class _Told:
    """What a machine says of itself; nothing if it does not run."""

    running: tuple[Service, ...] = ()
    firewall: Firewall | None = None
    relay: str = ""
    answer: exchangers.Answer | None = None
    note: str = ""


def look(engine: Engine, environment: Environment, *, probe: bool = True, latest: bool = True) -> Graph:
    """The environment as a graph, with what is measured if it is to `probe`. Raises EngineError, and UsageError for a lab that is gone.

    With `latest`, the latest message is traced, if the lab is about mail.
    """
    machines = (*environment.machines, *lent.of(engine, environment))
    expected = _expected(environment)
    with Together(len(machines) + 1) as pool:
        message = pool.submit(_latest, engine, environment) if latest else None
        there = dict(
            zip((m.name for m in machines), pool.map(lambda m: _ask(engine, environment, m), machines), strict=True)
        )
        ports = {
            machine.name: _ports(machine, there[machine.name], expected.get(machine.name, ())) for machine in machines
        }
        measured = list(measure(engine, ports, machines)) if probe else []
    reaches = tuple(found for found in measured if isinstance(found, Reach))
    notes = [told.note for told in there.values() if told.note]
    notes += [found for found in measured if isinstance(found, str)]
    notes += [
        f"{name} has {many(len(_listening(told)), 'port')} open; {_MOST} are shown."
        for name, told in there.items()
        if len(_listening(told)) > _MOST
    ]
    answers = tuple((name, told.answer) for name, told in there.items() if told.answer)
    mx = tuple(_mx(answers, machines))
    if not mx and "dns" in labs.of(environment).kits:
        notes.append(_no_mx(environment.student.domain, answers))
    nodes = tuple(
        _node(environment, machine, there[machine.name], ports[machine.name], reaches, mx) for machine in machines
    )
    return Graph(
        environment.student.id,
        environment.lab,
        environment.stage,
        environment.student.domain,
        str(environment.subnet),
        nodes,
        mx,
        answers,
        reaches,
        message.result() if message else None,
        tuple(notes),
    )


def _latest(engine: Engine, environment: Environment) -> "Trace | None":
    """The trace of the latest message; None if there is none, or the lab is not about mail."""
    with suppress(UsageError, EngineError):
        return trace.trace(environment, engine)
    return None


def _expected(environment: Environment) -> Mapping[str, set[int]]:
    """The TCP ports on which the lab's machines answer, and those that they publish, by machine. Raises UsageError."""
    found = {
        node.name: {port.number for port in node.ports if port.protocol == "tcp"}
        for node in topology_of(environment).nodes
    }
    for answer in labs.of(environment).answers:
        if answer.port:
            found.setdefault(answer.machine, set()).add(answer.port)
    return found


def _ask(engine: Engine, environment: Environment, machine: Machine) -> _Told:
    if machine.state != "running":
        return _Told()
    asks = (services.ASK, firewall.ASK, relayhost.ASK, exchangers.ask(environment.student.domain, machine.address))
    try:
        with engine.shell(machine) as shell:
            said = shell.run(f"\necho {shlex.quote(_CUT)}\n".join(asks), timeout=_SECONDS).text
    except EngineError as error:
        return _Told(note=f"{machine.name} could not be asked: {error}")
    parts = (said.split(f"{_CUT}\n") + [""] * len(asks))[: len(asks)]
    return _Told(
        services.parsed(parts[0]), firewall.parsed(parts[1]), relayhost.parsed(parts[2]), exchangers.parsed(parts[3])
    )


def _listening(told: _Told) -> set[int]:
    return {socket.port for service in told.running for socket in service.sockets if not socket.is_local}


def _ports(machine: Machine, told: _Told, expected: Collection[int]) -> dict[int, str]:
    """The ports of a machine that are looked at, each with the address: those of the lab first, those where something listens, and those that its firewall names."""
    opened = {port for one in (told.firewall.rulings if told.firewall else ()) for port in one.ports}
    order = [*sorted(expected), *sorted(_listening(told)), *sorted(opened)]
    return {port: _address(machine, told, port) for port in list(dict.fromkeys(order))[:_MOST]}


def _address(machine: Machine, told: _Told, port: int) -> str:
    """The machine's address, or another one of its own where alone something listens on the port."""
    there = {s.address for service in told.running for s in service.sockets if s.port == port}
    if machine.address in there or not there <= {*machine.addresses, "127.0.0.1", "[::1]"}:
        return machine.address
    return next((address for address in machine.addresses if address in there), machine.address)


def _node(
    environment: Environment,
    machine: Machine,
    told: _Told,
    ports: Collection[int],
    reaches: Sequence[Reach],
    mx: Sequence[Mx],
) -> Node:
    local = sorted({s.port for service in told.running for s in service.sockets if s.is_local} - _listening(told))
    doors = [_door(machine, told, port, reaches) for port in sorted({*ports, *local[:_MOST]})]
    return Node(
        machine.name,
        machine.fqdn,
        (machine.address, *machine.addresses),
        tuple(dict.fromkeys((machine.network, *_further(environment, machine)))),
        machine.state,
        tuple(door for door in doors if door.program or door.results),
        tuple((service.name, service.down) for service in told.running if service.down),
        told.firewall,
        told.relay,
        _relays_to(told.relay, environment, mx),
    )


def _door(machine: Machine, told: _Told, port: int, reaches: Sequence[Reach]) -> Door:
    there = [(service.name, s) for service in told.running for s in service.sockets if s.port == port]
    return Door(
        port,
        ", ".join(dict.fromkeys(name for name, _ in there)),
        tuple(dict.fromkeys(s.address for _, s in there)),
        tuple((reach.start, reach.result) for reach in reaches if (reach.end, reach.port) == (machine.name, port)),
        bool(there) and all(s.is_local for _, s in there),
    )


def _further(environment: Environment, machine: Machine) -> list[str]:
    """The networks of a machine beside that of its address, by the topology's own names."""
    prefix = f"{environment.network_name}."
    return sorted(name.removeprefix(prefix) for name in machine.attached_to if name.startswith(prefix))


def _mx(answers: Sequence[tuple[str, exchangers.Answer]], machines: Sequence[Machine]) -> Iterator[Mx]:
    """The records that the servers answer, each once, the best first."""
    by_address = {address: m.name for m in machines for address in (m.address, *m.addresses)}
    by_name = {m.fqdn: m.name for m in machines}
    found: dict[exchangers.Exchanger, list[str]] = {}
    for server, answer in answers:
        for one in answer.exchangers:
            found.setdefault(one, []).append(server)
    for one in sorted(found, key=lambda one: (one.preference, one.name)):
        machine = by_address.get(one.address, "") if one.address else by_name.get(one.name.lower(), "")
        yield Mx(one.preference, one.name, tuple(found[one]), machine)


def _no_mx(domain: str, answers: Sequence[tuple[str, exchangers.Answer]]) -> str:
    if not answers:
        return f"No name server runs, so nobody knows where mail for {domain} goes."
    said = "; ".join(f"{name} answers {answer.status or 'nothing'}" for name, answer in answers)
    return f"{domain} has no MX: {said}."


def _relays_to(relay: str, environment: Environment, mx: Sequence[Mx]) -> str:
    """The machine that a relayhost is; "" for another host."""
    if not relay:
        return ""
    name, is_host = relayhost.place(relay)
    if name == environment.student.domain and not is_host:
        return mx[0].machine if mx else ""
    known = {key: m.name for m in environment.machines for key in (m.fqdn, m.name, m.address, *m.addresses)}
    return known.get(name, "")
