"""The down command."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import StudentOption

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labenv.engine import Engine
    from labenv.environment import Environment


def down(
    student: StudentOption = None,
    every: Annotated[bool, typer.Option("--all", help="Remove all environments on this engine.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
) -> None:
    """Remove an environment: its machines, its network, and all work in it. Its saves stay.

    In a terminal, it says what would be lost and asks first.

    Examples:

      labenv down -s asmith15

      labenv down --all --yes
    """
    from labenv.environments import down as core
    from labenv.swarm import leases

    with screen.progress(quiet=True) as listen:
        engine = common.open_engine(listen)
        if student and not dry_run and core.forget(engine, student, listen):
            print(f"Another program had removed {student}'s machines already.", file=sys.stderr)
            return
        doomed = engine.environments() if every else [common.chosen(engine, student)]
    for environment in doomed:
        if dry_run:
            print(f"Would remove {_inventory(environment)}.", *_lost(engine, environment), sep="\n", file=sys.stderr)
            continue
        if not (yes or _agreed(engine, environment)):
            print("Nothing was removed.", file=sys.stderr)
            continue
        with screen.progress() as listen:
            core.down(engine, environment, listen)
            if leases.is_placed(environment.student.id):
                from labenv.swarm import over

                over.forget(common.open_local_engine(listen), environment.student.id)


def _agreed(engine: "Engine", environment: "Environment") -> bool:
    if not sys.stdin.isatty():
        return True  # a script has nobody to ask
    who = environment.student.id
    way_out = f"To keep the work, save it first: labenv save -s {who}"
    print(f"{_inventory(environment)}.", *_lost(engine, environment), way_out, sep="\n", file=sys.stderr)
    return typer.confirm(f"Remove {who}'s environment?", default=False, err=True)


def _lost(engine: "Engine", environment: "Environment") -> "Iterator[str]":
    from labenv.sheet import stake

    return stake.of(engine, environment).sentences


def _inventory(environment: "Environment") -> str:
    present = [machine.container for machine in environment.machines if machine.state != "missing"]
    return f"{environment.student.id}'s environment ({', '.join([*present, 'network ' + environment.network_name])})"
