"""Commands on whole environments: up, status, down, render."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption, StudentOption
from labenv.errors import LabenvError, UsageError

if TYPE_CHECKING:
    from labenv.checks.results import Report
    from labenv.environment import Environment
    from labenv.lifecycle import Outcome

StudentsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="STUDENT",
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
OutsideOption = Annotated[
    bool,
    typer.Option("--outside", help="With the world outside: other domains, and the account <id>@myseneca.ca."),
]


def up(
    students: StudentsArgument = None,
    net: NetOption = None,
    first: FirstOption = None,
    at: StageOption = None,
    lab: LabOption = None,
    topology: TopologyOption = None,
    outside: OutsideOption = False,
    check: Annotated[bool, typer.Option("--check/--no-check", help="Verify the result with the lab's checks.")] = True,
    json: JsonOption = False,
) -> None:
    """Bring an environment up, wait until it answers, and verify it.

    Run it again to bring back what was stopped or lost; what is there stays untouched. Several students come up at the
    same time.

    Examples:

      labenv up asmith15                  the finished lab, verified end to end

      labenv up asmith15 --at lab4a       where the sheet starts

      labenv up asmith15 --net 90 --first anna

      labenv up asmith15 --outside        with the world outside, now or later

      labenv up asmith15 bjones3 cwu --at lab4a
    """
    from labenv import lifecycle, plan

    if students and len(set(students)) > 1 and (net, first) != (None, None):
        raise UsageError("--net and --first are one student's own. Bring that student up alone, the others after.")
    with screen.progress() as listen:
        if not students:
            students = [common.chosen(common.open_engine(listen), None).student.id]
        requests = [
            plan.validated(plan.Request(student, net, first, at, lab, topology, _profiles(outside)))
            for student in dict.fromkeys(students)
        ]
        engine = common.open_engine(listen)
        outcomes = lifecycle.up_together(engine, requests, listen)
        if isinstance(outcomes[0], LabenvError) and len(outcomes) == 1:
            raise outcomes[0]
        done = [outcome for outcome in outcomes if not isinstance(outcome, LabenvError)]
        reports: list[Report | None] = [None] * len(done)
        if check:
            from labenv.checks.run import run_checks

            reports = [run_checks(o.environment, engine, reached_only=True, written=True, listen=listen) for o in done]
    documents = [_document(outcome, report) for outcome, report in zip(done, reports, strict=True)]
    if json:
        common.print_json(documents[0] if len(requests) == 1 else {"environments": documents})
    else:
        from labenv.cli import summary

        for outcome, report in zip(done, reports, strict=True):
            summary.show(outcome.environment, outcome.changes, report)
    broken = [(r, o) for r, o in zip(requests, outcomes, strict=True) if isinstance(o, LabenvError)]
    for request, error in broken:
        print(f"labenv: {request.student_id}: {error}", file=sys.stderr)
    if broken:
        raise typer.Exit(max(error.exit_code for _, error in broken))
    if any(report and report.failed for report in reports):
        raise typer.Exit(1)


def _profiles(outside: bool) -> frozenset[str]:
    return frozenset({"outside"} if outside else ())


def _document(outcome: "Outcome", report: "Report | None") -> dict[str, Any]:
    """An environment as `up --json` shows it."""
    document = outcome.environment.to_dict() | {"changes": list(outcome.changes), "drifted": list(outcome.drifted)}
    return document | ({"check": report.to_dict()} if report else {})


def status(student: StudentOption = None, json: JsonOption = False) -> None:
    """Show the environments: who, at which stage, where they answer.

    Examples:

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

    Examples:

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
    outside: OutsideOption = False,
) -> None:
    """Write an environment as plain files: compose.yaml and every machine's configuration.

    `docker-compose up -d` (or `docker compose up -d`) in that folder gives the same environment without labenv.

    Example:

      labenv render mylab -s asmith15 --at lab4a
    """
    from labenv import compose, plan

    if student is None:
        raise UsageError("Whose environment? Say it: labenv render DIR -s STUDENT")
    request = plan.validated(plan.Request(student, net, first, at, lab, topology, _profiles(outside)))
    compose.check_folder(folder)
    with screen.progress() as listen:
        engine = common.open_engine(listen)
        compose.write(engine, request, folder, listen)
    print(f"Wrote {folder}. Start it there with: docker-compose up -d")
