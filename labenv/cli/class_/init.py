"""The class init command."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from labenv.cli import common


def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder of the class, new or without a class.")],
    name: Annotated[
        str | None, typer.Option("--name", metavar="TEXT", help="What the class is called. Default: as its folder.")
    ] = None,
    roster: Annotated[
        Path | None,
        typer.Option(
            "--roster",
            metavar="FILE",
            help="The students, as CSV: exported from Moodle, Canvas, Blackboard or Brightspace, or made by hand. Default: an example.",
        ),
    ] = None,
    lab: Annotated[
        list[str] | None,
        typer.Option(
            "--lab",
            metavar="NAME|FOLDER",
            autocompletion=common.complete_lab,
            help="A lab of the class. Repeatable. Default: the lab that `up` makes.",
        ),
    ] = None,
) -> None:
    """Begin a class: write its folder, with a class.yaml to fill in and a roster.csv.

    Nothing is overwritten.

    Examples:

      labenv class init ops345

      labenv class init ops345 --roster participants.csv --lab lab3 --lab lab4b
    """
    from labenv.classroom.folder import new

    for path in new.write(folder, name, roster, lab or ()):
        print(f"Wrote {path}", file=sys.stderr)
    print(f"Next: fill in the dates in {folder / 'class.yaml'}, then: labenv class lint -c {shlex.quote(str(folder))}")
