"""Clean machines for a submission: planned, made, and removed again, under an id of their own beside all environments."""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from labenv.classroom.handins import laws
from labenv.classroom.handins.gather import ACTIVE
from labenv.classroom.handins.pieces import Pieces
from labenv.classroom.replay.lay import Rules, laid
from labenv.engine import image_sources
from labenv.engine.images import Images
from labenv.engine.ready import await_boot
from labenv.environment import Environment, Machine
from labenv.environments import room
from labenv.environments.changing import changed_by, changing
from labenv.environments.machines import make, making_networks
from labenv.environments.networks import takings
from labenv.environments.plan import Plan
from labenv.environments.pools import pools_for
from labenv.environments.recovery import remove_all
from labenv.errors import EngineError, UsageError
from labenv.events import Listener
from labenv.lab import overlay, topology
from labenv.lab.model import Lab
from labenv.lab.topology import Node, Topology
from labenv.parallel import Together
from labenv.student import Student

if TYPE_CHECKING:
    from labenv.classroom.handins.handin import Wanted
    from labenv.engine import Engine

ID = "replay-{}"
_OURS = ("labenv-", "systemd-", "user@", "dbus", "getty")  # what a machine itself needs, or has none of
_PATIENCE = 15


@dataclass(frozen=True)
class Clean(Plan):
    """The plan of an environment for `whom`: the machines of the lab's last stage, with these overlays, and what is to run there."""

    whom: str = ""
    overlays: Mapping[str, list[overlay.Item]] = field(default_factory=dict)
    active: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def overlay(self, node: Node) -> list[overlay.Item]:
        """The files laid over a machine's image."""
        return self.overlays[node.name]

    def environment(self) -> Environment:
        """The environment as it will be, with no machine yet."""
        return replace(super().environment(), replays=self.whom)


def plan(
    engine: "Engine", who: Student, lab: Lab, wanted: "Wanted", given: Mapping[str, Pieces], place: str
) -> tuple[Clean, tuple[str, ...]]:
    """The plan for a submission of a student, under the id `place`, and what of the submission is not in it.

    The machines begin as the student got them: with the files of the lab's first stage. Raises UsageError for a lab that cannot be read.
    """
    at, first = lab.last_stage, lab.stages[0].id
    whole = _topology(who, lab)
    # So the student's own environment may run beside it. Podman cannot have that: there, only where it must be, which it then refuses.
    pools = pools_for(takings(engine), place, whole.networks, every=not engine.facts.podman)
    whole = whole.pooled(pools)
    overlays, refused = {}, []
    for node in whole.nodes:
        base = overlay.overlay(lab, whole, node, who, first)
        rules = Rules(lab.id, wanted.carried.get(node.name, ()), wanted.folders.get(node.name, ()), laws.of(lab))
        there = laid(base, given[node.name], rules, who.password) if node.name in given else None
        overlays[node.name] = list(there.items) if there else base
        refused += [f"{node.name}: {said}" for said in (there.refused if there else ())]
    active = {name: frozenset(there.active) for name, there in given.items() if there.active}
    made = Clean(
        replace(who, id=place), lab, at, whole, lab.topology, whom=who.id, overlays=overlays, active=active, pools=pools
    )
    return made, tuple(refused)


def prepare(engine: "Engine", who: Student, lab: Lab, count: int, listen: Listener) -> None:
    """Do once what each of several replays of a lab would do by itself: the images, and raising the kernel's limits. Raises EngineError."""
    nodes = _topology(who, lab).nodes
    names = {lab.image_of(node.name, node.image, lab.last_stage) for node in nodes}
    Images(engine, image_sources.of(lab)).ensure(names, listen)
    with suppress(EngineError):  # each asks again for itself: as many run at once as there is room for
        room.ensure(engine, count * len(nodes), listen)


def _topology(who: Student, lab: Lab) -> Topology:
    return topology.load_for(lab, None, who).with_profiles(()).at(lambda since: lab.reached(since, lab.last_stage))


@contextmanager
def machines(engine: "Engine", made: Clean, listen: Listener) -> Iterator[Environment]:
    """The machines of a plan during the block, booted, with the services running that are to. Raises EngineError.

    Whatever has their id is of a replay that was interrupted, and is removed.
    """
    with changing(engine, made.student.id, listen, removing=True) as change:
        if left := change.look():
            remove_all(engine, left.student.id)
        try:
            Images(engine, image_sources.of(made.lab)).ensure(set(made.images().values()), listen)
            room.ensure(engine, len(made.topology.nodes), listen)
            with making_networks(engine, made) as coming:
                make(engine, made, list(made.topology.nodes), listen, coming)
            there = change.environment
            with Together(len(there.machines)) as pool:
                list(pool.map(lambda machine: _settled(engine, machine, made.active.get(machine.name)), there.machines))
            yield there
        finally:
            remove_all(engine, made.student.id)


def _settled(engine: "Engine", machine: Machine, active: frozenset[str] | None) -> None:
    """Wait for a machine's boot; then start and stop services of the image's so that those run that are `active`, as far as they do.

    So a service that was only not enabled is judged as that, and not by all that waits for it.
    """
    with suppress(EngineError), engine.shell(machine) as shell:  # what does not boot is judged as that
        await_boot(engine, machine)
        if active is None:
            return
        now = set(shell.run(ACTIVE).text.split())
        for word, names in (("start", active - now), ("stop", now - active)):
            if those := sorted(name for name in names if not name.startswith(_OURS)):
                shell.run(f"timeout {_PATIENCE} systemctl {word} -- {shlex.join(those)}", 2 * _PATIENCE)


def sweep(engine: "Engine", listen: Listener) -> None:
    """Remove the machines that interrupted replays have left: those that no command holds. Raises EngineError."""
    for there in engine.environments():
        name = there.student.id
        if there.replays and not changed_by(engine, name):
            with changing(engine, name, listen, removing=True):
                remove_all(engine, name)


def drop(engine: "Engine", ids: Iterable[str]) -> None:
    """Remove the machines with these ids as far as they are there, while threads of this command may still hold them."""
    for name in dict.fromkeys(ids):
        with suppress(EngineError):  # the next replay sweeps
            remove_all(engine, name)


def free_ids(engine: "Engine") -> Iterator[str]:
    """Ids for clean machines that no other command uses and no student has. Raises EngineError."""
    taken = {there.student.id for there in engine.environments() if not there.replays}
    for number in range(1, 1000):
        name = ID.format(number)
        if name not in taken and not changed_by(engine, name):
            yield name
    raise UsageError("Too many submissions are being replayed at once. Wait for the other commands.")
