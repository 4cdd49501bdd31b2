"""What the commands share: the options, the engine, the environment that is meant, completion."""

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labenv.errors import EngineError, LabenvError, UsageError
from labenv.events import Listener, silent

if TYPE_CHECKING:
    from labenv.engine import Engine
    from labenv.environment import Environment


def open_engine(listen: Listener, *, start: bool = True) -> "Engine":
    """The engine that answers; one is started or installed if none does and `start`. Raises EngineError."""
    from labenv.engine import Engine
    from labenv.engine.find import connect

    return Engine(connect(listen, start=start, confirm=lambda text: typer.confirm(text, err=True)))


def chosen(engine: "Engine", student: str | None) -> "Environment":
    """The environment that is meant: the named student's, or the only one there is.

    Raises EngineError if it is not there, UsageError if none was named and there are several.
    """
    there = engine.environments(student)
    if len(there) == 1:
        return there[0]
    if there:
        names = ", ".join(environment.student.id for environment in there)
        raise UsageError(f"There are several environments: {names}. Say which one: -s STUDENT (or set LABENV_STUDENT).")
    if student:
        others = ", ".join(environment.student.id for environment in engine.environments())
        known = f" There are: {others}." if others else ""
        raise EngineError(f"{ascii(student)[1:-1]} has no environment.{known} Make one: labenv up STUDENT")
    raise EngineError("There is no environment yet. Make one: labenv up STUDENT")


def count_look(engine: "Engine", environment: "Environment", listen: Listener) -> None:
    """Have a drill that runs count that the lab's checks are asked. Raises EngineError."""
    from labenv.engine import saves

    if saves.has_drill(engine, environment.student.id):
        from labenv import drilling

        drilling.looked(engine, environment, listen)


def print_json(document: Any) -> None:
    """One JSON document on stdout, and nothing else there."""
    json.dump(document, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def _there() -> "list[Environment]":
    try:
        return open_engine(silent, start=False).environments()
    except LabenvError:  # completion stays quiet
        return []


def complete_student(incomplete: str) -> list[str]:
    """The students that have an environment."""
    return [e.student.id for e in _there() if e.student.id.startswith(incomplete)]


def complete_machine(ctx: typer.Context, incomplete: str) -> list[str]:
    """The machines of the chosen student's environment, or of all."""
    student = ctx.params.get("student")
    found = {m.name: None for e in _there() if student in (None, e.student.id) for m in e.machines}
    return [name for name in found if name.startswith(incomplete)]


def complete_stage(incomplete: str) -> list[str]:
    """The stages of the default lab."""
    from labenv import lab, plan

    return [stage.id for stage in lab.load(plan.default_lab()).stages if stage.id.startswith(incomplete)]


def complete_lab(incomplete: str) -> list[str]:
    """The labs that labenv ships."""
    from labenv import lab

    return [name for name in lab.names() if name.startswith(incomplete)]


StudentOption = Annotated[
    str | None,
    typer.Option(
        "--student",
        "-s",
        envvar="LABENV_STUDENT",
        autocompletion=complete_student,
        help="Whose environment. Not needed while there is only one.",
    ),
]
MachineArgument = Annotated[
    str, typer.Argument(metavar="MACHINE", autocompletion=complete_machine, help="host, vm2 or vm3.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
