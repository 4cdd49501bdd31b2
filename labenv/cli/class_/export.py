"""The class export command."""

from pathlib import Path
from typing import Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.class_ import told
from labenv.cli.class_.common import AssignmentOption, ClassOption, OnlyOption, open_engine, opened
from labenv.cli.common import JsonOption
from labenv.text import many


def export(
    to: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write the archives; it is made.")],
    folder: ClassOption = None,
    lab: AssignmentOption = None,
    only: OnlyOption = None,
    json: JsonOption = False,
) -> None:
    """Write each environment of the class to an archive, STUDENT.labenv, to keep or to continue on another computer.

    Nothing is replaced. The folder is for you alone: archives contain password hashes.

    Example:

      labenv class export ~/ops345-lab4b
    """
    from labenv.classroom.running import there as known
    from labenv.classroom.running.export import export as export_all

    of = opened(folder)
    with screen.progress() as listen:
        engine = open_engine(of, listen)
        done, errors = told.sorted_out(export_all(engine, known.environments(engine, of, only, lab), to, listen))
    if json:
        rows = [{"student": who, "file": str(made.file), "bytes": made.size} for who, made in done.items()]
        common.print_json(told.document(of, rows, errors))
    elif done:
        whole = sum(made.size for made in done.values())
        print(
            f"Wrote {many(len(done), 'archive')} into {to}, {whole / 1e6:.0f} MB. To continue with one: labenv import FILE"
        )
    told.finish(errors, len(done) + len(errors))
