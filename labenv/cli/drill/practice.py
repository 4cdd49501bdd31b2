"""Commands for running a drill: start, status, diagnose, hint, check, give-up."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption, StudentOption
from labenv.cli.drill import report
from labenv.cli.drill.files import FromOption
from labenv.errors import UsageError

if TYPE_CHECKING:
    from labenv.engine import Engine
    from labenv.environment import Environment
    from labenv.environments.drill_records import Running
    from labenv.events import Listener
    from labenv.sheet.drill import Verdict


def _complete_drill(ctx: typer.Context, incomplete: str) -> list[str]:
    from labenv.lab import drills

    return [path.stem for path in drills.files(common.lab_at_hand(ctx)) if path.stem.startswith(incomplete)]


def _complete_layer(ctx: typer.Context, incomplete: str) -> list[str]:
    return [layer for layer in common.lab_at_hand(ctx).layers if layer.startswith(incomplete)]


def start(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", autocompletion=_complete_drill, help="A drill from `labenv drill list`."),
    ] = None,
    random: Annotated[bool, typer.Option("--random", help="Any drill; the default without a name.")] = False,
    level: Annotated[int | None, typer.Option(min=1, max=3, help="A drill of this level; 1 is the easiest.")] = None,
    seed: Annotated[
        str | None,
        typer.Option(help="Repeatable choice: the same student and seed always get the same drill."),
    ] = None,
    among: Annotated[
        str | None, typer.Option("--among", metavar="NAMES", help="Only one of these drills, separated by commas.")
    ] = None,
    folder: FromOption = None,
    student: StudentOption = None,
    json: JsonOption = False,
) -> None:
    """Put one fault into a finished environment, and show what a user reports.

    All checks must pass before a drill. The environment is saved first. Without a name, you get a drill that you have
    not had yet.

    Examples:

      labenv drill start

      labenv drill start --level 2 --seed week7 -s asmith15

      labenv drill start reading-times-out
    """
    from labenv.lab import drills, labs
    from labenv.sheet import drill

    if name and (random or level or seed is not None):
        raise UsageError("A drill's name cannot be combined with --random, --level or --seed.")
    with screen.progress() as listen:
        engine, environment = _open(listen, student)
        there = drills.catalogue(labs.of(environment), folder, listen)
        if among:
            there = [drill.named(each, there) for each in among.split(",")]
        wanted = [drill.named(name, there)] if name else drill.drawn(engine, environment, there, level=level, seed=seed)
        running = drill.start(engine, environment, wanted, listen)
    _tell(drill.symptom(running, environment, common.lab_of(environment, json=json)), environment, running, json=json)


def status(student: StudentOption = None, json: JsonOption = False) -> None:
    """Show the symptom again, and the state of the drill.

    The state is the time since the start, the number of hints, and your diagnoses so far.

    Example:

      labenv drill status
    """
    from labenv.sheet import drill

    with screen.progress() as listen:
        engine, environment = _open(listen, student)
        running = drill.running(engine, environment)
    _tell(drill.symptom(running, environment, common.lab_of(environment, json=json)), environment, running, json=json)


def diagnose(
    layer: Annotated[
        str,
        typer.Argument(
            metavar="LAYER",
            autocompletion=_complete_layer,
            help="A layer that `labenv drill status` lists.",
        ),
    ],
    student: StudentOption = None,
    json: JsonOption = False,
) -> None:
    """Record which layer you think the fault is in.

    Do this before you change anything. At the end of the drill you see whether you were right.

    Each lab has its own layers: labenv drill status lists them.

    Example:

      labenv drill diagnose firewall
    """
    from labenv.sheet import drill

    with screen.progress() as listen:
        engine, environment = _open(listen, student)
        said = drill.diagnose(engine, environment, layer, listen)
    if json:
        common.print_json({"student": environment.student.id, **vars(said)})
    else:
        late = " You had already changed something." if said.touched else ""
        print(f"Recorded: {said.layer}.{late}")


def hint(student: StudentOption = None, json: JsonOption = False) -> None:
    """Show the next of three hints. The report counts them.

    Example:

      labenv drill hint
    """
    from labenv.sheet import drill

    with screen.progress() as listen:
        engine, environment = _open(listen, student)
        hints = drill.hint(engine, environment, common.lab_of(environment, json=json), listen)
    if json:
        common.print_json({"student": environment.student.id, "hints": hints})
    else:
        for number, text in enumerate(hints, 1):
            print(f"{number}. {text}")


def check(student: StudentOption = None, json: JsonOption = False) -> None:
    """Run all checks. If they pass, the drill is over, and the report is shown.

    Exit code 0: the drill is over; 1: a check failed.

    Example:

      labenv drill check
    """
    from labenv.sheet import drill

    with screen.progress() as listen:
        engine, environment = _open(listen, student)
        verdict = drill.check(engine, environment, listen)
    _judge(verdict, environment, json=json)


def give_up(
    student: StudentOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    json: JsonOption = False,
) -> None:
    """Let labenv fix the fault, and show what it was.

    Exit code 0: all checks pass afterwards; 1: a check fails.

    Example:

      labenv drill give-up --yes
    """
    from labenv.sheet import drill

    with screen.progress() as listen:
        engine, environment = _open(listen, student)
        drill.running(engine, environment)
    if not yes:
        typer.confirm("End the drill, fix the fault and show what it was?", err=True, abort=True)
    with screen.progress() as listen:
        verdict = drill.give_up(engine, environment, listen)
    _judge(verdict, environment, json=json)


def _open(listen: "Listener", student: str | None) -> "tuple[Engine, Environment]":
    engine = common.open_engine(listen)
    return engine, common.chosen(engine, student)


def _tell(symptom: str, environment: "Environment", running: "Running", *, json: bool) -> None:
    """Print what a student may know about a running drill: never its name."""
    from labenv.lab import labs
    from labenv.sheet import drill_words

    said = [entry.layer for entry in running.diagnoses]
    if json:
        common.print_json({"student": environment.student.id, **running.to_dict(symptom)})
        return
    typer.secho(f"A user reports: {symptom}", bold=True)
    print(drill_words.going(running))
    if said:
        print(f"Your diagnosis: {', '.join(said)}")
    layers = ", ".join(labs.of(environment).layers)
    print(
        f"Your diagnosis, before you change anything: labenv drill diagnose LAYER ({layers})\n"
        "When you have fixed it: labenv drill check\nA hint: labenv drill hint\n"
        f"The environment before the drill is saved as {running.saved}.",
        file=sys.stderr,
    )


def _judge(verdict: "Verdict", environment: "Environment", *, json: bool) -> None:
    failed = verdict.failed
    if json:
        common.print_json({"student": environment.student.id, **verdict.to_dict()})
    else:
        if verdict.result:
            from labenv.sheet import drill

            told = drill.retold(verdict.result, environment, common.lab_of(environment))
            print("\n".join(report.lines(told)))
        if failed and verdict.result:
            for one in failed:
                print(f"Step {one.step} on {one.machine}: {one.evidence}")
            way_back = f"labenv restore {verdict.result.saved}"
            print(f"Not all checks pass. Continue with labenv next, or go back to before the drill: {way_back}")
        elif failed:
            from labenv.sheet import drill_words

            print(drill_words.goes_on(len(failed)))
    if failed:
        raise typer.Exit(1)
