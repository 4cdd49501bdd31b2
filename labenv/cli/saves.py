"""The saves command."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption, StudentOption, YesOption

if TYPE_CHECKING:
    pass


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
    from labenv.engine import save_store
    from labenv.environments import saves as core

    with screen.progress(quiet=True) as listen:
        engine = common.open_engine(listen)
        if remove:
            doomed = [core.named(engine, core.owner(engine, student, name), name) for name in dict.fromkeys(remove)]
        else:
            documents = [core.document(engine, found) for found in save_store.found(engine, student)]
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
