"""The class grades command."""

from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common
from labenv.cli.class_ import results as reports
from labenv.cli.class_ import scores
from labenv.cli.class_.common import AssignmentOption, ClassOption, complete_member, opened
from labenv.cli.class_.results import (
    CsvOption,
    GradebookOption,
    HtmlEachOption,
    HtmlOption,
    ItemOption,
    JunitOption,
    ResultsOption,
    XlsxOption,
)
from labenv.cli.common import JsonOption
from labenv.errors import UsageError
from labenv.text import number, one_line

if TYPE_CHECKING:
    from collections.abc import Collection

    from labenv.classroom.folder.model import Class
    from labenv.classroom.grading.model import Grade
    from labenv.classroom.grading.record import Run


def grades(
    student: Annotated[
        str | None,
        typer.Argument(
            metavar="[STUDENT]", autocompletion=complete_member, help="Show all that is kept of one student."
        ),
    ] = None,
    folder: ClassOption = None,
    lab: AssignmentOption = None,
    csv: CsvOption = None,
    xlsx: XlsxOption = None,
    junit: JunitOption = None,
    html: HtmlOption = None,
    html_each: HtmlEachOption = None,
    results: ResultsOption = None,
    gradebook: GradebookOption = None,
    item: ItemOption = "",
    json: JsonOption = False,
) -> None:
    """Show the grades that are kept, with what was decided since; nothing is graded again.

    Examples:

      labenv class grades

      labenv class grades asmith15

      labenv class grades --lab lab3 --gradebook canvas=grades.csv
    """
    files = reports.wanted(
        csv=csv,
        xlsx=xlsx,
        junit=junit,
        html=html,
        html_each=html_each,
        results=results,
        gradebook=gradebook,
        item=item,
    )
    there = opened(folder)
    from labenv.classroom.gradebook import shown
    from labenv.classroom.grading.record import Record

    assignment = there.assignment(lab)
    kept = shown.kept(there, assignment)
    if student is not None:
        name = _named(there, student, {grade.student for grade in kept})
        kept = [grade for grade in kept if grade.student == name]
        if not kept:
            raise UsageError(f"Nothing of {name} was graded for {assignment.name}.")
        runs = Record(there).runs(assignment.name, name)
    if not files.is_nothing:
        reports.write(files, shown.book(there, assignment, kept))
    if json:
        history = {"history": [_run(run) for run in runs]} if student is not None else {}
        common.print_json({"class": there.id, "lab": assignment.name, "grades": [g.to_dict() for g in kept]} | history)
    elif student is None:
        scores.table(kept)
        scores.notes(kept)
        scores.summary(kept)
    else:
        _show(kept[0], runs)


def _named(there: "Class", student: str, graded: "Collection[str]") -> str:
    """The student's id; one who has left the roster may still have grades. Raises UsageError."""
    return student if student in graded else there.member(student).id


def _show(grade: "Grade", runs: "list[Run]") -> None:
    """Print all that is known of one student's grade: each step, what was taken away, and how it was before."""
    from labenv.cli import show

    scores.table([grade])
    rows = []
    for step in grade.steps:
        said = f"{step.status}{f', the student says {step.claimed}' if step.claimed else ''}"
        points = f"{number(grade.points_of(step))} of {number(step.of)}" if step.of else "-"
        rows.append([step.step, one_line(step.title), points, said, grade.judge_of(step), one_line(step.seen)[:160]])
    print()
    show.table(("step", "what", "points", "status", "judge", "seen"), rows)
    for taken in grade.deductions:
        print(one_line(f"-{number(taken.points)}: {taken.reason}"))
    for decided in grade.overrides:
        what = f"step {decided.step}" if decided.step else "all"
        print(
            one_line(
                f"{what}: {number(decided.points)} points by {decided.author}, {decided.time:%Y-%m-%d}: {decided.reason}"
            )
        )
    scores.notes([grade])
    print("\nGraded:")
    for run in runs:
        for each in run.grades:
            points = f"{number(each.total)} of {number(each.of)}"
            print(one_line(f"  {run.time:%Y-%m-%d %H:%M} by {run.author}, {run.source}: {each.missing or points}"))


def _run(run: "Run") -> dict[str, object]:
    return {
        "time": run.time.isoformat(),
        "author": run.author,
        "source": run.source,
        "grades": [grade.to_dict() for grade in run.grades],
    }
