"""The advance command."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption, StudentOption, YesOption
from labenv.text import many

if TYPE_CHECKING:
    from labenv.environment import Environment
    from labenv.sheet.advance import Standing


def complete_next(ctx: typer.Context, incomplete: str) -> list[str]:
    """The labs that begin where the lab at hand ends."""
    from labenv.lab import labs

    return [name for name in labs.next_after(common.lab_at_hand(ctx)) if name.startswith(incomplete)]


def advance(
    lab: Annotated[
        str | None,
        typer.Argument(metavar="LAB", autocompletion=complete_next, help="Where several labs follow: which of them."),
    ] = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="Go on although steps of this lab do not pass.")] = False,
    student: StudentOption = None,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Go on to the next lab of the course with your own machines, and all that is in them.

    Your work, your mail and your mistakes come along; a machine that the next lab needs is added. The current state is saved first,
    as this lab. What passed of it stays in status. To begin a lab with machines that are right, bring it up from scratch: labenv up STUDENT --lab LAB

    Exit code 1: steps of this lab do not pass, and nothing was changed.

    Examples:

      labenv advance

      labenv advance --anyway

      labenv advance lab6 -s asmith15 --json
    """
    from labenv.cli import summary
    from labenv.sheet import advance as core

    with screen.progress() as listen:
        engine = common.open_engine(listen)
        environment = common.chosen(engine, student)
        wanted = core.following(common.lab_of(environment, json=json), lab)
        common.if_interrupted("Nothing was changed.")
        now = core.standing(engine, environment, listen)
    if now.open and not anyway:
        _tell_open(environment, now, wanted.id, json=json)
        raise typer.Exit(1)
    who = environment.student.id
    question = f"Go on from {environment.lab} to {wanted.id} with {who}'s machines? The current state is saved first."
    if sys.stdin.isatty() and not yes and not typer.confirm(question, err=True):
        print("Nothing was changed.", file=sys.stderr)
        return
    common.if_interrupted("The next command finishes it, or goes back to the state before.")
    with screen.progress() as listen:
        outcome = core.advance(engine, environment, now.past, wanted, listen)
    summary.show_restored(outcome, "before-advance", json=json)


def _tell_open(environment: "Environment", now: "Standing", lab: str, *, json: bool) -> None:
    """Say which steps do not pass, so that the environment stays where it is."""
    steps = [row.step.id for row in now.open]
    if json:
        common.print_json({"student": environment.student.id, "lab": environment.lab, "open": steps})
        return
    who = environment.student.id
    print(
        f"{many(len(steps), 'step')} of {environment.lab} {'does' if len(steps) == 1 else 'do'} not pass: {', '.join(steps)}. Nothing was changed."
    )
    print(f"What to do first: labenv next -s {who}. To go on to {lab} as it is: labenv advance --anyway -s {who}")
