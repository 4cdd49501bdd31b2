"""What a lab laid over the images of an environment's machines."""

import hashlib

from labenv.environment import Environment
from labenv.environments.plan import plan_again
from labenv.errors import UsageError
from labenv.lab import labs


def digests(there: Environment) -> dict[str, dict[str, str]]:
    """By machine and path, the SHA-256 of each file that its lab laid there, or "->target" for a link.

    Nothing if its lab or its topology is gone.
    """
    try:
        made = plan_again(there.student, labs.of(there), there.stage, there.topology, [m.name for m in there.machines])
    except UsageError:
        return {}
    return {
        node.name: {
            item.path: f"->{item.link}" if item.link else hashlib.sha256(item.content).hexdigest()
            for item in made.overlay(node)
        }
        for node in made.topology.nodes
    }
