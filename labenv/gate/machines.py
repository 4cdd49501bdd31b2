"""A student in one of their machines, whichever way they came: what is looked at before a program begins there, and after it has ended."""

import asyncio
from contextlib import suppress

from labenv.engine.session import life
from labenv.environment import Environment, Machine
from labenv.environments import history
from labenv.environments.gone import error_if_gone
from labenv.errors import EngineError, LabenvError
from labenv.events import silent
from labenv.gate import actions, programs
from labenv.gate.state import Gate
from labenv.swarm import where

KILLED = (137, 143, 129)  # exit codes of what was killed (bash(1), EXIT STATUS), maybe with its machine


async def ready(gate: Gate, student: str, name: str) -> tuple[Environment, Machine]:
    """The student's machine of that name, and their environment; what a gate that was killed left in it is ended.

    Raises UsageError, EngineError if it is not there, or does not run.
    """
    environment = await actions.environment(gate, student)
    machine = actions.machine_of(environment, name)
    if machine.container not in gate.swept:
        await asyncio.to_thread(programs.sweep, gate.engine_of(student), machine)
        gate.swept.add(machine.container)
    return environment, machine


async def alive(gate: Gate, student: str, machine: Machine) -> str:
    """Which life of a student's machine this is, for `gone`. Raises EngineError."""
    return await asyncio.to_thread(life, gate.engine_of(student), machine.container)


async def gone(
    gate: Gate, environment: Environment, machine: Machine, before: str, status: int | LabenvError
) -> LabenvError | None:
    """Why what ran there ended, if its machine went with it. `status` is its exit code, or why it has none."""
    student = environment.student.id
    if isinstance(status, LabenvError):
        return await asyncio.to_thread(_moving, gate, student, machine) or status
    if status not in KILLED:
        return None
    why = await asyncio.to_thread(
        lambda: error_if_gone(
            gate.engine_of(environment.student.id),
            environment,
            machine,
            before,
            ended="what you had open there ended",
            again="start",
            wait=True,
        )
    )
    return await asyncio.to_thread(_moving, gate, student, machine) or why if why else None


def _moving(gate: Gate, student: str, machine: Machine) -> EngineError | None:
    away = where.moving(gate.shared, student, machine)
    return EngineError(f"What you had open in {machine.name} ended. {away}") if away else None


async def collect(gate: Gate, environment: Environment, machine: Machine) -> None:
    """Store what the machine has recorded of the student's changes."""
    if not machine.optional:
        with suppress(LabenvError):
            engine = gate.engine_of(environment.student.id)
            await asyncio.to_thread(history.collect_now, engine, environment, silent, machine=machine.name)
