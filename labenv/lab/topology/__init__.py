"""A topology: which machines a lab has, on which networks and addresses, with which published ports.

It is a Compose file, with `x-labenv` for what Compose cannot express. labenv refuses by name what it does not support,
so that nothing in the file is silently ignored.
"""

from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from labenv import resources
from labenv.errors import UsageError
from labenv.lab.model import Lab
from labenv.lab.topology import compose, machines, networks
from labenv.lab.topology.placed import TopologyError, placed
from labenv.lab.topology.records import DESKTOP, Limits, Network, Node, Port, Topology, port_at
from labenv.student import Student

__all__ = [
    "DESKTOP",
    "Limits",
    "Network",
    "Node",
    "Port",
    "Topology",
    "TopologyError",
    "file_of",
    "load",
    "load_for",
    "of",
    "port_at",
]


def file_of(lab: Lab) -> Path:
    """The file of a lab's topology: in the lab's own folder, or one of those that labs share."""
    name = f"{lab.topology}.yaml"
    own = lab.folder / name
    return own if own.is_file() else resources.topologies() / name


def load(path: Path, student: Student) -> Topology:
    """Read a topology for `student`, with all its machines; once in a process, unless the file changes.

    Raises UsageError, which names file and place, for what cannot be read, is unknown, or does not fit together.
    """
    with suppress(OSError):  # reading it says what is wrong
        state = path.stat()
        return _loaded(path, student, (state.st_mtime_ns, state.st_size, state.st_ino))
    return _loaded(path, student, None)


@lru_cache(maxsize=512)  # more than there are X to try
def _loaded(path: Path, student: Student, _: object) -> Topology:
    values = {
        "STUDENT": student.id,
        "DOMAIN": student.domain,
        "PREFIX": student.prefix,
        "X": str(student.x),
        "LINK": student.wan,
    }
    with placed():
        return _read(path, values, student.x)


def _read(path: Path, values: dict[str, str], x: int) -> Topology:
    tree = compose.read(path)
    if not tree.networks:
        raise UsageError(f"{path}: networks: a topology needs at least one, such as the subnet ${{PREFIX}}.0/24.")
    there = networks.read(tree.networks, values, x)
    return Topology(*machines.read(tree, values, there, path))


def of(lab: Lab, student: Student) -> Topology:
    """A lab's own topology for `student`, with all its machines. Raises as `load` does."""
    return load(file_of(lab), student)


def load_for(lab: Lab, file: Path | None, student: Student) -> Topology:
    """The topology in a file of the user's own, for a lab, with all its machines; without a file, the lab's own.

    What the file does not say about a machine that the lab's has too (its files, its desktop) is as there. Raises UsageError, also
    for a machine of a stage that the lab does not have.
    """
    made = of(lab, student)
    if file:
        made = load(file, student).completed_by(made)
    for node in made.nodes:
        if node.since and node.since not in (stage.id for stage in lab.stages):
            where = f"{file or file_of(lab)}: services.{node.name}.x-labenv.since"
            stages = ", ".join(stage.id for stage in lab.stages)
            with placed():
                raise UsageError(f"{where}: {lab.id} has no stage '{node.since}'. Its stages are: {stages}.")
    return made
