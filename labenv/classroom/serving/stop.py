"""Stopping an environment: its machines are shut down in order, and everything in them stays. `up` brings them back."""

from labenv.engine import Engine
from labenv.environment import Environment, Machine
from labenv.environments import history
from labenv.environments.changing import changing
from labenv.events import Listener, announced
from labenv.parallel import Together


def running(environment: Environment) -> list[Machine]:
    """The machines that run."""
    return [machine for machine in environment.machines if machine.state == "running"]


def stop(engine: Engine, student_id: str, listen: Listener) -> int:
    """Shut a student's machines down, and return how many ran. Raises EngineError."""
    with changing(engine, student_id, listen) as change:
        there = change.environment
        run = running(there)
        if not run:
            return 0
        with announced(listen, "stop", f"stopping {student_id}'s machines"):
            history.collect_now(engine, there, listen)
            with Together(len(run)) as pool:
                list(pool.map(engine.stop, [machine.container for machine in run]))
    return len(run)
