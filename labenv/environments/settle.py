"""Waiting until what was brought up, restored or rebooted answers."""

from collections.abc import Container, Iterable
from contextlib import suppress
from dataclasses import replace

from labenv.engine import Engine
from labenv.engine.ready import NoAnswer, await_answers, await_boot
from labenv.environment import Environment, Machine
from labenv.environments.plan import topology_of
from labenv.errors import UsageError
from labenv.events import Event, Listener, announced
from labenv.lab import labs, templates
from labenv.lab.model import Answer
from labenv.parallel import Together


def await_services(
    engine: Engine, environment: Environment, machines: Iterable[Machine], listen: Listener, patience: float = 60
) -> None:
    """Wait until the services of these machines that must run at the environment's stage, by the lab's data, answer.

    Raises EngineError, `NoAnswer` if one does not answer within `patience` seconds.
    """
    _await(engine, environment, due(environment, {machine.name for machine in machines}), listen, patience)


def _await(
    engine: Engine, environment: Environment, wanted: list[Answer], listen: Listener, patience: float = 60
) -> None:
    if not wanted:
        return
    with announced(listen, "ready", f"waiting until {', '.join(map(_named, wanted))} answer"):
        await_answers(engine, environment, wanted, patience)


def due(environment: Environment, names: Container[str]) -> list[Answer]:
    """What the machines of these names must answer at the environment's stage, by the lab's data."""
    lab = labs.of(environment)
    there = [a for a in lab.answers if a.machine in names and lab.reached(a.since, environment.stage)]
    with suppress(UsageError):  # a topology of the user's own may be gone, and the machines are there
        nodes = topology_of(environment).nodes
        there += [answer for node in nodes if node.own and node.name in names for answer in node.own.answers]
    return [_filled(answer, environment) for answer in there]


def _filled(answer: Answer, environment: Environment) -> Answer:
    """The answer with the student's values in its zone, its site or its command."""

    def filled(text: str) -> str:
        student = environment.student
        return templates.text(text, student=student, network=student.prefix) if "{" in text else text

    return replace(answer, dns=filled(answer.dns), http=filled(answer.http), command=filled(answer.command))


def _named(answer: Answer) -> str:
    return f"{answer.machine}:{answer.port}" if answer.port else answer.machine


def await_new(engine: Engine, environment: Environment, listen: Listener) -> None:
    """Wait for an environment that was just made: until its services answer, and machines that need not answer anything have booted.

    Raises as `await_services` does.
    """
    wanted = due(environment, {machine.name for machine in environment.machines})
    heard = {answer.machine for answer in wanted}
    _await_boots(engine, [machine for machine in environment.regular if machine.name not in heard], listen)
    _await(engine, environment, wanted, listen)


def _await_boots(engine: Engine, machines: list[Machine], listen: Listener) -> None:
    if not machines:
        return
    names = ", ".join(machine.name for machine in machines)
    with (
        announced(listen, "boot", f"waiting until {names} {'has' if len(machines) == 1 else 'have'} booted"),
        Together(len(machines)) as pool,
    ):
        list(pool.map(lambda machine: await_boot(engine, machine), machines))


def settle(engine: Engine, environment: Environment, machines: Iterable[Machine], listen: Listener) -> None:
    """Wait for machines that a student has worked on. Services that the student broke stay down, which is no error."""
    machines = list(machines)
    _await_boots(engine, [machine for machine in machines if not machine.optional], listen)
    # Nobody works on optional machines.
    await_services(engine, environment, [machine for machine in machines if machine.optional], listen)
    try:
        await_services(engine, environment, environment.regular, listen, patience=3)
    except NoAnswer as error:
        listen(Event("ready", str(error), "warn"))
