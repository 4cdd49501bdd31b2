"""The when command."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, output, screen
from labenv.cli.common import JsonOption, NoPagerOption, PatchOption, StudentOption

if TYPE_CHECKING:
    from labenv.environments.history.repository import Repository
    from labenv.environments.history.story import Story


def when(
    check: Annotated[str, typer.Argument(metavar="CHECK", help="A step, such as 17, or a check's name from --json.")],
    patch: PatchOption = False,
    student: StudentOption = None,
    json: JsonOption = False,
    no_pager: NoPagerOption = False,
) -> None:
    """Show since when a check has failed (or passed), and what changed before that.

    It uses the results of all runs of `labenv check`, `next` and `up` in this environment.

    Examples:

      labenv when 17

      labenv when 31 --patch
    """
    from itertools import chain

    from labenv.environments.history import look_back, story
    from labenv.lab import labs, marks

    with screen.progress(quiet=True) as listen:
        engine = common.open_engine(listen)
        environment = common.chosen(engine, student)
        book = look_back.opened(engine, environment, listen)
        lab = labs.of(environment)
        checks = chain.from_iterable(marks.checks(lab.folder).values())
        stories = story.when(book, check, [*lab.steps, *checks])
    if json:
        common.print_json({"student": environment.student.id, "checks": [told.to_dict() for told in stories]})
        return
    from labenv.cli import pager

    with pager.paged(no_pager):
        for told in stories:
            _tell(told, book, patch=patch)


def _tell(told: "Story", book: "Repository", *, patch: bool) -> None:
    from labenv.cli import show
    from labenv.environments.history.story import entries

    name = f"{told.step}  {told.check} on {told.machine}"
    if told.since is None:
        print(f"{name}: no result so far; {told.evidence}")
        return
    now, then = ("passed", "failed") if told.holds else ("failed", "passed")
    past = f"it last {then} at {show.moment(told.before)}" if told.before else f"it has never {then}"
    typer.secho(f"{name}: has {now} since {show.moment(told.since)}; {past}", fg="green" if told.holds else "red")
    if told.evidence and not told.holds:
        print(f"  {told.evidence}")
    if told.before and not told.edits:
        print("  No watched file changed in between: look at what is running, and at what was restarted.")
    if patch:
        for edit in told.edits:
            output.as_it_is(book.patch(edit, colour=sys.stdout.isatty()) + "\n")
    elif told.edits:
        show.edits([row for entry in entries(told.edits) for row in show.entry_rows(entry)])
