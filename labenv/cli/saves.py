"""Commands that keep an environment: save, restore, saves, reset, export, import."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption, StudentOption
from labenv.errors import UsageError

if TYPE_CHECKING:
    from labenv.engine import Engine
    from labenv.engine.saves import Save
    from labenv.lifecycle import Outcome


def complete_save(ctx: typer.Context, incomplete: str) -> list[str]:
    """The saves of the chosen student, or of all."""
    from labenv.engine import saves as kept
    from labenv.errors import LabenvError
    from labenv.events import silent

    try:
        there = kept.found(common.open_engine(silent, start=False), ctx.params.get("student"))
    except LabenvError:  # completion stays quiet
        return []
    return [save.name for save in there if save.name.startswith(incomplete)]


NameArgument = Annotated[str, typer.Argument(metavar="NAME", autocompletion=complete_save, help="The save's name.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def save(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="What to call it. Default: the next of save-1, save-2, …")
    ] = None,
    student: StudentOption = None,
    json: JsonOption = False,
) -> None:
    """Save an environment as it is now: files, mail, queues, accounts. It stays when the environment is removed.

    Examples:

      labenv save

      labenv save before-tls
    """
    from labenv import saves as keeping

    if name is not None:
        keeping.check_name(name)
    with screen.progress() as listen:
        engine = common.open_engine(listen)
        made = keeping.save(engine, common.chosen(engine, student), name, listen)
        document = _document(engine, made)
    if json:
        common.print_json(document)
        return
    size = document["bytes"] / 1e6
    print(f"Saved as {made.name}, {size:.1f} MB. Back to it: labenv restore {made.name} -s {made.student_id}")


def restore(name: NameArgument, student: StudentOption = None, json: JsonOption = False) -> None:
    """Put a save in the place of what is there. What is there is saved first, so this can be undone.

    Example:

      labenv restore before-tls
    """
    from labenv import saves as keeping

    with screen.progress() as listen:
        engine = common.open_engine(listen)
        outcome = keeping.restore(engine, _whose(engine, student, name), name, listen)
    _show(outcome, json, "before-restore")


def saves(
    remove: Annotated[
        list[str] | None,
        typer.Option("--remove", metavar="NAME", autocompletion=complete_save, help="Remove this save. Repeatable."),
    ] = None,
    student: StudentOption = None,
    yes: YesOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    json: JsonOption = False,
) -> None:
    """List the saves, with their time, stage and the space that they take; or remove some.

    Examples:

      labenv saves

      labenv saves --remove save-1 --dry-run

      labenv saves --remove save-1 --remove save-2 --yes
    """
    from labenv import saves as keeping
    from labenv.engine import saves as kept

    with screen.progress(quiet=True) as listen:
        engine = common.open_engine(listen)
        if remove:
            doomed = [keeping.named(engine, _whose(engine, student, name), name) for name in dict.fromkeys(remove)]
        else:
            documents = [_document(engine, found) for found in kept.found(engine, student)]
    if remove:
        which = ", ".join(f"{found.student_id}'s save {found.name}" for found in doomed)
        if dry_run or not (yes or not sys.stdin.isatty() or typer.confirm(f"Remove {which}?", err=True)):
            print(f"Would remove {which}." if dry_run else "Nothing was removed.", file=sys.stderr)
            return
        with screen.progress(quiet=True) as listen:
            for found in doomed:
                keeping.remove(engine, found.student_id, found.name, listen)
        print(f"Removed {which}.", file=sys.stderr)
    elif json:
        common.print_json({"saves": documents})
    else:
        from labenv.cli import show

        show.saves(documents)


def reset(
    machine: Annotated[
        str | None,
        typer.Argument(
            metavar="MACHINE", autocompletion=common.complete_machine, help="Only this one: host, vm2 or vm3."
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            "--at", metavar="STAGE", autocompletion=common.complete_stage, help="The stage to begin. Default: its own."
        ),
    ] = None,
    student: StudentOption = None,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Make an environment, or one machine, anew as a stage begins. What is there is saved first.

    Examples:

      labenv reset vm3

      labenv reset --at relay --yes
    """
    from labenv import desktop
    from labenv import saves as keeping

    with screen.progress(quiet=True) as listen:
        engine = common.open_engine(listen)
        environment = common.chosen(engine, student)
        keeping.check_reset(environment, machine, at)
    what = f"{environment.student.id}'s {machine or 'environment'}"
    question = f"Make {what} anew, as {at or environment.stage} begins? What is there is saved first."
    if sys.stdin.isatty() and not yes and not typer.confirm(question, err=True):
        print("Nothing was changed.", file=sys.stderr)
        return
    with screen.progress() as listen:
        outcome = keeping.reset(engine, environment, machine, at, listen)
        desktop.follow(engine, outcome.environment, listen)
    _show(outcome, json, "before-reset")


