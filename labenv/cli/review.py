"""The review command."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common
from labenv.cli.common import JsonOption, write_text
from labenv.text import one_line

if TYPE_CHECKING:
    from labenv.classroom.handins.look import Submission


def review(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Archives from `labenv submit`.")],
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Also write CSV.")] = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Also write an HTML page.")] = None,
    handout: Annotated[
        list[Path] | None,
        typer.Option(
            "--handout", metavar="FILE", help="A text that the students were given: quoting it counts nothing."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show handed-in archives in one table, without unpacking or trusting them.

    Below it: what in an archive contradicts itself, and which ones look alike. Exit code 1: an archive cannot be read or does
    not match its manifest; its row says why.

    Example:

      labenv review *.tar.gz --csv class.csv --html class.html
    """
    from labenv.classroom.handins import review as core

    rows = core.review(files, handout or ())
    if csv:
        write_text(csv, core.as_csv(rows), private=True)
    if html:
        write_text(html, core.as_html(rows), private=True)
    if json:
        common.print_json([row.to_dict() for row in rows])
    else:
        _show(rows)
    if not all(row.sound for row in rows):
        raise typer.Exit(1)


def _show(rows: "list[Submission]") -> None:
    """Print the table, and below it the notes on each archive."""
    from labenv.classroom.handins.look import COLUMNS, TITLES
    from labenv.cli import show

    shown = [place for place, name in enumerate(COLUMNS) if name not in ("domain", "notes", "ticked")]
    titles = list(TITLES.values())
    cells = [row.cells() for row in rows]
    broken = [place for place, row in enumerate(rows) if not row.sound]
    show.table([titles[place] for place in shown], [[row[place] for place in shown] for row in cells], broken)
    for row in rows:
        for note in row.notes:
            typer.secho(one_line(f"{row.file}: {note}"), fg="yellow" if row.sound else "red")
        if row.ticked:
            typer.secho(one_line(f"{row.file}: ticked by the student: {'; '.join(row.ticked)}"), dim=True)
