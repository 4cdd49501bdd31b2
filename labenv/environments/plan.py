"""What an environment is made from: a request becomes a plan, on a free network or as it was made before."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from labenv import student
from labenv.engine import Engine, image_sources, wall
from labenv.engine.labels import BRIDGED, environment_labels
from labenv.environment import ALONE, Belonging, Environment, Machine, PastLab, Pool, container_name
from labenv.environments.networks import Takings, free_link, free_x, takings, uplink_mtu
from labenv.environments.pools import pools_for
from labenv.errors import EngineError, UsageError
from labenv.events import Event, Listener
from labenv.lab import labs, overlay, stages, topology
from labenv.lab.model import Lab
from labenv.lab.topology import Network, Node, Topology
from labenv.student import Student
from labenv.text import one_line

# No address translation: even without the wall, packets from a machine find no way back from the real world.
WORLD = "outside"  # the profile of the world outside, which a class may have for all of its students
_INSIDE = {"com.docker.network.bridge.enable_ip_masquerade": "false"}

# This computer gets no address in a network that the engine knows by another pool: it would be none of the network's.
_ASIDE = {"com.docker.network.bridge.inhibit_ipv4": "true"}


@dataclass(frozen=True)
class Request:
    """What the user asked `up` or `render` for; None where labenv chooses.

    `profiles` are the profiles of the topology whose machines are wanted too. With `shares_x`, X may be another environment's.
    """

    student_id: str
    x: int | None = None
    first: str | None = None
    stage: str | None = None
    lab: str | None = None
    topology: Path | None = None
    profiles: frozenset[str] = frozenset()
    belongs: Belonging = ALONE
    shares_x: bool = False

    @property
    def may_share(self) -> bool:
        """Whether its X may be another environment's, too, which then keeps the published ports for itself."""
        return self.shares_x or bool(self.belongs.class_id and not self.belongs.federated)


@dataclass(frozen=True)
class Copied:
    """What a machine that comes out of a save is made from: that image, and labels that stay as they were.

    `renewed` are files that are laid over it all the same.
    """

    image: str
    labels: dict[str, str]
    renewed: tuple[overlay.Item, ...] = ()


@dataclass(frozen=True)
class Plan:
    """Everything that an environment is made from, for one student at one stage.

    The `topology` has only the wanted machines and networks. `copied` are machines out of a save. A
    `foreign` environment came out of an archive. With `pools`, another one has its X.
    """

    student: Student
    lab: Lab
    stage: str
    topology: Topology
    source: str
    copied: Mapping[str, Copied] = field(default_factory=dict)
    foreign: bool = False
    belongs: Belonging = ALONE
    pools: tuple[Pool, ...] = ()
    past: tuple[PastLab, ...] = ()

    def images(self) -> dict[str, str]:
        """The image folder of each machine."""
        return {node.name: self.lab.image_of(node.name, node.image, self.stage) for node in self.topology.nodes}

    def image(self, node: Node) -> image_sources.Image:
        """A machine's image."""
        return image_sources.of(self.lab)[self.images()[node.name]]

    def image_tag(self, node: Node) -> str:
        """The tag of a machine's image."""
        return self.image(node).tag

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
        first = self.topology.networks[0].subnet
        network = "" if first == str(self.student.network) else first
        folder = "" if labs.is_shipped(self.lab.folder) else str(self.lab.folder)
        return Environment(
            self.student,
            self.lab.id,
            self.stage,
            machines,
            self.source,
            self.foreign,
            network,
            folder,
            self.belongs,
            self.pools,
            past=self.past,
        )

    def at(self, stage: str) -> "Plan":
        """The plan for the same environment at another stage, with the machines of that one. Raises UsageError."""
        there = self.environment()
        names = [node.name for node in self.topology.nodes]
        again = plan_again(self.student, self.lab, stage, there.topology, names, belongs=self.belongs, pools=self.pools)
        return replace(again, foreign=self.foreign, past=self.past)


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
    """The plan for an environment that does not exist yet, on free networks. Raises UsageError, EngineError."""
    there = takings(engine)
    password = student.new_password()

    def at(x: int) -> Plan:
        return _plan_at(request, x, password, free_link(there, x))

    made = at(_wished_x(request))
    if not (taken := _taken(there, made)):
        return made
    was = made.topology.networks[0].subnet
    if request.x is not None and not request.may_share:
        raise UsageError(
            f"The network {was} is taken: {taken}. Choose another --net, or omit it and labenv finds a free one. To let "
            "both have it, with no published ports for this one: labenv up --shared-x"
        )
    if request.x is None and not request.shares_x:
        free = free_x(lambda x: x in there.xs or bool(_taken(there, at(x))), made.student.x)
        if free is not None:
            instead = at(free)
            listen(Event("network", f"{was} is taken ({taken}); using {instead.topology.networks[0].subnet}", "note"))
            return instead
        if request.belongs.federated:  # their zones would name the same addresses
            raise EngineError("The networks of every X from 2 to 251 are taken. `labenv doctor` says what uses them.")
    who = made.student
    found = pools_for(there, who.id, _whole(request, who).networks)
    if found:
        listen(Event("network", sharing(made, f"taken ({taken})"), "note"))
    return _plan_at(request, who.x, password, who.link, found)


