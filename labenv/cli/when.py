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

    colour = None if told.since is None else "green" if told.holds else "red"
    typer.secho(str(told), fg=colour)
    if told.since is None:
        return
    if told.evidence and not told.holds:
        print(f"  {told.evidence}")
    if told.note:
        print(f"  {told.note}")
    if patch:
        for edit in told.edits:
            output.as_it_is(book.patch(edit, colour=sys.stdout.isatty()) + "\n")
    elif told.edits:
        show.edits([row for entry in entries(told.edits) for row in show.entry_rows(entry)])
