"""What an environment is made from: a request becomes a plan, on a free network or as it was made before."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from labenv import student
from labenv.engine import BRIDGED, Engine, environment_labels, wall
from labenv.engine.images import wanted
from labenv.environment import Environment, Machine, container_name
from labenv.environments.networks import free_x, taken_by, uplink_mtu
from labenv.errors import UsageError
from labenv.events import Event, Listener
from labenv.lab import labs, overlay, topology
from labenv.lab.model import Lab
from labenv.lab.topology import Network, Node, Topology
from labenv.student import Student


@dataclass(frozen=True)
class Request:
    """What the user asked `up` or `render` for; None where labenv chooses.

    `profiles` are the profiles of the topology whose machines are wanted too.
    """

    student_id: str
    x: int | None = None
    first: str | None = None
    stage: str | None = None
    lab: str | None = None
    topology: Path | None = None
    profiles: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Copied:
    """What a machine that comes out of a save is made from: that image, and labels that stay as they were."""

    image: str
    labels: dict[str, str]


@dataclass(frozen=True)
class Plan:
    """Everything that an environment is made from, for one student at one stage.

    The `topology` has only the wanted machines and networks. `copied` are machines out of a save. A
    `foreign` environment came out of an archive.
    """

    student: Student
    lab: Lab
    stage: str
    topology: Topology
    source: str
    copied: Mapping[str, Copied] = field(default_factory=dict)
    foreign: bool = False

    def images(self) -> dict[str, str]:
        """The image folder of each machine."""
        return {node.name: self.lab.image_of(node.name, node.image, self.stage) for node in self.topology.nodes}

    def image_tag(self, node: Node) -> str:
        """The tag of a machine's image."""
        return wanted()[self.images()[node.name]].tag

    def overlay(self, node: Node) -> list[overlay.Item]:
        """The files laid over a machine's image."""
        return overlay.overlay(self.lab, self.topology, node, self.student, self.stage)

    def environment(self) -> Environment:
        """The environment as it will be, with no machine yet."""
        machines = tuple(
            Machine(
                node.name,
                node.fqdn,
                node.address,
                "missing",
                container_name(self.student.id, node.name),
                optional=bool(node.profile),
                network=node.network,
                addresses=node.addresses,
            )
            for node in self.topology.nodes
        )
        folder = "" if labs.is_shipped(self.lab.folder) else str(self.lab.folder)
        return Environment(
            self.student, self.lab.id, self.stage, machines, self.source, self.foreign, lab_folder=folder
        )


def validated(request: Request) -> Request:
    """The request with every name and number checked. Raises UsageError; asks no engine."""
    student.check_id(request.student_id)
    if request.x is not None:
        student.check_x(request.x)
    if request.first is not None:
        student.check_first(request.first, request.student_id)
    if request.lab is not None or request.stage is not None:
        lab = labs.load(request.lab or labs.default())
        if request.stage is not None:
            lab.check_stage(request.stage)
    return request


def new_plan(engine: Engine, request: Request, listen: Listener) -> Plan:
    """The plan for an environment that does not exist yet, on a free network. Raises UsageError, EngineError."""
    wished = request.x if request.x is not None else student.derive_x(request.student_id)
    return _plan_at(request, _choose_x(engine, request, wished, listen), student.new_password())


def wished(request: Request) -> Topology:
    """The topology that a request would be made from, without asking an engine. Raises UsageError."""
    x = request.x if request.x is not None else student.derive_x(request.student_id)
    return _plan_at(request, x, "").topology


def _plan_at(request: Request, x: int, password: str) -> Plan:
    lab = labs.load(request.lab or labs.default())
    first = request.first or student.derive_first(request.student_id)
    who = Student(request.student_id, x, first, password)
    return _plan(who, lab, request.stage or lab.last_stage, request.topology, request.profiles)


def _plan(who: Student, lab: Lab, stage: str, file: Path | None, profiles: Collection[str]) -> Plan:
    source = file.resolve() if file else topology.named(lab.topology)
    nodes = topology.load(source, who).with_profiles(profiles)
    return Plan(who, lab, stage, nodes, str(source) if file else lab.topology)


def plan_again(
    who: Student, lab: Lab, stage: str, source: str, machines: Collection[str], profiles: Collection[str] = ()
) -> Plan:
    """The plan for an environment that exists or existed, with those optional machines that are among `machines`.

    `source` is its topology; machines of `profiles` are wanted too. Raises UsageError if its topology does not
    exist (any more).
    """
    file = Path(source) if "/" in source else None
    return _plan(who, lab, stage, file, {*profiles, *_profiles(who, lab, file, machines)})


def topology_of(there: Environment) -> Topology:
    """The topology of an environment with all its optional machines, there or not. Raises UsageError if it is gone."""
    source = Path(there.topology) if "/" in there.topology else topology.named(there.topology)
    return topology.load(source, there.student)


def _choose_x(engine: Engine, request: Request, wanted: int, listen: Listener) -> int:
    taken = taken_by(engine)
    if wanted not in taken:
        return wanted
    if request.x is not None:
        raise UsageError(
            f"The network 192.168.{wanted}.0/24 is taken: {taken[wanted]}. Choose another --net, or omit it and labenv "
            f"finds a free one."
        )
    free = free_x(taken, wanted)
    listen(Event("network", f"192.168.{wanted}.0/24 is taken ({taken[wanted]}); using 192.168.{free}.0/24", "note"))
    return free


def network_options(engine: Engine, who: Student, network: Network) -> dict[str, str]:
    """The driver options of a student's network: its bridge's name, and the uplink's MTU where it is known."""
    mtu = uplink_mtu() if engine.is_local else None
    ours = {wall.BRIDGE: wall.bridge(who, network.name)}
    return network.options | ours | ({"com.docker.network.driver.mtu": str(mtu)} if mtu else {})


def network_labels(made: Plan, network: Network) -> dict[str, str]:
    """The labels of one of a plan's networks."""
    return environment_labels(made.environment()) | {BRIDGED: wall.bridge(made.student, network.name)}


def made_from(made: Plan, node: Node) -> str:
    """The fingerprint of what a machine is made from: its image, its name and address, the student, the templates."""
    who = made.student
    given = [who.id, str(who.x), who.first, who.password, made.stage, node.fqdn, node.address, made.image_tag(node)]
    return overlay.fingerprint(*given, made.lab.digest)


def _profiles(who: Student, lab: Lab, file: Path | None, machines: Collection[str]) -> set[str]:
    """The profiles that these machines belong to."""
    nodes = topology.load(file or topology.named(lab.topology), who).nodes
    return {node.profile for node in nodes if node.profile and node.name in machines}
