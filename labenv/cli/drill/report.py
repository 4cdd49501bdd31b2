"""The command that shows how drills went: report."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption, StudentOption
from labenv.errors import UsageError

if TYPE_CHECKING:
    from labenv.environments.drill_records import DrillEntry, Result


def report(
    student: StudentOption = None,
    all_: Annotated[bool, typer.Option("--all", help="Show a table of all students' drills, for teachers.")] = False,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="With --all: also write CSV.")] = None,
    json: JsonOption = False,
) -> None:
    """Show how drills went: the finished ones of this environment, or those of all students.

    The records belong to the environment: `labenv down` removes them.

    Examples:

      labenv drill report

      labenv drill report --all --csv drills.csv
    """
    from labenv.environments import drill_records

    if csv and not all_:
        raise UsageError("--csv writes the table of all students, so it needs --all.")
    with screen.progress() as listen:
        if all_:
            rows = drill_records.rows(common.open_engine(listen))
        else:
            engine = common.open_engine(listen)
            environment = common.chosen(engine, student)
            over = drill_records.over(engine, environment.student.id)
    if all_:
        _tell_class(rows, csv, json=json)
        return
    if json:
        entries = [result.to_dict() for result in over]
        common.print_json({"student": environment.student.id, "lab": environment.lab, "drills": entries})
        return
    from labenv.sheet import drill

    lab = common.lab_of(environment)
    for number, result in enumerate(over):
        print("\n" * bool(number) + "\n".join(lines(drill.retold(result, environment, lab))))
    if not over:
        print("No drill is finished yet.", file=sys.stderr)


def _tell_class(rows: "list[DrillEntry]", csv: Path | None, *, json: bool) -> None:
    from labenv.environments import drill_records

    if csv:
        common.write_text(csv, drill_records.as_csv(rows))
    if json:
        common.print_json({"drills": [vars(row) for row in rows]})
        return
    table(rows)


def table(rows: "list[DrillEntry]") -> None:
    """Print the drills of many students, a line each."""
    from labenv.cli import show
    from labenv.sheet.drill_words import time

    titles = ("student", "drill", "level", "outcome", "time", "diagnosed", "hints", "checks run", "extra lines")
    cells = []
    for row in rows:
        diagnosed = "" if row.to_diagnosis is None else time(row.to_diagnosis)
        beyond = "" if row.beyond is None else f"{row.beyond}"
        first = [row.student, row.name, f"{row.level}", row.ended, time(row.seconds), diagnosed]
        cells.append([*first, f"{row.hints}", f"{row.looks}", beyond])
    show.table(titles, cells)


def lines(result: "Result") -> list[str]:
    """The result of a drill, line by line."""
    from labenv.sheet import drill_words

    return [
        drill_words.outcome(result),
        *(f"  {f'{name}:':<13} {text}" for name, text in drill_words.rows(result)),
        "  One way to fix it:",
        *(f"    {line}" for line in result.solution.splitlines()),
    ]
