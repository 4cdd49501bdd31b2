"""Create and start the machines and networks of a plan."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace

from labenv.computer import Computer
from labenv.engine import Engine, authority, image_sources, kept, repository, tools, wall
from labenv.engine.create import create
from labenv.engine.images import Images
from labenv.engine.labels import FOREIGN, HOSTNAME, environment_labels, machine_labels
from labenv.engine.turns import in_turn
from labenv.environment import Environment, class_name, container_name, network_name
from labenv.environments import room
from labenv.environments.networks import port_in_use
from labenv.environments.plan import Copied, Plan, made_from, network_labels, network_options
from labenv.errors import EngineError
from labenv.events import Event, Listener, announced
from labenv.lab import overlay
from labenv.lab.topology import Network, Node
from labenv.parallel import Together
from labenv.student import Student


def remake(engine: Engine, there: Iterable[Environment], made: Plan, listen: Listener) -> tuple[str, ...]:
    """Replace what exists by what a plan makes, and return what was done. Raises EngineError."""
    there = list(there)
    running = sum(machine.state == "running" for environment in there for machine in environment.machines)
    room.ensure(engine, len(made.topology.nodes) - running, listen)
    with announced(listen, "machines", f"making {made.student.id}'s machines on {made.topology.networks[0].subnet}"):
        for environment in there:
            engine.remove(environment)
        with making_networks(engine, made) as coming:
            return make(engine, made, list(made.topology.nodes), listen, coming)


def remake_machine(engine: Engine, there: Environment, made: Plan, name: str, listen: Listener) -> tuple[str, ...]:
    """The same for one machine. The environment stays at its stage, whatever the plan's stage is. Raises EngineError."""
    node = next(node for node in made.topology.nodes if node.name == name)
    labels = {"labenv.stage": there.stage, "labenv.made-from": made_from(replace(made, stage=there.stage), node)}
    made = replace(made, copied={name: Copied(made.image_tag(node), labels)})
    with announced(listen, "machines", f"making {name}"):
        if there.machine(name).state != "missing":
            engine.remove_machine(there.machine(name).container)
        return make(engine, made, [node], listen)


@contextmanager
def making_networks(engine: Engine, made: Plan) -> Iterator[Mapping[str, Future[None]]]:
    """Create the networks of a plan, by name, in the background during the block."""
    with Together(1 + len(made.topology.networks)) as pool:
        coming = {n.name: pool.submit(make_network, engine, made, n) for n in made.topology.networks}
        pool.submit(lambda: engine.facts)
        yield coming


def make(
    engine: Engine, made: Plan, nodes: list[Node], listen: Listener, coming: Mapping[str, Future[None]] | None = None
) -> tuple[str, ...]:
    """Create and start machines, all at the same time, and return what was done.

    Each machine waits for those of its networks that are still being created. They trust whom the environment's other machines
    trust. Raises EngineError.
    """
    labels = environment_labels(made.environment()) | ({FOREIGN: "yes"} if made.foreign else {})
    shift = _free_ports(engine, made, nodes, listen)
    coming = coming or {}
    binds = _tools(engine, listen)
    others = [node for node in made.topology.nodes if node not in nodes]
    trusted = authority.taken_over(engine, [container_name(made.student.id, node.name) for node in others])

    def make_one(node: Node) -> None:
        copied = made.copied.get(node.name, Copied(made.image_tag(node), {}))
        laid = made.overlay(node)
        name = overlay.hostname(laid)
        labels_too = labels | machine_labels(node, made_from(made, node)) | ({HOSTNAME: name} if name else {})
        labels_too |= copied.labels
        published = made.topology.published(node, made.student.x, shift)
        files = overlay.as_tar([*laid, *trusted])
        mounts = binds
        if node.name in made.copied:
            mounts += repository.bind(engine, image_sources.of(made.lab), made.image(node), copied.image, listen)
        container = create(engine, node, made.student, copied.image, published, labels_too, files, mounts)
        if copied.renewed:
            engine.lay(container, overlay.as_tar([*copied.renewed]))
        for network in made.topology.networks:
            if network.name == node.network or node.name in network.joined_by:
                if network.name in coming:
                    coming[network.name].result()
                if network.name != node.network:
                    engine.join(container, made.student, network.name, node.on_engine(network.joined_by[node.name]))
        around.result()
        start(container)

    def closed() -> None:
        """Wait for the new networks, and have the wall stand around them."""
        for network in coming.values():
            network.result()
        if coming:
            walled(engine, made.student, [wall.bridge(made.student, name) for name in coming], listen)

    on = [network_name(made.student.id, network.name) for network in made.topology.networks]
    with in_turn(engine, on) as start, Together(len(nodes) + 1) as pool:
        around = pool.submit(closed)
        list(pool.map(make_one, nodes))
    cap(engine, made, nodes, listen)
    kept.up(engine, made.student.id)
    return tuple(f"made {node.name}" for node in nodes)


def _tools(engine: Engine, listen: Listener) -> tuple[str, ...]:
    """The volume with labenv's own tools as a bind of the machines; none, and the user is told, where it cannot be had.

    An archive can come up where neither the image nor a network is.
    """
    try:
        return (tools.bind(engine, listen),)
    except EngineError as error:
        text = (
            f"the machines go without labenv's own tools, so the checks have to believe the machines' programs. {error}"
        )
        listen(Event("tools", text, "warn"))
        return ()


def cap(engine: Engine, made: Plan, nodes: list[Node], listen: Listener) -> None:
    """Put the limits of running machines where their root cannot raise them; if that fails, the user is told."""
    if not engine.cap(made.student.id, nodes):
        text = "root in a machine could raise the machine's limits: they could not be set above it. labenv doctor may say why"
        listen(Event("limits", text, "warn"))


def make_network(engine: Engine, made: Plan, network: Network) -> None:
    """Create one network of a plan. Raises EngineError; `NetworkTaken` if its addresses are taken."""
    options = network_options(engine, made.student, network)
    engine.create_network(made.student, network, network_labels(made, network), options)
    for node in made.topology.lent:
        if node.network == network.name:  # a class that is not up yet comes to it later
            engine.lend(
                container_name(class_name(made.belongs.class_id), node.name), made.student, network.name, node.address
            )


def walled(engine: Engine, who: Student, bridges: Collection[str], listen: Listener) -> None:
    """Have the wall stand around these bridges. Tells the listener if the engine does not allow it."""
    if wall.are_here(bridges) and wall.stands():
        return
    step = "wall"
    try:
        with announced(listen, step, "closing the computer to the labs' networks (nft, table inet labenv)"):
            images = Images(engine)
            images.ensure(["machine"], listen)
            wall.build(engine, who, image_sources.wanted()["machine"].tag, bridges)
    except EngineError as error:
        way = wall.by_hand(engine.facts, Computer().sudo)
        text = f"{error} Until the rules are set, a machine can reach the engine's computer. To set them there: {way}"
        listen(Event(step, text, "warn"))


def _free_ports(engine: Engine, made: Plan, nodes: list[Node], listen: Listener) -> int:
    """The first block of ports on 127.0.0.1 with none in use; 0, the usual block, where that cannot be found out."""
    if not engine.is_local:
        return 0
    for shift in range(8):
        numbers = {n for node in nodes for n in made.topology.published(node, made.student.x, shift).values()}
        used = sorted(number for number in numbers if port_in_use(number))
        if not used:
            return shift
        listen(Event("ports", f"port {used[0]} of 127.0.0.1 is in use by another program; using others", "note"))
    return 0
