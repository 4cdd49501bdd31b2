"""The swarm drain command."""

import sys
from typing import Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.class_.common import DryRunOption
from labenv.cli.common import JsonOption
from labenv.cli.swarm.common import NodeArgument, nodes
from labenv.errors import UsageError
from labenv.text import many


def drain(
    node: NodeArgument,
    back: Annotated[bool, typer.Option("--back", help="Let the node have environments again.")] = False,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Take a node out of use: its environments go on elsewhere, from their last state, without a student's doing.

    Each is pushed first. Ctrl-C stops only the waiting: Swarm goes on. Exit code 3: some find no room elsewhere yet.

    Examples:

      labenv swarm drain n2

      labenv swarm drain n2 --back
    """
    from labenv.swarm import drain as core

    if back and dry_run:
        raise UsageError("--back and --dry-run cannot be combined: --back moves nothing.")
    with screen.progress() as listen:
        there = nodes(listen)
        chosen = there.named(node)
        who = sorted(core.on(chosen))
        if back:
            core.back(there, chosen)
        elif not dry_run:
            common.if_interrupted("Swarm goes on moving the environments. labenv swarm nodes shows where they are.")
            done = core.drain(there, chosen, listen)
    if back:
        _tell(chosen.name, {}, {}, f"{chosen.name} takes environments again.", json=json)
    elif dry_run:
        names = f" ({', '.join(who)})" if who else ""
        if json:
            common.print_json({"node": chosen.name, "would_move": who})
        else:
            print(f"Would drain {chosen.name}: {many(len(who), 'environment')}{names}.", file=sys.stderr)
    else:
        over = f"{chosen.name} is drained. To use it again: labenv swarm drain {chosen.name} --back"
        _tell(chosen.name, done.moved, done.waiting, over, json=json)


def _tell(node: str, moved: dict[str, str], waiting: dict[str, str], over: str, *, json: bool) -> None:
    """Say what became of a node's environments. Exits with 3 if some wait."""
    if json:
        common.print_json({"node": node, "moved": moved, "waiting": waiting})
    else:
        for student, name in sorted(moved.items()):
            print(f"{student}: on {name}")
        print(over)
    for student, why in sorted(waiting.items()):
        print(f"labenv: {student} waits for a node: {why}", file=sys.stderr)
    if waiting:
        raise typer.Exit(3)
