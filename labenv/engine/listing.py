"""Reads environments and machines from what the engine lists."""

import json
from dataclasses import replace
from typing import Any

from labenv.engine.labels import (
    FIREWALL,
    FOREIGN,
    LAB_FOLDER,
    LABEL,
    MACHINE,
    NETWORK,
    OPTIONAL,
    REPLAYS,
    TOPOLOGY,
    belonging_in,
    past_in,
    pools_in,
    student_of,
)
from labenv.engine.stream import TOOLS
from labenv.environment import Environment, Machine, Pool, container_name, network_name, saved_rules
from labenv.student import Student


def environment_of(labels: dict[str, str], containers: list[dict[str, Any]], alive: set[str]) -> Environment:
    """The environment that these labels and containers tell of; `alive` are the networks that there are."""
    student = student_of(labels[LABEL], labels)
    pools = pools_in(labels)
    rest = {container["Labels"][MACHINE]: container for container in containers}
    machines = [
        machine_of(
            student,
            Machine(name, fqdn, address, "missing", "", network="".join(network)),
            rest.pop(name, None),
            alive,
            pools,
        )
        for name, fqdn, address, *network in json.loads(labels["labenv.machines"])
    ]
    for name, container in sorted(rest.items()):
        told = json.loads(container["Labels"].get(OPTIONAL, "{}"))
        told["addresses"] = tuple(told.get("addresses", ()))
        machine = Machine(name, told.pop("fqdn", ""), told.pop("address", ""), "missing", "", optional=True, **told)
        machines.append(machine_of(student, machine, container, alive, pools))
    foreign = any(FOREIGN in container["Labels"] for container in containers)
    return Environment(
        student,
        labels["labenv.lab"],
        labels["labenv.stage"],
        tuple(machines),
        labels[TOPOLOGY],
        foreign,
        labels.get(NETWORK, ""),
        labels.get(LAB_FOLDER, ""),
        belonging_in(labels),
        pools,
        replays=labels.get(REPLAYS, ""),
        past=past_in(labels),
    )


def machine_of(
    student: Student, machine: Machine, container: dict[str, Any] | None, alive: set[str], pools: tuple[Pool, ...] = ()
) -> Machine:
    """The machine, with what the engine says about it; `alive` are the networks that there are."""
    machine = replace(machine, container=container_name(student.id, machine.name))
    if container is None:
        return machine
    ports = {
        str(port["PrivatePort"]) if port["Type"] == "tcp" else f"{port['PrivatePort']}/{port['Type']}": port[
            "PublicPort"
        ]
        for port in container.get("Ports") or []
        if port.get("PublicPort")
    }
    # Before its first start a container has only the network's name.
    on = {
        name: (attached.get("IPAMConfig") or {}).get("IPv4Address", "")
        for name, attached in (container["NetworkSettings"]["Networks"] or {}).items()
        if not attached["NetworkID"] or attached["NetworkID"] in alive
    }
    for pool in pools:
        name = network_name(student.id, pool.network)
        if address := on.get(name):
            on[name] = pool.in_machine(address)
    home = network_name(student.id, machine.network)
    return replace(
        machine,
        state=container["State"],
        made=container["Created"],
        has_tools=any(mount.get("Destination") == TOOLS for mount in container.get("Mounts") or []),
        firewall=saved_rules(container["Labels"].get(FIREWALL, "")),
        image=container["Image"],
        published=ports,
        made_from=container["Labels"].get("labenv.made-from", ""),
        attached=home in on,
        addresses=(*(address for name, address in on.items() if address and name != home), *machine.addresses),
        attached_to=frozenset(on),
    )
