"""What a class has for all of its students: machines on their networks, each with a network of its own as its home.

They carry the label of the class and no student's, so nothing takes them for a part of an environment.
"""

import json
from collections.abc import Mapping
from typing import Any

from labenv.engine import Engine, wall
from labenv.engine.create import create
from labenv.engine.errors import refusals
from labenv.engine.labels import BRIDGED, CLASS, OPTIONAL, machine_labels
from labenv.engine.listing import machine_of
from labenv.environment import Environment, Machine, class_name, network_name
from labenv.lab.topology import Network, Node
from labenv.student import Student

LENT = "labenv.lent"  # on a machine of a class, and on its home: the machine's name
_NOBODY = "nobody"


def owner(class_id: str, link: int = 0) -> Student:
    """Who stands for the student of what a class has for all; `link` is the number of its home."""
    return Student(class_name(class_id), 0, _NOBODY, "", link)


def machines(engine: Engine, class_id: str) -> dict[str, Machine]:
    """The machines that a class has for all, by name. Raises EngineError."""
    wanted = {"label": [f"{CLASS}={class_id}", LENT]}
    with refusals(f"looking for the machines of the class {class_id}"):
        containers = engine.api.containers(all=True, filters=wanted)
        alive = {network["Id"] for network in engine.api.networks()}
    found: dict[str, Machine] = {}
    for container in containers:
        told = json.loads(container["Labels"][OPTIONAL])
        name = container["Labels"][LENT]
        record = Machine(
            name,
            told["fqdn"],
            told["address"],
            "missing",
            "",
            optional=True,
            network=told["network"],
            addresses=tuple(told["addresses"]),
        )
        found[name] = machine_of(owner(class_id), record, container, alive)
    return found


def found(engine: Engine, class_id: str) -> list[str]:
    """The names of the machines that a class has for all, also of those of which only the home is there. Raises EngineError."""
    homes = [network["Labels"][LENT] for network in _homes(engine, class_id)]
    return sorted({*machines(engine, class_id), *homes})


def of(engine: Engine, environment: Environment) -> tuple[Machine, ...]:
    """The machines of its class that run for an environment. Raises EngineError."""
    if not environment.belongs.federated:
        return ()
    return tuple(each for each in machines(engine, environment.belongs.class_id).values() if each.state == "running")


def make(
    engine: Engine,
    class_id: str,
    node: Node,
    home: Network,
    image: str,
    options: Mapping[str, str],
    files: bytes,
    binds: tuple[str, ...],
) -> str:
    """Create a machine of a class, with its home, and return its container. It is not started. Raises EngineError, `NetworkTaken`."""
    who = owner(class_id)
    mine = {CLASS: class_id, LENT: node.name}
    _drop_home(engine, class_id, node.name)
    engine.create_network(who, home, mine | {BRIDGED: wall.bridge(who, home.name)}, dict(options))
    return create(engine, node, who, image, {}, mine | machine_labels(node, image), files, binds)


def remove(engine: Engine, class_id: str) -> None:
    """Remove all that a class has for all of its students. It is no error if it is gone. Raises EngineError."""
    for machine in machines(engine, class_id).values():
        engine.remove_machine(machine.container)
    _drop_home(engine, class_id)


def _homes(engine: Engine, class_id: str, name: str | None = None) -> list[dict[str, Any]]:
    """The home of a machine of a class, or all of them, as the engine lists networks."""
    wanted = {"label": [f"{CLASS}={class_id}", f"{LENT}={name}" if name else LENT]}
    with refusals(f"looking for the networks of the class {class_id}"):
        there: list[dict[str, Any]] = engine.api.networks(filters=wanted)
        return there


def _drop_home(engine: Engine, class_id: str, name: str | None = None) -> None:
    """Remove the home of a machine of a class, or all of them."""
    for network in _homes(engine, class_id, name):
        engine.remove_network(network["Id"])


def join(engine: Engine, machine: Machine, students: Mapping[str, Student]) -> list[str]:
    """Attach a machine of a class to those networks of these students, by id, on which it is not yet; returns whose they were.

    A student without such a network is passed over. Raises EngineError.
    """
    there = engine.bridges()
    names = {network_name(each, machine.network): who for each, who in students.items()}
    missing = {name: who for name, who in names.items() if name in there and name not in machine.attached_to}
    for who in missing.values():
        engine.lend(machine.container, who, machine.network, f"{who.wan}.{machine.address.rpartition('.')[2]}")
    return [who.id for who in missing.values()]
