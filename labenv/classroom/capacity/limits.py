"""What the kernel of a server counts for all of its machines together, and allows too few of if nobody raises it."""

import math

from labenv.classroom.capacity.need import Need
from labenv.environments.room import EACH, INOTIFY, NEIGHBOURS, TASKS, Supply

# What a new Debian 12 allows (its kernel with systemd, sysctl -a), and about how much of it a server uses itself.
_USUAL = {INOTIFY: (128, 12), TASKS: (32_768, 500), NEIGHBOURS: (1024, 20)}


def to_raise(environments: int, need: Need) -> dict[str, int]:
    """The sysctls to raise on a server for so many environments, each with its value; labenv raises those of its own computer itself."""
    machines = math.ceil(environments * need.machines)
    there = [Supply(name, "", used, usual, EACH[name]) for name, (usual, used) in _USUAL.items()]
    return {supply.sysctl: supply.enough(machines) for supply in there if supply.room < machines}
