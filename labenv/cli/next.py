"""The next command."""

from typing import TYPE_CHECKING

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption, StudentOption
from labenv.cli.output import is_guest

if TYPE_CHECKING:
    pass


def next_(student: StudentOption = None, json: JsonOption = False) -> None:
    """Say in one sentence what to do next: the first step that fails, where, and what was seen there.

    Exit code 0: there is nothing to fix; 1: a step fails.

    Examples:

      labenv next

      labenv next --json | jq -r .sentence
    """
    with screen.progress() as listen:
        engine = common.open_engine(listen)
        environment = common.chosen(engine, student)
        common.tell_of_loss(environment, listen, quiet=json)
        common.count_look(engine, environment, listen)
        common.if_interrupted("Checks change nothing. The results so far are lost.")
        from labenv.checks.run import run_checks
        from labenv.lab import labs
        from labenv.sheet import guide

        report = run_checks(engine, environment, written=True, first=True, listen=listen)
    lab = common.lab_of(environment, json=json)
    found = guide.next_step(report.spoken(lab), lab)
    if json:
        common.print_json({"student": environment.student.id, "lab": environment.lab, **found.to_dict()})
    else:
        from labenv.cli import show

        show.next_step(found)
        if not found.step and not is_guest() and labs.next_after(lab):
            print(f"Your machines can go on to the next lab: labenv advance -s {environment.student.id}")
    if found.step:
        raise typer.Exit(1)
