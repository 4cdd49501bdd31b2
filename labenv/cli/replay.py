"""The replay command."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption
from labenv.errors import LabenvError, UsageError
from labenv.text import one_line

if TYPE_CHECKING:
    from labenv.classroom.gradebook import Book
    from labenv.classroom.grading.model import Grade
    from labenv.classroom.replay.replay import Replayed


def replay(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="Archives from `labenv submit`, or folders of them.")
    ],
    json: JsonOption = False,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write JUnit XML for CI.")] = None,
    results: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the results.json that autograders read, of one archive.")
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write one HTML page.")] = None,
) -> None:
    """Judge what was handed in on clean machines, where no program of the student's has a say.

    An archive's configuration is laid over the machines as the lab gave them: listed files, accounts, what starts at boot. They boot, and
    the lab's checks run there. So it is judged what a boot makes of it, as with labenv check --after-reboot. Scripts, cron jobs and
    commands in configuration files are not carried; it is said what was left out. What cannot be seen again, such as a message that
    was sent by hand, is taken from the archive's own results, and marked. The machines are removed again, and running environments
    are left alone.

    Exit code 0: all checks passed; 1: a check failed; 2: an archive cannot be judged, and the last lines say why.

    Examples:

      labenv replay asmith15.tar.gz

      labenv replay handins/ --json

      labenv replay asmith15.tar.gz --results results.json --junit junit.xml
    """
    from labenv.classroom.grading import replayed as grading
    from labenv.classroom.handins import review
    from labenv.classroom.replay.replay import Replayed, replay_all

    archives = review.listed(files)
    if results and len(archives) > 1:
        raise UsageError(f"--results is for one archive, and these are {len(archives)}. Name one.")
    for file in filter(None, (junit, results, html)):
        common.check_writable(file)
    with screen.progress() as listen:
        engine = common.open_engine(listen)
        found = dict(replay_all(engine, archives, listen))
    judged = {file: one for file in archives if isinstance(one := found[file], Replayed)}
    wrong = {file: one for file in archives if isinstance(one := found[file], LabenvError)}
    grades = {file: grading.grade(file, one) for file, one in judged.items()}
    if grades:
        _write(list(grades.values()), junit, results, html)
    if json:
        told = [{"file": str(file)} | one.to_dict() for file, one in judged.items()]
        failed = [{"file": str(file), "reason": str(error)} for file, error in wrong.items()]
        common.print_json({"replayed": told, "failed": failed})
    else:
        _show(judged, grades)
    for error in wrong.values():
        typer.secho(one_line(str(error)), fg="red", err=True)
    if wrong:
        raise typer.Exit(max(error.exit_code for error in wrong.values()))
    if any(one.report.failed for one in judged.values()):
        raise typer.Exit(1)


def _show(judged: "dict[Path, Replayed]", grades: "dict[Path, Grade]") -> None:
    """Print a row for each submission, then what fails in it, and what of it was not carried."""
    from labenv.cli import show

    rows = []
    for file, one in judged.items():
        counts = one.report.summary
        numbers = [str(counts[name]) for name in ("passed", "failed", "skipped")]
        rows.append([one.report.student, one.report.lab, *numbers, f"{one.seconds:.1f} s", file.name])
    if rows:
        show.table(["student", "lab", "pass", "fail", "wait", "took", "file"], rows, [])
    for file, grade in grades.items():
        for step in grade.steps:
            own = f"; the student's own result: {step.claimed}" if step.claimed else ""
            if step.status == "fail" or step.claimed:
                said = f"{step.status}s" if step.status in ("fail", "pass") else step.status
                by = "" if step.judge == "replay" else " (handed in)"
                print(one_line(f"{grade.student}: step {step.step} {said}{by}: {step.title}{own}"))
            if step.status == "fail" and step.seen:
                print(one_line(f"    {step.seen}"))
        away = judged[file].transient
        if away:
            print(f"{grade.student}: from the archive's own results: step {', '.join(sorted(away))}")
        for said in judged[file].refused:
            typer.secho(one_line(f"{grade.student}: not carried: {said}"), fg="yellow")


def _write(grades: "list[Grade]", junit: Path | None, results: Path | None, html: Path | None) -> None:
    from labenv.classroom import gradebook
    from labenv.classroom.report import of_class

    written = {results: gradebook.results(grades[0])} if results else {}
    if junit or html:
        book = _book(grades)
        written |= {file: make(book) for file, make in ((junit, gradebook.KINDS["junit"]), (html, of_class)) if file}
    for file, data in written.items():
        common.write_text(file, data.decode(), private=True)


def _book(grades: "list[Grade]") -> "Book":
    """The grades as a book of no class. Raises UsageError if they are of several labs."""
    from zoneinfo import ZoneInfo

    from labenv.classroom.folder.model import Assignment, Class
    from labenv.classroom.gradebook import Book

    if len(found := sorted({grade.lab for grade in grades})) > 1:
        raise UsageError(f"A report is about one lab, and these archives are of {', '.join(found)}. Name those of one.")
    lab = Assignment(found[0])
    return Book(Class(Path(), "", "Replay", ZoneInfo("UTC"), (lab,), ()), lab, tuple(grades))
