"""The command that tells how drills went: report."""

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
    all_: Annotated[bool, typer.Option("--all", help="A table of the drills of all students, for teachers.")] = False,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="With --all: also write it as CSV.")] = None,
    json: JsonOption = False,
) -> None:
    """Show how the drills went: those of this environment that are over, or all students'.

    What is known of them goes with the environment: `labenv down` removes it.

    Examples:

      labenv drill report

      labenv drill report --all --csv drills.csv
    """
    from labenv.environments import drill_records

    if csv and not all_:
        raise UsageError("--csv writes the table of all students. Say --all, too.")
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
    for number, result in enumerate(over):
        print("\n" * bool(number) + "\n".join(lines(result)))
    if not over:
        print("No drill is over yet.", file=sys.stderr)


def _tell_class(rows: "list[DrillEntry]", csv: Path | None, *, json: bool) -> None:
    from labenv.environments import drill_records

    if csv:
        try:
            csv.write_text(drill_records.as_csv(rows), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{csv} cannot be written: {error.strerror}. Give another file.") from error
    if json:
        common.print_json({"drills": [vars(row) for row in rows]})
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    for title in ("student", "drill", "level", "outcome", "time", "diagnosed", "hints", "checks asked", "beyond"):
        table.add_column(title)
    for row in rows:
        diagnosed = "" if row.to_diagnosis is None else time(row.to_diagnosis)
        beyond = "" if row.beyond is None else f"{row.beyond}"
        cells = [row.student, row.name, f"{row.level}", row.outcome, time(row.seconds), diagnosed]
        table.add_row(*cells, f"{row.hints}", f"{row.looks}", beyond)
    Console(highlight=False, width=None if sys.stdout.isatty() else 10_000).print(table)


def lines(result: "Result") -> list[str]:
    """What came of a drill, line by line."""
    how = "mended" if result.mended else "given up"
    diagnosis = "never" if result.to_diagnosis is None else f"after {time(result.to_diagnosis)}"
    said = ", ".join(entry.layer + (" (after a change)" if entry.touched else "") for entry in result.diagnoses)
    return [
        f"{result.name} (level {result.level}): {how} after {time(result.seconds)}",
        f"  The fault:    {result.title} ({result.layer})",
        f"  Why:          {result.explanation}",
        f"  Diagnosed:    {diagnosis}; you said {said or 'nothing'}",
        f"  Hints:        {result.hints}",
        f"  Checks asked: {result.looks} (labenv check, next and hint)",
        f"  Lines changed beyond the fault: {'not known' if result.beyond is None else result.beyond}",
        f"  Saved before: {result.saved}; to remove it: labenv saves --remove {result.saved}",
        "  One way to mend it:",
        *(f"    {line}" for line in result.solution.splitlines()),
    ]


def time(seconds: int) -> str:
    """A time as a person reads it: "2 min 5 s"."""
    minutes, rest = divmod(seconds, 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
