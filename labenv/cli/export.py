"""The export command."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import StudentOption

if TYPE_CHECKING:
    pass


def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The archive to write, such as asmith15.labenv.")],
    name: Annotated[
        str | None,
        typer.Option("--save", metavar="NAME", autocompletion=common.complete_save, help="Export this save instead."),
    ] = None,
    student: StudentOption = None,
) -> None:
    """Write an environment to one file, to continue on another computer just there.

    Examples:

      labenv export asmith15.labenv

      labenv export old.labenv --save before-tls
    """
    from labenv.environments import saves as core
    from labenv.environments import transfer

    with screen.progress() as listen:
        engine = common.open_engine(listen)
        if name is None:
            size = transfer.export(engine, common.chosen(engine, student), file, listen)
        else:
            size = transfer.export_save(engine, core.owner(engine, student, name), name, file, listen)
    print(f"Wrote {file}, {size / 1e6:.0f} MB. On the other computer: labenv import {file.name}")
