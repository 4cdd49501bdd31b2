"""The tick command."""

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, fold, screen
from labenv.cli.common import JsonOption, StudentOption
from labenv.errors import UsageError

if TYPE_CHECKING:
    from labenv.sheet.by_hand import ByHand


def complete_step(ctx: typer.Context, incomplete: str) -> list[str]:
    """The steps of the lab that are for a person."""
    steps = common.lab_at_hand(ctx).steps.values()
    return [step.id for step in steps if step.is_for_a_person and step.id.startswith(incomplete)]


def tick(
    step: Annotated[
        str | None,
        typer.Argument(
            metavar="STEP", autocompletion=complete_step, help="A step that labenv cannot judge. Default: list them."
        ),
    ] = None,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="WORDS", help="What you saw or did, in your own words.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take the tick away again.")] = False,
    student: StudentOption = None,
    json: JsonOption = False,
) -> None:
    """Tick a step that only you can judge, with what you saw; without a step, list those steps.

    Your words are kept outside the machines, and shown by check, by reports and to your teacher. A ticked step is no longer left
    to you. labenv submit ticks the step of handing in.

    Examples:

      labenv tick

      labenv tick 32 "Anybody in the network could read the password."

      labenv tick 32 --remove
    """
    if remove and (step is None or words):
        raise UsageError("--remove needs a step and no words. Example: labenv tick 32 --remove")
    with screen.progress(quiet=True) as listen:
        engine = common.open_engine(listen)
        environment = common.chosen(engine, student)
        from labenv.sheet import by_hand

        lab = common.lab_of(environment, json=json)
        _refuse_several(step, words or [], {each.id for each in lab.steps.values() if each.is_for_a_person})
        if step and remove:
            by_hand.untick(engine, environment, lab, step, listen)
        elif step:
            by_hand.tick(engine, environment, lab, step, " ".join(words or ()), listen)
        there = by_hand.steps(engine, environment, lab)
    if json:
        told = [entry.to_dict() for entry in there if step in (None, entry.step.id)]
        common.print_json({"student": environment.student.id, "lab": environment.lab, "steps": told})
    elif step:
        entry = next(entry for entry in there if entry.step.id == step)
        print(f"Step {step} ({entry.step.title}) is {entry.tick.said if entry.tick else 'no longer ticked'}.")
        if entry.tick and not entry.tick.words:
            print(f'You can say what you saw: labenv tick {step} "…"', file=sys.stderr)
    else:
        _list(there)


def _refuse_several(step: str | None, words: list[str], steps: set[str]) -> None:
    """Raise UsageError if all words are steps: they would be kept as what was seen, and those steps stay unticked."""
    if step and words and steps.issuperset(words):
        raise UsageError(
            f"tick takes one step at a time: labenv tick {step}; labenv tick {words[0]}. "
            f"If that is what you saw, put it into a sentence."
        )


def _list(there: "list[ByHand]") -> None:
    heading = ("step", "what", "ticked")
    lines = fold.table([heading, *((e.step.id, e.step.title, _time(e)) for e in there)], fold.width())
    typer.secho("\n".join(lines[0]), bold=True)
    for entry, row in zip(there, lines[1:], strict=True):
        print("\n".join(row))
        if entry.tick and entry.tick.words:
            print(f"      {entry.tick.words}")


def _time(entry: "ByHand") -> str:
    return f"{datetime.fromisoformat(entry.tick.time).astimezone():%b %d %H:%M}" if entry.tick else ""
