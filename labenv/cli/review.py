"""The review command."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common
from labenv.cli.common import JsonOption, write_text
from labenv.text import one_line

if TYPE_CHECKING:
    from labenv.classroom.review import Submission


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
    from labenv.classroom import review as core

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
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from labenv.classroom import review as core

    out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 10_000)
    shown = [place for place, name in enumerate(core.COLUMNS) if name not in ("domain", "notes")]
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    titles = list(core.TITLES.values())
    for place in shown:
        table.add_column(titles[place], overflow="fold")
    for row in rows:
        cells = row.cells()
        table.add_row(*(Text(cells[place]) for place in shown), style="" if row.sound else "red")
    out.print(table, soft_wrap=False)
    for row in rows:
        for note in row.notes:
            out.print(Text(one_line(f"{row.file}: {note}"), style="yellow" if row.sound else "red"))
