"""The content of the watched files in the reference solution."""

from labenv.environment import Environment
from labenv.environments import plan
from labenv.lab import labs


def files(environment: Environment, stage: str, known: set[str]) -> dict[str, bytes]:
    """The files that labenv itself writes at a stage, of those that a history knows ("vm2/etc/postfix/main.cf")."""
    names = [machine.name for machine in environment.machines]
    made = plan.plan_again(environment.student, labs.of(environment), stage, environment.topology, names)
    laid = {
        f"{node.name}{item.path}": f"-> {item.link}\n".encode() if item.link else item.content
        for node in made.topology.nodes
        for item in made.overlay(node)
    }
    return {path: data for path, data in laid.items() if path in known}
