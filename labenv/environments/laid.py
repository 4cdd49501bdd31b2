"""What labenv laid over a machine's image: files of the lab, which nobody else brought."""

import hashlib

from labenv.environment import Environment
from labenv.environments.plan import plan_again
from labenv.errors import UsageError
from labenv.lab import labs


def digests(environment: Environment, machine: str) -> dict[str, str]:
    """The SHA-256 of each file that a machine began with, by its path; none if its lab or topology is gone."""
    names = [there.name for there in environment.machines]
    try:
        lab = labs.of(environment)
        made = plan_again(environment.student, lab, environment.stage, environment.topology, names)
        return {
            item.path: hashlib.sha256(item.content).hexdigest()
            for node in made.topology.nodes
            if node.name == machine
            for item in made.overlay(node)
            if not item.link
        }
    except UsageError:
        return {}
