"""What a person needs after `up`. It does without Rich, which takes longer to load than the summary takes to print."""

import shutil
import sys
from typing import TYPE_CHECKING

import typer

from labenv.cli import common
from labenv.cli.output import sign

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from labenv.checks.results import Report
    from labenv.environment import Environment
    from labenv.environments.reach import Reach
    from labenv.environments.up import Outcome
    from labenv.lab.model import Lab

# What listens on the ports that labs publish, in the order in which they are shown; others are shown by their number.
_SERVICES = {"25": "SMTP", "143": "IMAP", "993": "IMAPS", "53": "DNS", "80": "HTTP", "443": "HTTPS"}


def show(environment: "Environment", changes: "Sequence[str]", report: "Report | None") -> None:
    """Print names, addresses, the account, the ports, and what to type next."""
    from labenv.environments.reach import Reach

    student = environment.student
    if report:
        verdict(report)
    name = typer.style(f"{student.id}'s lab is up", bold=True)
    same = "" if changes else "; nothing had to change"
    typer.echo(f"\n{name} ({environment.lab}, stage {environment.stage}){same}")
    reach = Reach(environment)
    rows = list(_rows(environment, reach))
    for label, value in rows:
        typer.echo(f"{label:<{max(len(label) for label, _ in rows)}}  {value}")
    if reach.note:
        typer.echo(reach.note)
    typer.echo("\nNext:")
    # After `make lab`, the command is in a folder that is not on the PATH.
    labenv = "labenv" if shutil.which("labenv") or sys.argv[0].endswith(".py") else sys.argv[0]
    # The longest one decides where the explanations stand.
    commands = [(f"{labenv} {command} -s {student.id}", what) for command, what in _next(environment)]
    for command, what in commands:
        typer.echo(f"  {command:<{max(len(other) for other, _ in commands)}}  {what}")


def _next(environment: "Environment") -> "Iterator[tuple[str, str]]":
    """What a person may want to do now, with what it is."""
    from labenv.environments import desktop
    from labenv.lab import drills, labs

    lab = labs.of(environment)
    is_finished = environment.stage == lab.last_stage
    if not is_finished:
        yield "next", "the next step of the sheet"
    yield f"shell {_where_to_begin(environment, lab)}", "a root shell"
    if desktop.machine_name(environment):
        yield "desktop", "Thunderbird, in your browser"
    yield "check", "which steps pass"
    if is_finished and drills.files(lab):
        yield "drill start", "a fault to find and fix"


def _where_to_begin(environment: "Environment", lab: "Lab") -> str:
    """A machine of the first step that a check judges after the environment's stage; else the last machine."""
    last = environment.regular[-1].name
    there = {machine.name for machine in environment.regular}
    for step in lab.steps.values():
        if step.by != "person" and not lab.reached(step.stage, at=environment.stage):
            machines = [name for name in step.machines if name in there]
            return last if last in machines or not machines else machines[0]
    return last


def show_restored(outcome: "Outcome", stem: str, *, json: bool) -> None:
    """Print the result of a restore or a reset, and how to get back to the old state, saved as STEM-1, STEM-2, …"""
    if json:
        common.print_json(outcome.environment.to_dict() | {"changes": list(outcome.changes)})
        return
    show(outcome.environment, outcome.changes, None)
    if outcome.changes and outcome.changes[0].startswith(stem):
        who = outcome.environment.student.id
        print(f"\nTo go back to the old state: labenv restore {outcome.changes[0]} -s {who}")


def _rows(environment: "Environment", reach: "Reach") -> "Iterator[tuple[str, str]]":
    student = environment.student
    yield "domain", student.domain
    yield "network", f"{environment.subnet}: " + ", ".join(f"{m.name} {m.address}" for m in environment.machines)
    yield "account", f"{student.id}, password {student.password}"
    there = {number for machine in environment.regular for number in machine.published}
    others = {number for number in there - _SERVICES.keys() if number.isdecimal()}  # "53/udp" is the same service again
    for number in (*_SERVICES, *sorted(others, key=int)):
        for machine in environment.machines:
            if place := reach.service(machine, number):
                yield _SERVICES.get(number, f"port {number}"), f"{place[0]}:{place[1]} ({machine.name})"


def verdict(report: "Report") -> None:
    """Print how many checks passed, or which failed."""
    counts = report.summary
    if not counts["failed"] and not counts["passed"]:
        typer.echo("nothing to check yet")
        return
    if not counts["failed"]:
        typer.echo(f"{typer.style(sign('✓', 'ok:'), fg='green')} all {counts['passed']} checks passed")
        return
    mark = typer.style(sign("✗", "failed:"), fg="red")
    typer.echo(f"{mark} {counts['failed']} of {counts['failed'] + counts['passed']} checks failed:")
    for result in report.results:
        if result.status == "fail":
            typer.echo(f"  {result.step} {result.machine}: {result.evidence}")
