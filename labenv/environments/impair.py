"""Giving a machine a bad link, and a good one again."""

from labenv.engine import Engine
from labenv.engine.link import Impairment
from labenv.environment import Environment
from labenv.environments import links
from labenv.environments.changing import changing
from labenv.environments.links import Bad
from labenv.errors import EngineError
from labenv.events import Listener


def impair(engine: Engine, environment: Environment, name: str, wrong: Impairment, listen: Listener) -> Bad | None:
    """Let that be wrong with a machine's link, in place of what was before; with `GOOD` it is good again. Raises EngineError."""
    who = environment.student.id
    with changing(engine, who, listen) as change:
        machine = change.environment.machine(name)
        if machine.state != "running":
            raise EngineError(f"{name} is {machine.state}, so its link is of no use. Start it: labenv up {who}")
        return links.change(engine, change.environment, name, wrong, listen)