def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The archive to write, such as asmith15.labenv.")],
    name: Annotated[
        str | None,
        typer.Option("--save", metavar="NAME", autocompletion=complete_save, help="A save, not what is there now."),
    ] = None,
    student: StudentOption = None,
) -> None:
    """Write an environment into one file, to go on with it on another computer: the same lab, the same mail.

    Examples:

      labenv export asmith15.labenv

      labenv export old.labenv --save before-tls
    """
    from labenv import archive

    with screen.progress() as listen:
        engine = common.open_engine(listen)
        if name is None:
            size = archive.export(engine, common.chosen(engine, student), file, listen)
        else:
            size = archive.export_save(engine, _whose(engine, student, name), name, file, listen)
    print(f"Wrote {file}, {size / 1e6:.0f} MB. On the other computer: labenv import {file.name}")


def load(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An archive that `labenv export` wrote.")],
    json: JsonOption = False,
) -> None:
    """Take over an environment from an archive; it needs no images and no network.

    It comes up at once, unless the student has an environment here: then it is a save like the others.

    Example:

      labenv import asmith15.labenv
    """
    from labenv import archive
    from labenv import saves as keeping

    with screen.progress() as listen:
        engine = common.open_engine(listen)
        imported = archive.load(engine, file, listen)
        busy = bool(engine.environments(imported.student_id))
        outcome = None if busy else keeping.restore(engine, imported.student_id, imported.name, listen)
    if outcome:
        _show(outcome, json, "before-restore")
    elif json:
        common.print_json(_document(engine, imported))
    else:
        print(
            f"{imported.student_id} has an environment here, which is untouched. The archive is the save {imported.name}: "
            f"labenv restore {imported.name} -s {imported.student_id}"
        )


def _whose(engine: "Engine", student: str | None, name: str) -> str:
    """Whose save is meant: the named student's, or the only one's that has one of that name."""
    from labenv.engine import saves as kept
    from labenv.student import check_id

    if student:
        check_id(student)
        return student

    owners = sorted({found.student_id for found in kept.found(engine) if found.name == name})
    if len(owners) > 1:
        raise UsageError(f"{', '.join(owners)} each have a save called {name}. Say which one: -s STUDENT")
    return owners[0] if owners else common.chosen(engine, None).student.id


def _document(engine: "Engine", found: "Save") -> "dict[str, Any]":
    """A save as --json shows it."""
    from labenv.engine import saves as kept

    return {
        "student": found.student_id,
        "name": found.name,
        "made": found.made.isoformat(timespec="seconds"),
        "lab": found.labels["labenv.lab"],
        "stage": found.stage,
        "machines": list(found.machines),
        "bytes": sum(kept.sizes(engine, found).values()),
    }


def _show(outcome: "Outcome", json: bool, stem: str) -> None:
    if json:
        common.print_json(outcome.environment.to_dict() | {"changes": list(outcome.changes)})
        return
    from labenv.cli import summary

    summary.show(outcome.environment, outcome.changes, None)
    if outcome.changes and outcome.changes[0].startswith(stem):
        who = outcome.environment.student.id
        print(f"\nWhat was there before: labenv restore {outcome.changes[0]} -s {who}")
