"""The check command."""

from typing import Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption, StudentOption


def check(
    steps: Annotated[
        list[str] | None, typer.Argument(metavar="[STEP]…", help="Only these steps, such as 19 or 11b.")
    ] = None,
    student: StudentOption = None,
    json: JsonOption = False,
) -> None:
    """Check the steps of the sheet against the running machines.

    Exit code 0: all passed; 1: one failed.

    [b]Examples[/b]

      labenv check

      labenv check 19 20 -s asmith15

      labenv check --json | jq .summary
    """
    with screen.progress() as listen:
        engine = common.open_engine(listen)
        environment = common.chosen(engine, student)
        from labenv.checks.run import run_checks

        report = run_checks(environment, engine, steps=steps or None, listen=listen)
    if json:
        common.print_json(report.to_dict())
    else:
        from labenv.cli import show

        show.report(report)
    if report.failed:
        raise typer.Exit(1)
