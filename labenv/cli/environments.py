"""Commands on whole environments: up, status, down, render."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption, StudentOption
from labenv.errors import UsageError

if TYPE_CHECKING:
    from labenv.environment import Environment

StudentArgument = Annotated[
    str | None,
    typer.Argument(
        envvar="LABENV_STUDENT",
        autocompletion=common.complete_student,
        help="The student id, such as asmith15; the domain is <id>.ops. Not needed while there is one environment.",
    ),
]
NetOption = Annotated[
    int | None,
    typer.Option(
        "--net", metavar="X", help="The network is 192.168.X.0/24. Default: derived from the id, the next if taken."
    ),
]
FirstOption = Annotated[
    str | None,
    typer.Option("--first", metavar="NAME", help="First name, for the test account on vm3. Default: from the id."),
]
StageOption = Annotated[
    str | None,
    typer.Option(
        "--at",
        metavar="STAGE",
        autocompletion=common.complete_stage,
        help="Stage to enter: lab4a (where the sheet starts), domain, relay, lda, imap or done (default).",
    ),
]
LabOption = Annotated[
    str | None, typer.Option("--lab", autocompletion=common.complete_lab, help="The lab. Default: lab4b.")
]
TopologyOption = Annotated[
    Path | None, typer.Option("--topology", metavar="FILE", help="A topology of your own instead of the lab's.")
]


def up(
    student: StudentArgument = None,
    net: NetOption = None,
    first: FirstOption = None,
    at: StageOption = None,
    lab: LabOption = None,
    topology: TopologyOption = None,
    check: Annotated[bool, typer.Option("--check/--no-check", help="Verify the result with the lab's checks.")] = True,
    json: JsonOption = False,
) -> None:
    """Bring an environment up, wait until it answers, and verify it.

    Run it again to bring back what was stopped or lost; what is there stays untouched.

    [b]Examples[/b]

      labenv up asmith15                  the finished lab, verified end to end

      labenv up asmith15 --at lab4a       where the sheet starts

      labenv up asmith15 --net 90 --first anna
    """
    from labenv import lifecycle

    with screen.progress() as listen:
        if student is None:
            student = common.chosen(common.open_engine(listen), None).student.id
        request = lifecycle.validated(lifecycle.Request(student, net, first, at, lab, topology))
        engine = common.open_engine(listen)
        outcome = lifecycle.up(engine, request, listen)
        environment = outcome.environment
        report = None
        if check:
            from labenv.checks.run import run_checks

            report = run_checks(environment, engine, reached_only=True, listen=listen)
    if json:
        document = environment.to_dict() | {"changes": list(outcome.changes), "drifted": list(outcome.drifted)}
        if report:
            document["check"] = report.to_dict()
        common.print_json(document)
    else:
        from labenv.cli import show

        show.summary(environment, outcome.changes, report)
    if report and report.failed:
        raise typer.Exit(1)


def status(student: StudentOption = None, json: JsonOption = False) -> None:
    """Show the environments: who, at which stage, where they answer.

    [b]Examples[/b]

      labenv status

      labenv status --json | jq -r '.environments[].domain'
    """
    with screen.progress(quiet=True) as listen:
        there = common.open_engine(listen).environments(student)
    if json:
        common.print_json({"environments": [environment.to_dict() for environment in there]})
        return
    from labenv.cli import show

    show.environments(there)


def down(
    student: StudentOption = None,
    every: Annotated[bool, typer.Option("--all", help="All environments on this engine.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
) -> None:
    """Remove an environment: its machines, its network, and the work in them.

    [b]Examples[/b]

      labenv down -s asmith15

      labenv down --all --yes
    """
    from labenv import lifecycle

    with screen.progress(quiet=True) as listen:
        engine = common.open_engine(listen)
        doomed = engine.environments() if every else [common.chosen(engine, student)]
    for environment in doomed:
        if dry_run or not (yes or _agreed(environment)):
            print(f"Would remove {_inventory(environment)}." if dry_run else "Nothing was removed.", file=sys.stderr)
            continue
        with screen.progress() as listen:
            lifecycle.down(engine, environment, listen)


def _agreed(environment: "Environment") -> bool:
    if not sys.stdin.isatty():
        return True  # a script means what it says
    return typer.confirm(f"Remove {_inventory(environment)}, with all work in it?", default=True, err=True)


def _inventory(environment: "Environment") -> str:
    present = [machine.container for machine in environment.machines if machine.state != "missing"]
    return f"{environment.student.id}'s environment ({', '.join([*present, 'network ' + environment.network_name])})"


def render(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is empty or not there yet.")],
    student: Annotated[
        str | None, typer.Option("--student", "-s", envvar="LABENV_STUDENT", help="The student id, such as asmith15.")
    ] = None,
    net: NetOption = None,
    first: FirstOption = None,
    at: StageOption = None,
    lab: LabOption = None,
    topology: TopologyOption = None,
) -> None:
    """Write an environment as plain files: compose.yaml and every machine's configuration.

    `docker-compose up -d` (or `docker compose up -d`) in that folder gives the same environment without labenv.

    [b]Example[/b]

      labenv render mylab -s asmith15 --at lab4a
    """
    from labenv import compose, lifecycle

    if student is None:
        raise UsageError("Whose environment? Say it: labenv render DIR -s STUDENT")
    request = lifecycle.validated(lifecycle.Request(student, net, first, at, lab, topology))
    compose.check_folder(folder)
    with screen.progress() as listen:
        engine = common.open_engine(listen)
        compose.write(engine, request, folder, listen)
    print(f"Wrote {folder}. Start it there with: docker-compose up -d")
