"""The diff command."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, output, screen
from labenv.cli.common import JsonOption, NoPagerOption, StudentOption

if TYPE_CHECKING:
    pass


def _complete_moment(ctx: typer.Context, incomplete: str) -> list[str]:
    return [*common.complete_save(ctx, incomplete), *common.complete_stage(ctx, incomplete)]


def diff(
    since: Annotated[
        str | None,
        typer.Argument(
            metavar="STAGE|SAVE|TIME",
            autocompletion=_complete_moment,
            help="Default: the start. A time is 10:30, '2026-11-23 10:30', '20 minutes ago' or yesterday, for example.",
        ),
    ] = None,
    file: Annotated[
        str | None, typer.Option("--file", metavar="FILE", help="Only this file, named as for `history`.")
    ] = None,
    teacher: Annotated[
        bool, typer.Option("--teacher", envvar="LABENV_TEACHER", help="Allow a comparison with a stage's solution.")
    ] = False,
    student: StudentOption = None,
    json: JsonOption = False,
    no_pager: NoPagerOption = False,
) -> None:
    """Show how the watched files differ from the start, or from any moment since.

    With a stage, they are compared with its reference solution; this is for teachers.

    Examples:

      labenv diff

      labenv diff before-tls --file main.cf

      labenv diff '20 minutes ago'

      labenv diff relay --teacher -s asmith15
    """
    from labenv.cli import pager
    from labenv.environments.history import look_back, story
    from labenv.environments.history.repository import place
    from labenv.text import clean

    with screen.progress(quiet=True) as listen:
        engine = common.open_engine(listen)
        environment = common.chosen(engine, student)
        book = look_back.opened(engine, environment, listen)
        old = look_back.moment(engine, environment, book, since, teacher=teacher)
        paths = [path for path in book.differing(old) if file is None or story.means(file, *place(path))]
        patch = book.diff(old, *paths, colour=sys.stdout.isatty() and not json) if paths else ""
    if json:
        common.print_json(
            {
                "student": environment.student.id,
                "since": since or "start",
                "files": [clean(path) for path in paths],
                "patch": patch,
            }
        )
    elif patch:
        with pager.paged(no_pager):
            output.as_it_is(patch)
    else:
        print(f"No differences since {since or 'the start'}.", file=sys.stderr)
