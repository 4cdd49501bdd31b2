"""The up command."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption
from labenv.cli.request import (
    FirstOption,
    LabOption,
    NetOption,
    OutsideOption,
    SharedOption,
    StageOption,
    TopologyOption,
    WithOption,
    profiles,
)
from labenv.errors import LabenvError, UsageError

if TYPE_CHECKING:
    from labenv.checks.results import Report
    from labenv.environments.up import Outcome


StudentsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="STUDENT",
        envvar="LABENV_STUDENT",
        autocompletion=common.complete_student,
        help="The student id, such as asmith15; the domain is <id>.ops. Not needed while there is only one environment.",
    ),
]


def up(
    students: StudentsArgument = None,
    net: NetOption = None,
    shared_x: SharedOption = False,
    first: FirstOption = None,
    at: StageOption = None,
    lab: LabOption = None,
    topology: TopologyOption = None,
    with_: WithOption = None,
    outside: OutsideOption = False,
    check: Annotated[bool, typer.Option("--check/--no-check", help="Verify the result with the lab's checks.")] = True,
    json: JsonOption = False,
) -> None:
    """Bring an environment up, wait until it answers, and verify it.

    Run it again to bring back what was stopped or lost; everything else stays as it is. Several environments come up at
    the same time.

    Examples:

      labenv up asmith15                  the finished lab, verified end to end

      labenv up asmith15 --at lab4a       where the sheet starts

      labenv up asmith15 --net 90 --first anna

      labenv up asmith15 --outside        with the world outside, now or later

      labenv up asmith15 bjones3 cwu --at lab4a
    """
    from labenv.environments import plan
    from labenv.environments.up import up_together
    from labenv.swarm import leases

    if students and len(set(students)) > 1 and (net, first) != (None, None):
        raise UsageError(
            "--net and --first cannot be combined with several students. Use them for one student at a time."
        )
    with screen.progress() as listen:
        if not students:
            students = [common.chosen(common.open_engine(listen), None).student.id]
        requests = [
            plan.validated(
                plan.Request(student, net, first, at, lab, topology, profiles(outside, with_), shares_x=shared_x)
            )
            for student in dict.fromkeys(students)
        ]
        if placed := [request.student_id for request in requests if leases.is_placed(request.student_id)]:
            raise UsageError(
                f"{', '.join(placed)}: on the swarm that this server manages. Bring them up there: labenv class up --only {','.join(placed)}"
            )
        engine = common.open_engine(listen)
        outcomes = up_together(engine, requests, listen)
        if isinstance(outcomes[0], LabenvError) and len(outcomes) == 1:
            raise outcomes[0]
        done = [outcome for outcome in outcomes if not isinstance(outcome, LabenvError)]
        reports: list[Report | None] = [None] * len(done)
        if check:
            from labenv.checks.run import run_checks

            reports = [run_checks(engine, o.environment, reached_only=True, written=True, listen=listen) for o in done]
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


def _document(outcome: "Outcome", report: "Report | None") -> dict[str, Any]:
    """An environment as `up --json` shows it."""
    document = outcome.environment.to_dict() | {"changes": list(outcome.changes), "drifted": list(outcome.drifted)}
    return document | ({"check": report.to_dict()} if report else {})
