"""Commands for drills: start, status, diagnose, hint, check, give-up, report, list, lint, schema."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption, StudentOption

if TYPE_CHECKING:
    from labenv.drilling import Result, Running, Verdict
    from labenv.engine import Engine
    from labenv.environment import Environment
    from labenv.events import Listener

app = typer.Typer(no_args_is_help=True, help="Find a fault in a working environment, and mend it.")

FromOption = Annotated[
    Path | None,
    typer.Option("--from", metavar="DIR", file_okay=False, exists=True, help="Drills of this folder too."),
]


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
    """Put one fault into the environment, in which every check must hold, and tell what a user reports.

    Without a name it is one that you have not had yet.

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
        chosen = (
            drilling.named(name, among) if name else drilling.choose(engine, environment, among, level=level, seed=seed)
        )
        running = drilling.start(engine, environment, chosen, listen)
    _tell(drilling.symptom(running, environment), environment, running, json=json)


@app.command()
def status(student: StudentOption = None, json: JsonOption = False) -> None:
    """Tell the symptom again, for how long the drill has been running, and what was said and asked so far.

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
    """Write down on which layer you take the fault to be, best before you change anything. The end says if it was.

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
def report(student: StudentOption = None, json: JsonOption = False) -> None:
    """Report on the drills that are over in this environment.

    Examples:

      labenv drill report

      labenv drill report --json | jq '.drills[].seconds'
    """
    from labenv import drilling

    with screen.progress() as listen:
        engine, environment = _open(listen, student)
        over = drilling.over(engine, environment)
    if json:
        entries = [result.to_dict() for result in over]
        common.print_json({"student": environment.student.id, "lab": environment.lab, "drills": entries})
        return
    for number, result in enumerate(over):
        print("\n" * bool(number) + "\n".join(_lines(result)))
    if not over:
        print("No drill is over yet.", file=sys.stderr)


@app.command("list")
def list_(
    folder: FromOption = None,
    answers: Annotated[bool, typer.Option("--answers", help="With layer and fault, for teachers.")] = False,
    json: JsonOption = False,
) -> None:
    """List the drills by level, each with what a user reports.

    Examples:

      labenv drill list

      labenv drill list --from ./mydrills --answers
    """
    from labenv import drills, plan
    from labenv import lab as labs
    from labenv.student import Student

    lab = labs.load(plan.default_lab())
    example = Student("asmith15", 90, "ann", "")
    found = [(drill, drills.filled(drill.symptom, example)) for drill in drills.catalogue(lab, folder)]
    if json:
        entries = [
            {"name": drill.name, "level": drill.level, "symptom": text}
            | ({"layer": drill.layer, "title": drill.title} if answers else {})
            for drill, text in found
        ]
        common.print_json({"lab": lab.id, "drills": entries})
        return
    for drill, text in found:
        print(f"{drill.level}  {drill.name}\n   {f'{drill.layer}: {drill.title}' if answers else text}")


@app.command()
def lint(
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Default: the lab's drills and your own folder's.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Say what is wrong in the files of drills, each with its line. A file NAME.yaml is the drill NAME.

    Your own drills lie in ~/.config/labenv/drills, or where LABENV_DRILLS says. Exit code 0: nothing is wrong; 2:
    something is.

    Example:

      labenv drill lint ./mydrills
    """
    from labenv import drills, plan
    from labenv import lab as labs

    lab = labs.load(plan.default_lab())
    files = [path for path in drills.files(lab, folder) if folder is None or path.parent == folder]
    found = [finding for path in files for finding in drills.lint(path, lab)]
    if json:
        common.print_json({"drills": len(files), "findings": [vars(finding) for finding in found]})
    else:
        print("\n".join(map(str, found)) or f"{len(files)} drills: nothing is wrong")
    if found:
        raise typer.Exit(2)


@app.command()
def schema() -> None:
    """Print the JSON schema of a drill's file, for an editor that completes and marks mistakes.

    Example:

      labenv drill schema > drill.schema.json
    """
    from labenv import drills

    common.print_json(drills.schema())


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
                "begun": running.begun,
                "seconds": running.seconds,
                "diagnoses": said,
                "hints": len(running.hinted),
            }
        )
        return
    typer.secho(f"A user reports: {symptom}", bold=True)
    print(f"Level {running.drill.level}, for {_time(running.seconds)}, hints: {len(running.hinted)}")
    if said:
        print(f"You said: {', '.join(said)}")
    print(
        "What you think, before you change anything: labenv drill diagnose LAYER\n"
        "When you have mended it: labenv drill check\nHelp: labenv drill hint",
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
        for one in failed:
            print(f"Step {one.step} on {one.machine}: {one.evidence}")
        if failed and verdict.result:
            print("The fault is out, but not every check holds: see labenv next.", file=sys.stderr)
        elif failed:
            print("Not every check holds, so the drill goes on.", file=sys.stderr)
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
        f"  Lines changed beyond the fault: {result.beyond}",
        "  One way to mend it:",
        *(f"    {line}" for line in result.solution.splitlines()),
    ]


def _time(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
