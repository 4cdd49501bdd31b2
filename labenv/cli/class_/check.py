"""The class check command."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.class_.common import AssignmentOption, ClassOption, OnlyOption, open_engine, opened
from labenv.cli.common import JsonOption
from labenv.cli.output import document
from labenv.errors import EngineError, LabenvError, UsageError

if TYPE_CHECKING:
    from labenv.checks.results import Report
    from labenv.classroom.running.board import Board, Row
    from labenv.environment import Environment

_STDOUT = "-"
_NAMED = 3  # steps at which most fail


def check(
    steps: Annotated[
        list[str] | None, typer.Argument(metavar="STEP", help="Only these steps, such as 19 or 11b.")
    ] = None,
    folder: ClassOption = None,
    only: OnlyOption = None,
    lab: AssignmentOption = None,
    json: JsonOption = False,
    junit: Annotated[str | None, typer.Option(metavar="FILE", help="Write JUnit XML for CI; - is stdout.")] = None,
) -> None:
    """Check the steps of all students' environments, several at once, and show a row for each.

    Who could not be checked is listed below the table, with the reason. What was seen in one environment: labenv check -s STUDENT.

    Exit code 0: all checks passed; 1: a check failed; 3: none failed, but an environment that runs could not be checked.

    Examples:

      labenv class check

      labenv class check 19 20 --only 'a*'

      labenv class check --json | jq '.students[] | {student, summary}'

      labenv class check --junit class.xml
    """
    if junit == _STDOUT and json:
        raise UsageError("Only one report can go to stdout. Give --junit a file name.")
    if junit and junit != _STDOUT:
        common.check_writable(Path(junit))
    of = opened(folder)
    assignment, members = of.assignment(lab), of.chosen(only)
    with screen.progress() as listen:
        engine = open_engine(of, listen)
        from labenv.checks.run import check_known
        from labenv.classroom.running.board import Board, state
        from labenv.classroom.running.checking import check_all

        board = Board(engine, of, assignment, members)
        check_known(board.lab, steps or [])
        there = board.environments()
        if not there:
            raise EngineError(
                f"No student of {of.name} has an environment of {assignment.name}. Bring them up: labenv class up"
            )
        running = [each for each in there.values() if state(each) in ("runs", "partly")]
        told: dict[str, Report | LabenvError] = {}
        common.if_interrupted(_left_off(0, len(running)))
        for each, said in check_all(engine, running, steps=steps, listen=listen):
            told[each.student.id] = said
            common.if_interrupted(_left_off(len(told), len(running)))
        now = int(time.time())
        rows = [
            row.after(report, board.lab, now)
            if (report := told.get(row.student)) and not isinstance(report, LabenvError)
            else row
            for row in board.look()
        ]
    reports = {student: said for student, said in told.items() if not isinstance(said, LabenvError)}
    broken = {student: said for student, said in told.items() if isinstance(said, LabenvError)}
    unchecked = {student: str(error) for student, error in broken.items()} | _absent(rows, told)
    if junit:
        _write_junit(junit, board, there, reports, unchecked)
    if json:
        common.print_json(_as_json(board, rows, reports, unchecked))
    elif junit != _STDOUT:
        _show(board, rows, reports, unchecked, steps)
    if any(report.failed for report in reports.values()):
        raise typer.Exit(1)
    if broken:
        raise typer.Exit(EngineError.exit_code)


def _left_off(count: int, whole: int) -> str:
    """What holds after so many of the environments were checked."""
    from labenv.environments import history

    kept = "labenv class status has their results" if history.has_git() else "their results are lost, as git is missing"
    return f"Checks change nothing. {count} of {whole} environments were checked{f': {kept}' if count else ''}."


def _absent(rows: "Sequence[Row]", told: "Mapping[str, object]") -> dict[str, str]:
    """Why each student was not checked whose environment does not run."""
    reasons = {
        "missing": "There is no environment. Make one: labenv class up",
        "stopped": "The environment is stopped. Start it: labenv class up",
    }
    return {row.student: row.note or reasons.get(row.state, "") for row in rows if row.student not in told}


def _show(
    board: "Board",
    rows: "Sequence[Row]",
    reports: "Mapping[str, Report]",
    unchecked: Mapping[str, str],
    steps: Sequence[str] | None,
) -> None:
    from labenv.cli.class_ import grid

    there = [row for row in rows if row.student in reports]
    bad = sum(bool(report.failed) for report in reports.values())
    failing = Counter(step for row in there for step, mark in row.marks.items() if mark == "fail")
    said = [grid.legend(), f"{len(there)} checked: " + (f"a step fails for {bad}" if bad else "no step fails")]
    for step, count in failing.most_common(_NAMED):
        said.append(f"step {step} fails for {count}: {board.lab.steps[step].title}")
    grid.show(there, board.lab, filter(None, said), steps)
    if unchecked:
        print(f"\n{len(unchecked)} could not be checked:")
        for student, reason in unchecked.items():
            print(f"  {student}: {reason}")


def _as_json(
    board: "Board", rows: "Sequence[Row]", reports: "Mapping[str, Report]", unchecked: Mapping[str, str]
) -> dict[str, object]:
    students: list[dict[str, object]] = []
    for row in rows:
        if report := reports.get(row.student):
            students.append({"name": row.name, **report.to_dict()})
        else:
            students.append(
                {"student": row.student, "name": row.name, "lab": board.lab.id, "error": unchecked[row.student]}
            )
    counts = Counter[str]()
    for report in reports.values():
        counts.update(report.summary)
    summary = {name: counts[name] for name in ("passed", "failed", "skipped", "warned")}
    return {
        "class": board.of.id,
        "lab": board.lab.id,
        "students": students,
        "summary": summary | {"checked": len(reports), "not_checked": len(unchecked)},
    }


def _write_junit(
    file: str,
    board: "Board",
    there: "Mapping[str, Environment]",
    reports: "Mapping[str, Report]",
    unchecked: Mapping[str, str],
) -> None:
    from labenv.reports.cases import xml_of_class
    from labenv.reports.paper import Paper

    now = datetime.now(UTC)
    papers = [Paper(report, board.lab, there[student], (), now) for student, report in reports.items()]
    text = xml_of_class(f"{board.of.name}: {board.lab.id}", papers, unchecked)
    if file == _STDOUT:
        document(text)
        return
    output = Path(file)
    common.write_text(output, text)
