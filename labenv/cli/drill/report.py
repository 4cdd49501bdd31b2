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
    how = "fixed" if result.mended else "ended by the teacher" if result.by_teacher else "given up"
    diagnosis = "never" if result.to_diagnosis is None else f"after {time(result.to_diagnosis)}"
    said = ", ".join(entry.layer + (" (after a change)" if entry.touched else "") for entry in result.diagnoses)
    return [
        f"{result.name} (level {result.level}): {how} after {time(result.seconds)}",
        f"  The fault:    {result.title} ({' or '.join((result.layer, *result.also))})",
        f"  Why:          {result.explanation}",
        f"  Diagnosed:    {diagnosis}; you said {said or 'nothing'}",
        f"  Hints:        {result.hints}",
        f"  Checks run:   {result.looks} (labenv check, next and hint)",
        f"  Lines changed beyond the fault: {'not known' if result.beyond is None else result.beyond}",
        f"  Saved before: {result.saved}; to remove it: labenv saves --remove {result.saved}",
        "  One way to fix it:",
        *(f"    {line}" for line in result.solution.splitlines()),
    ]


def time(seconds: int) -> str:
    """A duration as a person reads it: "2 min 5 s"."""
    minutes, rest = divmod(seconds, 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
