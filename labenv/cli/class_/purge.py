"""The class purge command."""

import sys
from typing import Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.class_.common import ClassOption, DryRunOption, complete_member, open_engine, opened
from labenv.cli.common import JsonOption, YesOption
from labenv.errors import LabenvError, UsageError


def purge(
    student: Annotated[
        str,
        typer.Argument(
            metavar="STUDENT", autocompletion=complete_member, help="The student's id; it may have left the roster."
        ),
    ],
    folder: ClassOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Delete everything that is kept of a student of the class, after listing it. Nothing of it can be brought back.

    That is the environment with its history, saves, hand-ins, grades, passwords, keys, and lines of the audit log. The roster is
    yours: remove the row yourself. What others' grades say of this student, such as likeness, stays with them.

    Examples:

      labenv class purge asmith15 --dry-run

      labenv class purge asmith15 --yes
    """
    from labenv.classroom.serving import purge as core

    of = opened(folder, writes=not dry_run)
    who = next((one.id for one in of.members if one.given == student), student)
    with screen.progress() as listen:
        engine = open_engine(of, listen)
        there = core.parts(engine, of, who, listen)
    for part in there:
        print(f"- {part.what}", file=sys.stderr)
    removed: list[str] = []
    errors: list[str] = []
    if there and not dry_run and _agreed(who, yes=yes):
        with screen.progress(quiet=True):
            for part in there:
                try:
                    part.remove()
                    removed.append(part.what)
                except LabenvError as error:
                    errors.append(f"{part.what}: {error}")
    if json:
        kept = [part.what for part in there if part.what not in removed]
        common.print_json({"class": of.id, "student": who, "removed": removed, "kept": kept, "dry_run": dry_run})
    else:
        print(_said(who, there=bool(there), removed=len(removed), errors=len(errors)))
    for sentence in errors:
        print(f"labenv: {sentence}", file=sys.stderr)
    if errors:
        print("The same command tries again what is left.", file=sys.stderr)
        raise typer.Exit(3)


def _agreed(who: str, *, yes: bool) -> bool:
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError(f"Nothing was removed: this cannot be undone. If you mean it: labenv class purge {who} --yes")
    return typer.confirm(f"Delete all of that for ever, of {who}?", default=False, err=True)


def _said(who: str, *, there: bool, removed: int, errors: int) -> str:
    if not there:
        return f"Nothing is kept of {who}."
    if not removed:
        return "Nothing was removed."
    return f"Not everything of {who} was removed." if errors else f"Removed everything that was kept of {who}."
