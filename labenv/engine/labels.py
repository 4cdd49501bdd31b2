"""The labels by which the engine tells of an environment: their names, writing them and reading them.

They are the state: nothing else stores what an environment is.
"""

import json
from collections.abc import Mapping

from labenv.environment import USUAL, Allowance, Belonging, Environment, Machine, PastLab, Pool
from labenv.lab.topology import Node
from labenv.student import Student

LABEL = "labenv.student"
TOPOLOGY = "labenv.topology"
LAB_FOLDER = "labenv.lab-folder"  # where the lab is, unless it is a part of labenv
NETWORK = "labenv.network"
CLASS = "labenv.class"  # the class that an environment belongs to
ALLOWANCE = "labenv.allowance"  # what that class allows each machine: bytes of memory, processes
POOLS = "labenv.pools"  # on an environment that has the X of another: what the engine knows its networks by
FEDERATED = "labenv.federated"  # on an environment that shares the world outside with its class
LINK = "labenv.link"  # the number of its link to the world outside, if that is not X
PAST = "labenv.past"  # the labs that the student has done in it before
REPLAYS = "labenv.replays"  # the student whose submission is judged on an environment
MACHINE = "labenv.machine"
OPTIONAL = "labenv.optional"
RECORD = "labenv.record"  # on a volume that records something about an environment and may outlive its machines
BRIDGED = "labenv.bridge"  # on a network: the name of its bridge (labenv.engine.wall)
FIREWALL = "labenv.firewall"  # on an image, and so on its machines: see labenv.environment.saved_rules
FOREIGN = "labenv.foreign"  # on what came out of an archive, and on every machine beside it (labenv.engine.recipe)
HOSTNAME = "labenv.hostname"  # on a machine whose host name is not the topology's
NOTED = "labenv.restored"  # which restore a machine came from, or a note is about (labenv.engine.save_store)
SWARM = "labenv.swarm"  # on what a swarm of labenv's consists of: services and their containers


def environment_labels(environment: Environment) -> dict[str, str]:
    """The labels that identify an environment; each of its containers and networks has all of them."""
    student = environment.student
    unusual = {
        NETWORK: environment.network,
        LAB_FOLDER: environment.lab_folder,
        CLASS: environment.belongs.class_id,
        ALLOWANCE: _written(environment.belongs.allowance),
        FEDERATED: "yes" if environment.belongs.federated else "",
        POOLS: " ".join(f"{pool.network}={pool.there}={pool.own}" for pool in environment.pools),
        LINK: "" if student.link in (None, student.x) else str(student.link),
        REPLAYS: environment.replays,
        PAST: ";".join(" ".join((p.lab, p.time, ",".join(p.passed), ",".join(p.ticked))) for p in environment.past),
    }
    return {
        LABEL: student.id,
        "labenv.x": str(student.x),
        "labenv.first": student.first,
        "labenv.password": student.password,
        "labenv.lab": environment.lab,
        "labenv.stage": environment.stage,
        TOPOLOGY: environment.topology,
        "labenv.machines": json.dumps([listed(machine) for machine in environment.regular]),
    } | {label: value for label, value in unusual.items() if value}


def _written(allowance: Allowance) -> str:
    return f"{allowance.memory} {allowance.processes}" if allowance != USUAL else ""


def belonging_in(labels: Mapping[str, str]) -> Belonging:
    """The class of an environment, by the labels. Raises ValueError, TypeError for invalid ones."""
    allowance = Allowance(*map(int, labels.get(ALLOWANCE, "").split()))
    return Belonging(labels.get(CLASS, ""), allowance, FEDERATED in labels)


def student_of(student_id: str, labels: Mapping[str, str]) -> Student:
    """The student that an environment's labels tell of. Raises LookupError, ValueError for labels that are not valid."""
    link = int(labels[LINK]) if LINK in labels else None
    return Student(student_id, int(labels["labenv.x"]), labels["labenv.first"], labels["labenv.password"], link)


def pools_in(labels: Mapping[str, str]) -> tuple[Pool, ...]:
    """What the engine knows an environment's networks by, by the labels. Raises TypeError for an invalid one."""
    return tuple(Pool(*word.split("=")) for word in labels.get(POOLS, "").split())


def past_in(labels: Mapping[str, str]) -> tuple[PastLab, ...]:
    """The labs that a student has done before in an environment, by the labels. Raises ValueError for an invalid one."""
    found = []
    for told in filter(None, labels.get(PAST, "").split(";")):
        lab, time, passed, ticked = told.split(" ")
        found.append(PastLab(lab, tuple(filter(None, passed.split(","))), tuple(filter(None, ticked.split(","))), time))
    return tuple(found)


def listed(machine: Machine | Node) -> list[str]:
    """A machine in the environment's labels: its name, host name and address; its network only if that is not the first one."""
    return [machine.name, machine.fqdn, machine.address, *filter(None, [machine.network])]


def machine_labels(node: Node, made_from: str) -> dict[str, str]:
    """The further labels of a machine's container.

    An optional machine is not in the environment's labels, so it carries the same facts about itself.
    """
    labels = {MACHINE: node.name, "labenv.made-from": made_from}
    if node.profile:
        told = {"fqdn": node.fqdn, "address": node.address, "network": node.network, "addresses": node.addresses}
        labels[OPTIONAL] = json.dumps(told)
    return labels
