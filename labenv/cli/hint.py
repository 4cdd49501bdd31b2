"""The hint command."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption, StudentOption

if TYPE_CHECKING:
    pass


def complete_step(ctx: typer.Context, incomplete: str) -> list[str]:
    """The steps of the lab that have hints."""
    steps = common.lab_at_hand(ctx).steps.values()
    return [step.id for step in steps if step.hints and step.id.startswith(incomplete)]


def hint(
    step: Annotated[
        str | None,
        typer.Argument(
            metavar="STEP",
            autocompletion=complete_step,
            help="A step, such as 17 or 11b. Default: the next step that fails.",
        ),
    ] = None,
    level: Annotated[
        int | None,
        typer.Option("--level", min=1, max=3, help="1: what is wrong; 2: also where to look; 3: also the idea."),
    ] = None,
    student: StudentOption = None,
    json: JsonOption = False,
) -> None:
    """Give a hint for a step, a little more each time: what is wrong, then where to look, then the idea.

    The step is checked first, so that the hint fits your machines. Each hint is recorded, and reports show it. If the step waits for another step, you get the hint for that one.

    Examples:

      labenv hint

      labenv hint 17

      labenv hint 17 --level 3
    """
    with screen.progress() as listen:
        engine = common.open_engine(listen)
        environment = common.chosen(engine, student)
        common.count_look(engine, environment, listen)
        from labenv.sheet import guide

        lab = common.lab_of(environment, json=json)
        if step is None:
            found = guide.next_hint(engine, environment, lab, level=level, listen=listen)
        else:
            found = guide.hint(engine, environment, step, lab, level=level, listen=listen)
    if json:
        common.print_json({"student": environment.student.id, "lab": environment.lab, **found.to_dict()})
        return
    from labenv.cli import show

    show.hint(found)
    if 0 < found.level < len(guide.SAID):
        print(f"More: labenv hint {found.step}", file=sys.stderr)
    elif found.level:
        print(f"That is the last hint for step {found.step}.", file=sys.stderr)
