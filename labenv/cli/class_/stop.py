"""The class stop command."""

import typer

from labenv.cli import common, screen
from labenv.cli.class_.common import AssignmentOption, ClassOption, DryRunOption, OnlyOption, open_engine, opened
from labenv.cli.common import JsonOption
from labenv.errors import LabenvError


def stop(
    folder: ClassOption = None,
    only: OnlyOption = None,
    lab: AssignmentOption = None,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Stop the environments of a class: their machines are shut down, and everything in them stays.

    labenv class up brings them back as they were.

    Examples:

      labenv class stop

      labenv class stop --only 'b*'
    """
    from labenv.classroom.running import waves
    from labenv.classroom.running.there import environments
    from labenv.classroom.serving import stop as core
    from labenv.text import many

    common.if_interrupted("What was stopped stays so, with all work; the same command continues from there.")
    of = opened(folder)
    with screen.progress() as listen:
        engine = open_engine(of, listen)
        there = [each for each in environments(engine, of, only, lab) if core.running(each)]
        stopped: list[str] = []
        errors: dict[str, LabenvError] = {}
        coming = waves.paced(
            [] if dry_run else there,
            lambda each: core.stop(
                engine.holding(each.student.id).apart(), each.student.id, waves.of_one(listen, each.student.id)
            ),
            listen,
            name=lambda each: each.student.id,
            doing=f"stopping {many(len(there), 'environment')}",
        )
        for each, result in coming:
            if isinstance(result, LabenvError):
                errors[each.student.id] = result
            else:
                stopped.append(each.student.id)
    names = sorted(each.student.id for each in there) if dry_run else sorted(stopped)
    if json:
        failed = {who: str(error) for who, error in sorted(errors.items())}
        common.print_json({"class": of.id, "stopped": names, "dry_run": dry_run, "failed": failed})
    else:
        print(f"{'To be stopped' if dry_run else 'Stopped'}: {', '.join(names) or 'none, no machine runs'}")
    for who, error in sorted(errors.items()):
        typer.echo(f"labenv: {who}: {error}", err=True)
    if errors:
        raise typer.Exit(max(error.exit_code for error in errors.values()))
