"""The class grade command."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.class_ import results as reports
from labenv.cli.class_ import scores
from labenv.cli.class_.common import AssignmentOption, ClassOption, OnlyOption, open_engine, opened
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
from labenv.errors import LabenvError, UsageError
from labenv.text import number, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from labenv.classroom.grading.grade import Graded, Task
    from labenv.classroom.grading.model import Grade
    from labenv.classroom.grading.record import Record
    from labenv.events import Listener


def grade(
    sources: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[SOURCE]…",
            help="Hand-ins: archives, folders, or the zip of all that an LMS gives. Without: the running environments.",
        ),
    ] = None,
    folder: ClassOption = None,
    lab: AssignmentOption = None,
    only: OnlyOption = None,
    replay: Annotated[
        bool, typer.Option("--replay", help="Judge hand-ins on clean machines, where no program of the student's runs.")
    ] = False,
    handed_in: Annotated[
        Path | None,
        typer.Option(
            "--handed-in",
            metavar="FILE.csv",
            help="When hand-ins came: a CSV file with the columns id and time, or Moodle's grading worksheet.",
        ),
    ] = None,
    handout: Annotated[
        list[Path] | None,
        typer.Option(
            "--handout", metavar="FILE", help="A text that the students were given: quoting it counts nothing."
        ),
    ] = None,
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Also compare all programs of running machines with those of their images."),
    ] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Show whose points are not those of the last time, and why.")
    ] = False,
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
    """Grade a class: its running environments, or what was handed in.

    Hand-ins may be called as Moodle, Canvas, Blackboard and Brightspace call them, or STUDENT.tar.gz. Whose a hand-in is and when it
    came is read from there and never from the archive. The points are those of the lab's rubric (see labenv class rubric). Each run is
    kept in the folder of the class.

    Exit code 1: something could not be graded; it is listed at the end.

    Examples:

      labenv class grade

      labenv class grade submissions.zip --replay --html report.html

      labenv class grade submissions.zip --handed-in worksheet.csv --gradebook moodle=grades.csv

      labenv class grade records/handins/lab4b --compare
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
    common.if_interrupted("Nothing of this run is kept. The grades of earlier ones stay: labenv class grades")
    there = opened(folder, writes=True)
    if not sources:
        for option, given in (("--replay", replay), ("--handed-in", handed_in), ("--handout", handout)):
            if given:
                raise UsageError(
                    f"{option} is about hand-ins. Name them: labenv class grade submissions.zip {option} …"
                )
    elif trust:
        raise UsageError("--trust is about running environments, and cannot be combined with hand-ins.")
    from labenv.classroom.grading.grade import changes, task
    from labenv.classroom.grading.record import Record

    assignment = there.assignment(lab)
    record = Record(there)
    work = task(there, assignment, only, record.overrides(assignment.name))
    with screen.progress() as listen:
        if not sources:
            from labenv.classroom.grading.environments import of_environments

            run = of_environments(open_engine(there, listen), work, whole=trust, listen=listen)
        else:
            run = _handed_in(work, sources, handed_in, handout or (), replay=replay, listen=listen)
    before = record.last(assignment.name) if compare else {}
    kind = "environments" if not sources else "replay" if replay else "hand-ins"
    unkept = _keep(record, kind, run)
    changed = list(changes(before, run.grades))
    if not files.is_nothing:
        from labenv.classroom.gradebook import shown

        reports.write(files, shown.book(there, assignment, run.grades, run))
    if json:
        told = {"changed": [_change(*each) for each in changed]} if compare else {}
        common.print_json({"class": there.id, "lab": assignment.name, "source": kind} | _document(run) | told)
    else:
        _show(run, changed, compare=compare)
        _tell_of_gate(there.records / "handins" / assignment.name, sources or ())
    for sentence in run.failed:
        typer.secho(one_line(f"not graded: {sentence}"), fg="red", err=True)
    if unkept:
        raise unkept
    if run.failed:
        raise typer.Exit(1)


def _handed_in(
    work: "Task",
    sources: list[Path],
    times: Path | None,
    handouts: "Sequence[Path]",
    *,
    replay: bool,
    listen: "Listener",
) -> "Graded":
    from labenv.classroom.grading import handed_in
    from labenv.classroom.grading.handins import Judging, by_their_own, of_handins

    came = handed_in.read(times, work.of) if times else handed_in.HandedIn()
    judging: Judging = by_their_own
    if replay:
        from labenv.classroom.grading.replayed import on_clean_machines

        judging = on_clean_machines(common.open_engine(listen), work.lab, listen)
    return of_handins(work, sources, came, handouts, judging)


def _show(run: "Graded", changed: "list[tuple[Grade, Grade, tuple[str, ...]]]", *, compare: bool) -> None:
    scores.table(run.grades, run.alike)
    scores.notes(run.grades)
    for one, other, said in run.alike:
        typer.secho(one_line(f"{one} and {other} look alike: {said}"), fg="yellow")
    scores.summary(run.grades)
    if compare and not changed:
        print("Nobody's points have changed since the last time.")
    for new, old, why in changed:
        reasons = "; ".join(why) or "the reason is not known"
        print(one_line(f"{new.student}: {number(old.total)} → {number(new.total)} points: {reasons}"))
    if not run.grades:
        print("Nobody is to be graded.", file=sys.stderr)


def _tell_of_gate(folder: Path, sources: "Sequence[Path]") -> None:
    """Say where hand-ins lie that came through the gate, unless something was handed in that is graded."""
    if not sources and folder.is_dir():
        print(f"There are hand-ins from the gate. To grade them: labenv class grade {folder}", file=sys.stderr)


def _keep(record: "Record", kind: str, run: "Graded") -> LabenvError | None:
    """Keep a run on record, or return why that failed: what took minutes is shown all the same."""
    grades = [*((each, True) for each in run.grades), *((each, False) for each in run.others)]
    try:
        record.keep(run.task.assignment.name, kind, grades)
    except LabenvError as error:
        return error
    return None


def _document(run: "Graded") -> dict[str, object]:
    return {
        "grades": [each.to_dict() for each in run.grades],
        "others": [each.to_dict() for each in run.others],
        "alike": [{"students": [one, other], "said": one_line(said)} for one, other, said in run.alike],
        "failed": list(map(one_line, run.failed)),
    }


def _change(new: "Grade", old: "Grade", why: tuple[str, ...]) -> dict[str, object]:
    return {"student": new.student, "before": old.total, "now": new.total, "why": list(why)}