def sharing(made: Plan, state: str) -> str:
    """What it means for an environment that its X is another's, too, whose network is in that `state`."""
    return (
        f"{made.topology.networks[0].subnet} is {state}; {made.student.id} has the same addresses on a network of its own. It "
        "publishes no ports: labenv tunnel leads to its machines"
    )


def _taken(there: Takings, made: Plan) -> str:
    """Who has the X of a plan, or an address of one of its networks; empty if nobody has."""
    return there.of(made.student.x, made.topology.subnets)


def wished(request: Request) -> Topology:
    """The topology that a request would be made from, without asking an engine. Raises UsageError."""
    return _plan_at(request, _wished_x(request), "").topology


def _wished_x(request: Request) -> int:
    return request.x if request.x is not None else student.derive_x(request.student_id)


def _plan_at(request: Request, x: int, password: str, link: int | None = None, of: tuple[Pool, ...] = ()) -> Plan:
    lab = labs.load(request.lab or labs.default())
    first = request.first or student.derive_first(request.student_id)
    who = Student(request.student_id, x, first, password, link)
    wanted = _wanted(_whole(request, who).pooled(of), request.profiles, request.belongs)
    made = _plan(who, lab, request.stage or lab.last_stage, _file(request), wanted)
    return replace(made, belongs=request.belongs, pools=of)


def _whole(request: Request, who: Student) -> Topology:
    """The topology of a request with all its machines."""
    return topology.load_for(labs.load(request.lab or labs.default()), _file(request), who)


def _file(request: Request) -> Path | None:
    return request.topology.resolve() if request.topology else None


def _wanted(whole: Topology, profiles: Collection[str], belongs: Belonging) -> Topology:
    """The topology with the machines of these profiles, and what the class says: its limits, its own world outside. Raises UsageError."""
    federated = belongs.federated
    wanted = whole.with_profiles({*profiles, WORLD}).lending(WORLD) if federated else whole.with_profiles(profiles)
    return wanted.allowing(belongs.allowance.memory, belongs.allowance.processes)


def _plan(who: Student, lab: Lab, stage: str, file: Path | None, wanted: Topology) -> Plan:
    """The plan with the machines of `wanted` that are there at the stage. Raises UsageError if the lab's files name other stages."""
    lab.check_stage(stage)
    if not labs.is_shipped(lab.folder):  # labenv's own are proven, and `up` need not read their steps
        stages.check(lab)
    made = wanted.at(lambda since: lab.reached(since, stage))
    return Plan(who, lab, stage, made, str(file) if file else lab.topology)


def plan_again(
    who: Student,
    lab: Lab,
    stage: str,
    source: str,
    machines: Collection[str],
    profiles: Collection[str] = (),
    *,
    belongs: Belonging = ALONE,
    pools: tuple[Pool, ...] = (),
) -> Plan:
    """The plan for an environment that exists or existed, with those optional machines that are among `machines`.

    `source` is its topology; machines of `profiles` are wanted too. `belongs` and `pools` as in a Plan. Raises UsageError if its topology does
    not exist (any more).
    """
    file = Path(source) if "/" in source else None
    whole = _kept(lab, file, who)
    there = {node.profile for node in whole.nodes if node.profile and node.name in machines}
    made = _plan(who, lab, stage, file, _wanted(whole.pooled(pools), {*profiles, *there}, belongs))
    return replace(made, belongs=belongs, pools=pools)


def topology_of(there: Environment) -> Topology:
    """The topology of an environment with all its machines, there or not. Raises UsageError if it is gone."""
    return _kept(labs.of(there), there.own_topology, there.student)


def _kept(lab: Lab, file: Path | None, who: Student) -> Topology:
    if file and not file.exists():
        raise UsageError(
            f"There is no file {one_line(str(file))}, the topology of {who.id}'s environment. Put it there again. Until then, these "
            "work: status, check, next, shell, exec, logs, save, down."
        )
    return topology.load_for(lab, file, who)


def network_options(engine: Engine, who: Student, network: Network) -> dict[str, str]:
    """The driver options of a student's network: what its topology says, its bridge's name, and the uplink's MTU where it is known."""
    mtu = uplink_mtu() if engine.is_local else None
    ours = {wall.BRIDGE: wall.bridge(who, network.name)} | (_ASIDE if network.pool else {})
    return _INSIDE | network.options | ours | ({"com.docker.network.driver.mtu": str(mtu)} if mtu else {})


def network_labels(made: Plan, network: Network) -> dict[str, str]:
    """The labels of one of a plan's networks."""
    return environment_labels(made.environment()) | {BRIDGED: wall.bridge(made.student, network.name)}


def made_from(made: Plan, node: Node) -> str:
    """The fingerprint of what a machine is made from: its image, its name and address, the student, the templates."""
    who = made.student
    given = [who.id, str(who.x), who.first, who.password, made.stage, node.fqdn, node.address, made.image_tag(node)]
    if node.joins:
        given += sorted(f"{n.subnet} {n.joined_by[node.name]}" for n in made.topology.networks if n.name in node.joins)
    return overlay.fingerprint(*given, made.lab.digest, *([node.own.digest] if node.own else []))
