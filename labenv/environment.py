"""The records that describe a running lab: an environment and its machines.

They are read from the engine's labels; nothing else stores them.
"""

import re
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from labenv.errors import UsageError
from labenv.student import Student

_FIREWALL = re.compile(r"(/[\w./-]{1,100}) ([\w@.-]{1,50}) ([\w@ ./-]{1,80})", re.ASCII)


@dataclass(frozen=True)
class SavedRules:
    """Where a machine has its saved firewall rules, the service that loads them at boot, and the command that saves them."""

    path: str = "/etc/sysconfig/iptables"
    service: str = "iptables"
    save: str = "service iptables save"


def saved_rules(label: str) -> SavedRules:
    """What an image says about it in its label `labenv.firewall`, "PATH SERVICE COMMAND"; without one it speaks the course's dialect."""
    match = _FIREWALL.fullmatch(label)
    return SavedRules(*match.groups()) if match else SavedRules()


@dataclass(frozen=True)
class Machine:
    """One machine, as the engine describes it.

    `state` is the engine's word ("running", "exited", "created", …) or "missing"; `container` its name there;
    `published` maps a port of the machine ("25", "53/udp") to the port on 127.0.0.1 where it answers; `made_from` is
    the fingerprint of what it was created from, compared to detect drift.

    An `optional` machine is not part of the sheet: it exists if it was asked for. `network` names the network of its
    address (empty: the student's own), `addresses` are its others, `attached_to` the networks it is on. `made` is when its
    container was created (seconds since 1970), `has_tools` whether labenv's own tools are in it, which no student can change, `firewall` where its
    dialect has the saved rules.
    """

    name: str
    fqdn: str
    address: str
    state: str
    container: str
    image: str = ""
    published: dict[str, int] = field(default_factory=dict)
    made_from: str = ""
    attached: bool = True
    optional: bool = False
    network: str = ""
    addresses: tuple[str, ...] = ()
    attached_to: frozenset[str] = frozenset()
    made: int = 0
    has_tools: bool = False
    firewall: SavedRules = SavedRules()


@dataclass(frozen=True)
class Allowance:
    """What each machine of an environment may use at most, where that is not as its topology has it (0): bytes of memory, processes."""

    memory: int = 0
    processes: int = 0


USUAL = Allowance()


@dataclass(frozen=True)
class Belonging:
    """The class that an environment belongs to, if any, and what follows: what its machines may use, and if it is `federated`.

    A federated one shares the world outside with the class.
    """

    class_id: str = ""
    allowance: Allowance = USUAL
    federated: bool = False


ALONE = Belonging()


@dataclass(frozen=True)
class Pool:
    """What the engine knows a network by, because somebody else has its own addresses: two subnets of one size, `there` and `own`."""

    network: str
    there: str
    own: str

    def on_engine(self, address: str) -> str:
        """What the engine has in place of an address of the network."""
        return _moved(address, self.own, self.there)

    def in_machine(self, address: str) -> str:
        """The address of the network in place of which the engine has this one."""
        return _moved(address, self.there, self.own)


@dataclass(frozen=True)
class PastLab:
    """A lab that a student has gone on from, in the same environment: the steps that passed then, those ticked, and when (ISO 8601, UTC)."""

    lab: str
    passed: tuple[str, ...]
    ticked: tuple[str, ...]
    time: str

    def to_dict(self) -> dict[str, Any]:
        """The lab as `status --json` shows it."""
        return {"lab": self.lab, "passed": list(self.passed), "ticked": list(self.ticked), "time": self.time}


def _moved(address: str, of: str, to: str) -> str:
    return str(IPv4Network(to)[int(IPv4Address(address)) - int(IPv4Network(of)[0])])


@dataclass(frozen=True)
class Environment:
    """One student's lab. `stage` is the stage it was brought up at, `topology` the shipped one's name or a file's path.

    A `foreign` one came out of an archive, or has a machine that did. `network` are the addresses of its first network; empty if
    they are the usual ones, 192.168.X.0/24. `lab_folder` is the folder of a lab that labenv does not ship. With `pools`, another environment has the same X: no port is published. One that `replays` the submission of a student has that
    student's files, on machines of an id of its own. `elsewhere` is on an engine whose 127.0.0.1 is not this computer's. `past` are the
    labs of the course that the student has done in it before.
    """

    student: Student
    lab: str
    stage: str
    machines: tuple[Machine, ...]
    topology: str = ""
    foreign: bool = False
    network: str = ""
    lab_folder: str = ""
    belongs: Belonging = ALONE
    pools: tuple[Pool, ...] = ()
    replays: str = ""
    elsewhere: bool = False
    past: tuple[PastLab, ...] = ()

    @property
    def judged(self) -> Student:
        """The student whose work is checked here: its own, or the one whose submission it replays."""
        return replace(self.student, id=self.replays) if self.replays else self.student

    @property
    def subnet(self) -> IPv4Network:
        """The addresses of the environment's first network: 192.168.X.0/24 in the labs of the course."""
        return IPv4Network(self.network or self.student.network)

    @property
    def own_topology(self) -> Path | None:
        """The file of the user's own that the environment's topology is; None if the topology is its lab's."""
        return Path(self.topology) if "/" in self.topology else None

    @property
    def network_name(self) -> str:
        """The name of the environment's network on the engine."""
        return network_name(self.student.id)

    @property
    def regular(self) -> tuple[Machine, ...]:
        """The machines that every environment of the lab has: those that the sheet is about."""
        return tuple(machine for machine in self.machines if not machine.optional)

    @property
    def names(self) -> dict[str, str]:
        """The name of the machine with that address."""
        return {address: m.name for m in self.machines for address in (m.address, *m.addresses)}

    def machine(self, name: str) -> Machine:
        """The machine called `name`. Raises UsageError, naming the machines, if there is none."""
        for machine in self.machines:
            if machine.name == name:
                return machine
        known = ", ".join(m.name for m in self.machines)
        raise UsageError(f"{self.student.id}'s environment has no machine '{name}'. Its machines are: {known}.")

    def to_dict(self) -> dict[str, Any]:
        """The environment as `status --json` shows it (DESIGN.md, the contract)."""
        return {
            "student": self.student.id,
            "first": self.student.first,
            "lab": self.lab,
            "stage": self.stage,
            "domain": self.student.domain,
            "network": str(self.subnet),
            "password": self.student.password,
            **({"past": [lab.to_dict() for lab in self.past]} if self.past else {}),
            "machines": [
                {
                    "name": m.name,
                    "address": m.address,
                    "state": m.state,
                    "container": m.container,
                    "published": m.published,
                }
                for m in self.machines
            ],
        }


def container_name(student_id: str, machine: str) -> str:
    """The name of a machine's container, `labenv-<student>-<machine>`: part of the contract with scripts."""
    return f"labenv-{student_id}-{machine}"


def class_name(class_id: str) -> str:
    """What stands for the student's id in the names of what a class has for all. An id holds no dot."""
    return f"class.{class_id}"


def network_name(student_id: str, network: str = "") -> str:
    """The name on the engine of a student's own network, or of the further one that the topology calls `network`.

    An id holds no dot, so the names of two students' networks never meet.
    """
    return f"labenv-{student_id}.{network}" if network else f"labenv-{student_id}"
