"""The class up command."""

from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labenv.cli import common, screen
from labenv.cli.class_ import told
from labenv.cli.class_.common import AssignmentOption, ClassOption, OnlyOption, complete_stage, open_engine, opened
from labenv.cli.common import JsonOption
from labenv.errors import UsageError

if TYPE_CHECKING:
    from labenv.classroom.folder.model import Class
    from labenv.classroom.running.up import Arrival


def up(
    folder: ClassOption = None,
    lab: AssignmentOption = None,
    only: OnlyOption = None,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="STAGE",
            autocompletion=complete_stage,
            help="Make new environments at this stage. Default: `at` of the lab in class.yaml, or the lab's first.",
        ),
    ] = None,
    every: Annotated[
        bool,
        typer.Option(
            "--all", help="Bring back all environments of the class that exist and do not run, as after a reboot."
        ),
    ] = False,
    check: Annotated[bool, typer.Option("--check/--no-check", help="Verify the result with the lab's checks.")] = True,
    for_: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="Stop them after this time, such as 3h, work kept.")
    ] = None,
    idle: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Stop each after this time without activity, such as 45m, work kept."),
    ] = None,
    swarm: Annotated[
        bool,
        typer.Option(
            "--swarm",
            help="Place them on the nodes of the swarm that this server manages. Always: `swarm: true` in class.yaml.",
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Bring up an environment for each student of the class, and verify it.

    As many come up at the same time as the computer bears. New ones begin at the lab's first stage; those that exist are
    brought back as they are. Interrupted, the same command finishes. --for and --idle need a running `labenv class serve`.

    On a swarm, Swarm chooses the node of each. One that is drained or lost gives its environments to others: see
    labenv swarm -h.

    Examples:

      labenv class up

      labenv class up --lab lab4b --only 'a*'

      labenv class up --for 3h --idle 45m

      labenv class up --all

      labenv class up --swarm
    """
    from labenv.classroom.running.checking import Checkers
    from labenv.classroom.running.up import up as bring_up
    from labenv.classroom.running.up import up_again
    from labenv.classroom.serving import timing

    if every and (lab or at):
        raise UsageError("--all brings back what exists, as it is: it cannot be combined with --lab or --at.")
    there = opened(folder)
    times = timing.wanted(there, for_, idle)
    with screen.progress() as listen:
        engine = open_engine(there, listen, swarm=swarm)
        with Checkers(engine) if check else nullcontext() as checkers:
            verify = partial(checkers.check, reached_only=True, listen=listen) if checkers else None
            coming = (
                up_again(engine, there, only, listen, check=verify)
                if every
                else bring_up(engine, there, there.assignment(lab), there.chosen(only), listen, at=at, check=verify)
            )
            done, errors = told.sorted_out(times.begun(coming))
    if json:
        common.print_json(told.document(there, (_document(done[who]) for who in sorted(done)), errors))
    else:
        _tell(
            there,
            done,
            len(done) + len(errors),
            f"{there.name}: {'all environments run already' if every else 'no students'}",
        )
    told.finish(errors, len(done) + len(errors))
    if any(arrival.report and arrival.report.failed for arrival in done.values()):
        raise typer.Exit(1)


def _document(arrival: "Arrival") -> dict[str, Any]:
    """An environment as `class up --json` shows it: as `up --json` does, and whether it is new."""
    outcome = arrival.outcome
    document = outcome.environment.to_dict() | {
        "new": arrival.is_new,
        "changes": list(outcome.changes),
        "drifted": list(outcome.drifted),
    }
    return document | ({"check": arrival.report.to_dict()} if arrival.report else {})


def _tell(of: "Class", done: "dict[str, Arrival]", whole: int, nobody: str) -> None:
    """What came of it, as a table: a line a student; if it was about nobody, that."""
    from labenv.cli import show

    rows, bad = [], []
    for place, (who, arrival) in enumerate(sorted(done.items())):
        environment = arrival.outcome.environment
        how = "new" if arrival.is_new else "brought back" if arrival.outcome.changes else "there already"
        failed = arrival.report.failed if arrival.report else 0
        checked = "" if not arrival.report else f"{failed} fail" if failed else "all pass"
        rows.append((who, environment.lab, environment.stage, str(environment.subnet), how, checked))
        bad += [place] if failed else []
    if rows:
        show.table(("student", "lab", "began at", "network", "environment", "checks"), rows, bad)
        fail = f", checks fail in {len(bad)}: labenv class status" if bad else ""
        print(f"{of.name}: {len(done)} of {told.students(whole)} up{fail}")
    elif not whole:
        print(nobody)
