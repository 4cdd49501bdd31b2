"""The class reset command."""

import sys
from typing import Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.class_ import told
from labenv.cli.class_.common import (
    AssignmentOption,
    ClassOption,
    DryRunOption,
    OnlyOption,
    complete_stage,
    open_engine,
    opened,
)
from labenv.cli.common import JsonOption, YesOption


def reset(
    machine: Annotated[
        str | None,
        typer.Argument(metavar="MACHINE", autocompletion=common.complete_machine, help="Only this machine of each."),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="STAGE",
            autocompletion=complete_stage,
            help="The stage to reset to. Default: each environment's own.",
        ),
    ] = None,
    folder: ClassOption = None,
    lab: AssignmentOption = None,
    only: OnlyOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Reset the environments of the class, or one machine of each, to the start of a stage. Each is saved first.

    Examples:

      labenv class reset --at relay

      labenv class reset vm3 --only bjones3
    """
    from labenv.classroom.running import reset as core
    from labenv.classroom.running import there as known

    of = opened(folder)
    with screen.progress(quiet=True) as listen:
        engine = open_engine(of, listen)
        there = known.environments(engine, of, only, lab)
        core.check(there, machine, at)
    what = f"{machine or 'all machines'} of {told.environments(there)} to the start of {at or 'their stage'}"
    if dry_run:
        if json:
            rows = [{"student": each.student.id, "stage": at or each.stage} for each in there]
            common.print_json(told.document(of, rows, {}))
        else:
            print(f"Would reset {what}. Each would be saved first.", file=sys.stderr)
        return
    if not told.agreed(f"Reset {what}?", ["Each is saved first."], yes=yes):
        return
    common.if_interrupted(
        "Who was reset stays so, and has a save from before: labenv saves. For the others: the same command with --only"
    )
    with screen.progress() as listen:
        done, errors = told.sorted_out(core.reset(engine, there, machine, at, listen))
    if json:
        rows = [outcome.environment.to_dict() | {"changes": list(outcome.changes)} for outcome in done.values()]
        common.print_json(told.document(of, rows, errors))
    elif done:
        from labenv.cli import show

        table = [(who, outcome.environment.stage, outcome.changes[0]) for who, outcome in done.items()]
        show.table(("student", "at", "saved before as"), table)
        print("To go back for a student: labenv restore NAME -s STUDENT")
    told.finish(errors, len(done) + len(errors))
