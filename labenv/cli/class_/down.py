"""The class down command."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.class_ import told
from labenv.cli.class_.common import AssignmentOption, ClassOption, DryRunOption, OnlyOption, open_engine, opened
from labenv.cli.common import JsonOption, YesOption

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def down(
    folder: ClassOption = None,
    lab: AssignmentOption = None,
    only: OnlyOption = None,
    save: Annotated[bool, typer.Option("--save", help="Save each first. One that cannot be saved stays.")] = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Remove the environments of the class: machines, networks, and all work in them. Saves stay.

    With the last one goes what a federated class has for all, its world outside. In a terminal, it says what would be lost
    and asks first.

    Examples:

      labenv class down --save

      labenv class down --lab lab3 --dry-run
    """
    from labenv.classroom.running import down as core

    of = opened(folder)
    with screen.progress(quiet=True) as listen:
        engine = open_engine(of, listen)
        doomed = core.doomed(engine, of, only, lab)
        there = doomed.environments
        lost = {} if save or (yes and not dry_run) else dict(core.lost(engine, there))
    what = [f"{told.environments(there)}{', each after a save' if save else ''}"] if there else []
    what += [f"the world outside of {of.name}"] if doomed.outside else []
    if dry_run:
        if json:
            rows = [{"student": each.student.id, "lost": lost.get(each.student.id, [])} for each in there]
            common.print_json(told.document(of, rows, {}) | {"outside": doomed.outside})
        else:
            print(f"Would remove {' and '.join(what)}.", *_lost(lost), sep="\n", file=sys.stderr)
        return
    way_out = [] if save or not there else ["To keep the work: labenv class down --save"]
    if not told.agreed(f"Remove {' and '.join(what)}?", [*_lost(lost), *way_out], yes=yes):
        return
    common.if_interrupted("What was removed is gone; the same command continues from there.")
    with screen.progress() as listen:
        done, errors = told.sorted_out(core.down(engine, of, there, listen, keep=save))
    if json:
        removed = [{"student": who, "save": gone.saved.name if gone.saved else None} for who, gone in done.items()]
        common.print_json(told.document(of, removed, errors))
    elif done or not there:
        kept = ". To go back to one: labenv restore NAME -s STUDENT" if save and done else ""
        print(f"Removed {f'the environments of {told.students(len(done))}' if done else what[0]}{kept}")
    told.finish(errors, len(done) + len(errors))


def _lost(lost: "Mapping[str, list[str]]") -> "Iterator[str]":
    return (f"  {who}: {' '.join(sentences)}" for who, sentences in lost.items())
