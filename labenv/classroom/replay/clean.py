"""Clean machines for a submission: planned, made, and removed again, under an id of their own beside all environments."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from labenv.classroom.handins import laws
from labenv.classroom.handins.pieces import Pieces
from labenv.classroom.replay.lay import Rules, laid
from labenv.engine import image_sources
from labenv.engine.images import Images
from labenv.engine.ready import await_boot
from labenv.environment import Environment
from labenv.environments import room
from labenv.environments.changing import changed_by, changing
from labenv.environments.machines import make, making_networks
from labenv.environments.networks import takings
from labenv.environments.plan import Plan
from labenv.errors import UsageError
from labenv.events import Listener
from labenv.lab import overlay, topology
from labenv.lab.model import Lab
from labenv.lab.topology import Node
from labenv.parallel import Together
from labenv.student import Student

if TYPE_CHECKING:
    from labenv.classroom.handins.handin import Wanted
    from labenv.engine import Engine

ID = "replay-{}"


@dataclass(frozen=True)
class Clean(Plan):
    """The plan of an environment for `whom`: the machines of the lab's last stage, with these overlays."""

    whom: str = ""
    overlays: Mapping[str, list[overlay.Item]] = field(default_factory=dict)

    def overlay(self, node: Node) -> list[overlay.Item]:
        """The files laid over a machine's image."""
        return self.overlays[node.name]

    def environment(self) -> Environment:
        """The environment as it will be, with no machine yet."""
        return replace(super().environment(), replays=self.whom)


def plan(
    who: Student, lab: Lab, wanted: "Wanted", given: Mapping[str, Pieces], place: str
) -> tuple[Clean, tuple[str, ...]]:
    """The plan for a submission of a student, under the id `place`, and what of the submission is not in it.

    The machines begin as the student got them: with the files of the lab's first stage. Raises UsageError for a lab that cannot be read.
    """
    at, first = lab.last_stage, lab.stages[0].id
    whole = topology.load_for(lab, None, who).with_profiles(()).at(lambda since: lab.reached(since, at))
    overlays, refused = {}, []
    for node in whole.nodes:
        base = overlay.overlay(lab, whole, node, who, first)
        rules = Rules(lab.id, wanted.carried.get(node.name, ()), wanted.folders.get(node.name, ()), laws.of(lab))
        there = laid(base, given[node.name], rules, who.password) if node.name in given else None
        overlays[node.name] = list(there.items) if there else base
        refused += [f"{node.name}: {said}" for said in (there.refused if there else ())]
    made = Clean(replace(who, id=place), lab, at, whole, lab.topology, whom=who.id, overlays=overlays)
    return made, tuple(refused)


@contextmanager
def machines(engine: "Engine", made: Clean, listen: Listener) -> Iterator[Environment]:
    """The machines of a plan during the block, booted. Raises EngineError; UsageError if another has their addresses.

    Whatever has their id is of an earlier replay that was interrupted, and is removed.
    """
    with changing(engine, made.student.id, listen, removing=True) as change:
        if left := change.look():
            engine.remove(left)
        nets = made.topology.subnets
        if taken := takings(engine).of(made.student.x, nets):
            raise UsageError(f"The network {nets[0]} of the submission is taken on this computer: {taken}.")
        try:
            Images(engine, image_sources.of(made.lab)).ensure(set(made.images().values()), listen)
            room.ensure(engine, len(made.topology.nodes), listen)
            with making_networks(engine, made) as coming:
                make(engine, made, list(made.topology.nodes), listen, coming)
            there = change.environment
            with Together(len(there.machines)) as pool:
                list(pool.map(lambda machine: await_boot(engine, machine), there.machines))
            yield there
        finally:
            engine.remove(made.environment())


def free_ids(engine: "Engine") -> Iterator[str]:
    """Ids for clean machines that no other command uses and no student has. Raises EngineError."""
    taken = {there.student.id for there in engine.environments() if not there.replays}
    for number in range(1, 1000):
        name = ID.format(number)
        if name not in taken and not changed_by(engine, name):
            yield name
    raise UsageError("Too many submissions are being replayed at once. Wait for the other commands.")
