"""The check command."""

import sys
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption, StudentOption
from labenv.cli.output import document
from labenv.errors import EngineError, UsageError

if TYPE_CHECKING:
    from labenv.checks.results import Report
    from labenv.engine import Engine
    from labenv.environment import Environment
    from labenv.environments.reboot import Lost
    from labenv.lab.model import Lab

_STDOUT = "-"


def check(
    steps: Annotated[
        list[str] | None, typer.Argument(metavar="STEP", help="Only these steps, such as 19 or 11b.")
    ] = None,
    student: StudentOption = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Keep running, and check again when something changes.")
    ] = False,
    after_reboot: Annotated[
        bool, typer.Option("--after-reboot", help="Reboot all machines first, and show what was lost.")
    ] = False,
    trust: Annotated[
        bool, typer.Option("--trust", help="Also compare all programs of the machines with those of their images.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="Show every step, however many lines that takes.")] = False,
    json: JsonOption = False,
    junit: Annotated[str | None, typer.Option(metavar="FILE", help="Write JUnit XML for CI; - is stdout.")] = None,
    html: Annotated[str | None, typer.Option(metavar="FILE", help="Write one HTML page; - is stdout.")] = None,
    markdown: Annotated[str | None, typer.Option(metavar="FILE", help="Write Markdown; - is stdout.")] = None,
) -> None:
    """Check the steps of the sheet on the running machines, and show what to do next.

    What it shows fits a screen: a part of the sheet where nothing is to be fixed is one line. With --all, or for the steps that
    you name, it shows each step.

    Exit code 0: all checks passed; 1: a check failed. --watch runs until Ctrl-C, and its exit code is always 0.

    Examples:

      labenv check

      labenv check --all

      labenv check 19 20 -s asmith15

      labenv check --watch

      labenv check --after-reboot

      labenv check --trust

      labenv check --html report.html --junit results.xml

      labenv check --json | jq .summary
    """
    files = {kind: name for kind, name in (("junit", junit), ("html", html), ("markdown", markdown)) if name}
    if watch and (after_reboot or trust):
        raise UsageError(f"--watch and --{'after-reboot' if after_reboot else 'trust'} cannot be combined.")
    if watch and (json or files):
        raise UsageError("--watch cannot be combined with a report. For a report, leave --watch out.")
    if [*files.values(), *([_STDOUT] if json else [])].count(_STDOUT) > 1:
        raise UsageError("Only one report can go to stdout. Give a file name for the others.")
    for name in {*files.values()} - {_STDOUT}:
        common.check_writable(Path(name))
    with screen.progress(quiet=watch) as listen:
        engine = common.open_engine(listen)
        environment = common.chosen(engine, student)
        common.tell_of_loss(environment, listen, quiet=json or bool(files))
        from labenv.checks.run import check_known, run_checks
        from labenv.lab import labs

        lab = labs.of(environment)
        check_known(lab, steps or [])
        common.count_look(engine, environment, listen)
        lost: list[Lost] = []
        if after_reboot:
            from labenv.environments.reboot import reboot_and_compare

            lost = reboot_and_compare(engine, environment, listen)
            environment = common.chosen(engine, environment.student.id)
        if not watch:
            common.if_interrupted("Checks change nothing. The results so far are lost.")
            report = run_checks(engine, environment, steps=steps or None, written=True, whole=trust, listen=listen)
    if watch:
        from labenv.cli import watch as drawn

        drawn.watch(engine, environment, common.lab_of(environment), steps or None)
        return
    if files:
        _write(files, report, lab, engine, environment)
    if json:
        told = {"lost": [vars(thing) for thing in lost]} if after_reboot else {}
        common.print_json(report.to_dict() | told)
    elif _STDOUT not in files.values():
        spoken = common.lab_of(environment)
        _show(report.spoken(spoken), spoken, whole=trust, long=every or bool(steps))
        if after_reboot:
            print("\n".join(["", *(thing.sentence for thing in lost)]) if lost else "\nNothing was lost in the reboot.")
    if report.failed:
        raise typer.Exit(1)


def _show(report: "Report", lab: "Lab", *, whole: bool, long: bool) -> None:
    """Print the results on stdout: all steps if it may be `long`, else what fits the terminal.

    `whole`: all programs of the machines were compared.
    """
    from rich.console import Console

    from labenv.cli import brief, fold, sheet

    if whole and not report.notes:
        report = replace(report, notes=("All programs are what the images brought.",))
    # A pipe has no width, and grep needs whole lines, without the padding of a table.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 240)
    with console.capture() as text:
        if long:
            console.print(sheet.drawn(report, lab))
        else:
            for line in brief.lines(report, lab, fold.width(), brief.height()):
                console.print(line, soft_wrap=True)
    print("\n".join(line.rstrip() for line in text.get().splitlines()))


def _write(files: dict[str, str], report: "Report", lab: "Lab", engine: "Engine", environment: "Environment") -> None:
    from labenv import reports
    from labenv.reports.paper import Paper
    from labenv.sheet import guide

    asked: tuple[guide.Asked, ...] = ()
    with suppress(EngineError):  # the checks report a host that is down
        asked = tuple(guide.asked(engine, environment))
    paper = Paper(report, lab, environment, asked, datetime.now(UTC))
    for kind, name in files.items():
        text = reports.KINDS[kind](paper)
        if name == _STDOUT:
            document(text)
            continue
        try:
            Path(name).write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"The report {name} cannot be written: {error.strerror}. Choose another file.") from error
        print(f"Wrote {name}", file=sys.stderr)
