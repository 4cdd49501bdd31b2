"""Commands for drills: start, status, diagnose, hint, check, give-up, report."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, drill_files, screen
from labenv.cli.common import JsonOption, StudentOption
from labenv.cli.drill_files import FromOption

if TYPE_CHECKING:
    from labenv.drillbook import Result, Row, Running
    from labenv.drilling import Verdict
    from labenv.engine import Engine
    from labenv.environment import Environment
    from labenv.events import Listener

app = typer.Typer(
    no_args_is_help=True,
    help="Find a fault in a working environment, and mend it.",
    epilog="Example: labenv drill start --level 1",
)


def _complete_drill(incomplete: str) -> list[str]:
    from labenv import drills, lab, plan

    found = drills.files(lab.load(plan.default_lab()))
    return [path.stem for path in found if path.stem.startswith(incomplete)]


def _complete_layer(incomplete: str) -> list[str]:
    from labenv.drills import LAYERS

    return [layer for layer in LAYERS if layer.startswith(incomplete)]


@app.command()
def start(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", autocompletion=_complete_drill, help="A drill; see: drill list.")
    ] = None,
    random: Annotated[bool, typer.Option("--random", help="Any drill; that is so without a name, too.")] = False,
    level: Annotated[int | None, typer.Option(min=1, max=3, help="One of this level: 1 is the easiest.")] = None,
    seed: Annotated[
        str | None,
        typer.Option(help="The same for a class: each student gets the same drill again, and another's not."),
    ] = None,
    folder: FromOption = None,
    student: StudentOption = None,
    json: JsonOption = False,
) -> None:
    """Put one fault into a finished environment, and tell what a user reports.

    Every check must hold before. The environment is saved first. Without a name it is a drill that you have not had yet.

    Examples:

      labenv drill start

      labenv drill start --level 2 --seed week7 -s asmith15

      labenv drill start reading-times-out
    """
    from labenv import drilling, drills
    from labenv import lab as labs
    from labenv.errors import UsageError

    if name and (random or level or seed is not None):
        raise UsageError("Say either a name, or --random, --level and --seed.")
    with screen.progress() as listen:
        engine, environment = _open(listen, student)
        among = drills.catalogue(labs.load(environment.lab), folder)
        wanted = (
            [drilling.named(name, among)]
            if name
            else drilling.drawn(engine, environment, among, level=level, seed=seed)
        )
        running = drilling.start(engine, environment, wanted, listen)
    _tell(drilling.symptom(running, environment), environment, running, json=json)


@app.command()
def status(student: StudentOption = None, json: JsonOption = False) -> None:
    """Tell the symptom again, and how the drill stands.

    That is for how long it has been running, and what was said and asked so far.

    Example:

      labenv drill status
    """
    from labenv import drilling

    with screen.progress() as listen:
        engine, environment = _open(listen, student)
        running = drilling.running(engine, environment)
    _tell(drilling.symptom(running, environment), environment, running, json=json)


@app.command()
def diagnose(
    layer: Annotated[str, typer.Argument(metavar="LAYER", autocompletion=_complete_layer)],
    student: StudentOption = None,
    json: JsonOption = False,
) -> None:
    """Write down on which layer you take the fault to be.

    Best do so before you change anything. The end says if you were right.

    The layers are dns, transport, relay, lda, imap, firewall, accounts and boot.

    Example:

      labenv drill diagnose firewall
    """
    from labenv import drilling

    with screen.progress() as listen:
        engine, environment = _open(listen, student)
        said = drilling.diagnose(engine, environment, layer, listen)
    if json:
        common.print_json({"student": environment.student.id, **vars(said)})
    else:
        late = " Something had been changed already." if said.touched else ""
        print(f"Written down: {said.layer}.{late}")


@app.command()
def hint(student: StudentOption = None, json: JsonOption = False) -> None:
    """Help a little more each time, three times. The report counts them.

    Example:

      labenv drill hint
    """
    from labenv import drilling

    with screen.progress() as listen:
        engine, environment = _open(listen, student)
        hints = drilling.hint(engine, environment, listen)
    if json:
        common.print_json({"student": environment.student.id, "hints": hints})
    else:
        for number, text in enumerate(hints, 1):
            print(f"{number}. {text}")


@app.command()
def check(student: StudentOption = None, json: JsonOption = False) -> None:
    """Run all checks. If they hold, the drill is over, and the report is shown.

    Exit code 0: it is over; 1: a check fails.

    Example:

      labenv drill check
    """
    from labenv import drilling

    with screen.progress() as listen:
        engine, environment = _open(listen, student)
        verdict = drilling.check(engine, environment, listen)
    _judge(verdict, environment, json=json)


@app.command("give-up")
def give_up(
    student: StudentOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: JsonOption = False,
) -> None:
    """Have the fault mended, and be told what it was.

    Exit code 0: all checks hold then; 1: one fails.

    Example:

      labenv drill give-up --yes
    """
    from labenv import drilling

    with screen.progress() as listen:
        engine, environment = _open(listen, student)
        drilling.running(engine, environment)
    if not yes:
        typer.confirm("End the drill, have the fault mended and be told what it was?", err=True, abort=True)
    with screen.progress() as listen:
        verdict = drilling.give_up(engine, environment, listen)
    _judge(verdict, environment, json=json)


@app.command()
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
    from labenv import drillbook
    from labenv.errors import UsageError

    if csv and not all_:
        raise UsageError("--csv writes the table of all students. Say --all, too.")
    with screen.progress() as listen:
        if all_:
            rows = drillbook.rows(common.open_engine(listen))
        else:
            engine, environment = _open(listen, student)
            over = drillbook.over(engine, environment.student.id)
    if all_:
        _tell_class(rows, csv, json=json)
        return
    if json:
        entries = [result.to_dict() for result in over]
        common.print_json({"student": environment.student.id, "lab": environment.lab, "drills": entries})
        return
    for number, result in enumerate(over):
        print("\n" * bool(number) + "\n".join(_lines(result)))
    if not over:
        print("No drill is over yet.", file=sys.stderr)


def _tell_class(rows: "list[Row]", csv: Path | None, *, json: bool) -> None:
    from labenv import drillbook
    from labenv.errors import UsageError

    if csv:
        try:
            csv.write_text(drillbook.as_csv(rows), encoding="utf-8")
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
        diagnosed = "" if row.to_diagnosis is None else _time(row.to_diagnosis)
        beyond = "" if row.beyond is None else f"{row.beyond}"
        cells = [row.student, row.name, f"{row.level}", row.outcome, _time(row.seconds), diagnosed]
        table.add_row(*cells, f"{row.hints}", f"{row.looks}", beyond)
    Console(highlight=False, width=None if sys.stdout.isatty() else 10_000).print(table)


app.command("list")(drill_files.list_)
app.command()(drill_files.lint)
app.command()(drill_files.schema)


def _open(listen: "Listener", student: str | None) -> "tuple[Engine, Environment]":
    engine = common.open_engine(listen)
    return engine, common.chosen(engine, student)


def _tell(symptom: str, environment: "Environment", running: "Running", *, json: bool) -> None:
    """What a student may know of a drill that runs: never its name."""
    said = [entry.layer for entry in running.diagnoses]
    if json:
        common.print_json(
            {
                "student": environment.student.id,
                "level": running.drill.level,
                "symptom": symptom,
                "saved": running.saved,
                "begun": running.begun,
                "seconds": running.seconds,
                "diagnoses": said,
                "hints": len(running.hinted),
                "looks": len(running.looked),
            }
        )
        return
    typer.secho(f"A user reports: {symptom}", bold=True)
    print(f"Level {running.drill.level}, for {_time(running.seconds)}, hints: {len(running.hinted)}")
    if said:
        print(f"You said: {', '.join(said)}")
    print(
        "What you think, before you change anything: labenv drill diagnose LAYER\n"
        "When you have mended it: labenv drill check\nHelp: labenv drill hint\n"
        f"The environment from before the drill is saved as {running.saved}.",
        file=sys.stderr,
    )


def _judge(verdict: "Verdict", environment: "Environment", *, json: bool) -> None:
    failed = [result for result in verdict.report.results if result.status == "fail"]
    if json:
        result = verdict.result.to_dict() if verdict.result else None
        summary = verdict.report.summary
        common.print_json(
            {"student": environment.student.id, "over": bool(result), "result": result, "summary": summary}
        )
    else:
        if verdict.result:
            print("\n".join(_lines(verdict.result)))
        if failed and verdict.result:
            for one in failed:
                print(f"Step {one.step} on {one.machine}: {one.evidence}")
            way_back = f"labenv restore {verdict.result.saved}"
            print(f"Not every check holds. Go on with labenv next, or back to before the drill: {way_back}")
        elif failed:  # which ones would give the fault away
            print(f"{len(failed)} {'check does' if len(failed) == 1 else 'checks do'} not hold, so the drill goes on.")
    if failed:
        raise typer.Exit(1)


def _lines(result: "Result") -> list[str]:
    how = "mended" if result.mended else "given up"
    diagnosis = "never" if result.to_diagnosis is None else f"after {_time(result.to_diagnosis)}"
    said = ", ".join(entry.layer + (" (after a change)" if entry.touched else "") for entry in result.diagnoses)
    return [
        f"{result.name} (level {result.level}): {how} after {_time(result.seconds)}",
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


def _time(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
