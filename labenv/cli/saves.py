"""The saves command."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption, StudentOption, YesOption

if TYPE_CHECKING:
    from labenv.engine import Engine


def saves(
    remove: Annotated[
        list[str] | None,
        typer.Option(
            "--remove", metavar="NAME", autocompletion=common.complete_save, help="Remove this save. Repeatable."
        ),
    ] = None,
    student: StudentOption = None,
    yes: YesOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
    json: JsonOption = False,
) -> None:
    """List the saves with their time, stage and size, or remove some.

    Examples:

      labenv saves

      labenv saves --remove save-1 --dry-run

      labenv saves --remove save-1 --remove save-2 --yes
    """
    from labenv.environments import saves as core

    with screen.progress(quiet=True) as listen:
        if remove:
            engine = common.open_engine(listen)
            doomed = [core.named(engine, core.owner(engine, student, name), name) for name in dict.fromkeys(remove)]
        else:
            documents = _all(common.open_all(listen), student)
    if remove:
        which = ", ".join(f"{found.student_id}'s save {found.name}" for found in doomed)
        if dry_run or not (yes or not sys.stdin.isatty() or typer.confirm(f"Remove {which}?", err=True)):
            print(f"Would remove {which}." if dry_run else "Nothing was removed.", file=sys.stderr)
            return
        with screen.progress(quiet=True) as listen:
            for found in doomed:
                core.remove(engine, found.student_id, found.name, listen)
        print(f"Removed {which}.", file=sys.stderr)
    elif json:
        common.print_json({"saves": documents})
    else:
        from labenv.cli import show

        show.saves(documents)


def _all(engine: "Engine", student: str | None) -> list[dict[str, Any]]:
    """The saves as documents; of all nodes of a swarm, each with the name of the node that has it. Raises EngineError."""
    from labenv.engine import save_store
    from labenv.environments import saves as core
    from labenv.swarm.where import Fleet

    if not isinstance(engine, Fleet):
        return [core.document(engine, save) for save in save_store.found(engine, student)]
    there = [
        core.document(one, save) | {"node": name}
        for name, one in engine.named()
        for save in save_store.found(one, student)
    ]
    return sorted(there, key=lambda save: (save["student"], save["made"]))
