"""What one environment takes of a server."""

from collections.abc import Collection
from dataclasses import dataclass

from labenv.classroom.capacity.figures import FIGURES, Figures
from labenv.environments.plan import WORLD
from labenv.lab import topology
from labenv.lab.model import Lab
from labenv.student import Student

_ANYBODY = Student("anybody", 2, "any", "")


@dataclass(frozen=True)
class Need:
    """What an environment takes on average: machines, networks (each is a bridge), links to the world outside, bytes of memory."""

    machines: float
    networks: float
    links: float
    memory: int


def of(lab: Lab, profiles: Collection[str] = (), desktops: float = 0.0, figures: Figures = FIGURES) -> Need:
    """What an environment of a lab with all of its machines takes, where everybody has these profiles of its topology.

    That part of the students, from 0 to 1, also opens the desktop, with the profiles that it needs. Raises UsageError for a profile
    that no machine has.
    """
    there = topology.of(lab, _ANYBODY)
    usual = there.with_profiles(profiles)
    desk = there.desk
    share = desktops if desk else 0.0
    fuller = there.with_profiles({*profiles, *((desk and desk.desktop) or ())})
    machines = _between(len(usual.nodes), len(fuller.nodes), share)
    return Need(
        machines,
        _between(len(usual.networks), len(fuller.networks) + 1, share),  # and that of the desktop's page
        _between(_links(usual), _links(fuller), share),
        round(machines * figures.machine + figures.supervisor_memory + share * figures.desktop),
    )


def _between(few: float, many: float, share: float) -> float:
    return few + share * (many - few)


def _links(there: topology.Topology) -> int:
    return int(any(node.profile == WORLD for node in there.nodes))
