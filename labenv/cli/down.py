"""The down command."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import StudentOption

if TYPE_CHECKING:
    from labenv.environment import Environment


def down(
    student: StudentOption = None,
    every: Annotated[bool, typer.Option("--all", help="Remove all environments on this engine.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
) -> None:
    """Remove an environment: its machines, its network, and all work in it.

    Examples:

      labenv down -s asmith15

      labenv down --all --yes
    """
    from labenv.environments import down as core

    with screen.progress(quiet=True) as listen:
        engine = common.open_engine(listen)
        doomed = engine.environments() if every else [common.chosen(engine, student)]
    for environment in doomed:
        if dry_run or not (yes or _agreed(environment)):
            print(f"Would remove {_inventory(environment)}." if dry_run else "Nothing was removed.", file=sys.stderr)
            continue
        with screen.progress() as listen:
            core.down(engine, environment, listen)


def _agreed(environment: "Environment") -> bool:
    if not sys.stdin.isatty():
        return True  # a script has nobody to ask
    return typer.confirm(f"Remove {_inventory(environment)}, with all work in it?", default=True, err=True)


def _inventory(environment: "Environment") -> str:
    present = [machine.container for machine in environment.machines if machine.state != "missing"]
    return f"{environment.student.id}'s environment ({', '.join([*present, 'network ' + environment.network_name])})"
