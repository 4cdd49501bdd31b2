"""Waiting until what was brought up, restored or rebooted answers."""

from collections.abc import Iterable
from contextlib import suppress

from labenv.engine import Engine
from labenv.engine.ready import NoAnswer, await_answers, await_boot
from labenv.environment import Environment, Machine
from labenv.environments.plan import topology_of
from labenv.errors import UsageError
from labenv.events import Event, Listener, announced
from labenv.lab import labs
from labenv.parallel import Together


def await_services(
    engine: Engine, environment: Environment, machines: Iterable[Machine], listen: Listener, patience: float = 60
) -> None:
    """Wait until the services of these machines that must run at the environment's stage, by the lab's data, answer.

    Raises EngineError, `NoAnswer` if one does not answer within `patience` seconds.
    """
    lab = labs.load(environment.lab)
    names = {machine.name for machine in machines}
    due = [a for a in lab.answers if a.machine in names and lab.reached(a.since, environment.stage)]
    with suppress(UsageError):  # a topology of the user's own may be gone, and the machines are there
        due += [
            a for node in topology_of(environment).nodes if node.own and node.name in names for a in node.own.answers
        ]
    if not due:
        return
    with announced(listen, "ready", "waiting until " + ", ".join(f"{a.machine}:{a.port}" for a in due) + " answer"):
        await_answers(engine, environment, due, patience)


def settle(engine: Engine, environment: Environment, machines: Iterable[Machine], listen: Listener) -> None:
    """Wait for machines that a student has worked on. Services that the student broke stay down, which is no error."""
    machines = list(machines)
    regular = [machine for machine in machines if not machine.optional]
    if regular:
        names = ", ".join(machine.name for machine in regular)
        with (
            announced(listen, "boot", f"waiting until {names} {'has' if len(regular) == 1 else 'have'} booted"),
            Together(len(regular)) as pool,
        ):
            list(pool.map(lambda machine: await_boot(engine, machine), regular))
    # Nobody works on optional machines.
    await_services(engine, environment, [machine for machine in machines if machine.optional], listen)
    try:
        await_services(engine, environment, environment.regular, listen, patience=3)
    except NoAnswer as error:
        listen(Event("ready", str(error), "warn"))
