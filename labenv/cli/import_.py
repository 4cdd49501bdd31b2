"""The import command."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption
from labenv.cli.request import SharedOption

if TYPE_CHECKING:
    pass


def load(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An archive from `labenv export`.")],
    shared_x: SharedOption = False,
    json: JsonOption = False,
) -> None:
    """Import an environment from an archive. This needs no images and no network.

    The environment starts at once. If the student already has an environment here, the archive becomes a save instead.

    Example:

      labenv import asmith15.labenv
    """
    from labenv.cli import summary
    from labenv.environments import saves as core
    from labenv.environments import transfer

    with screen.progress() as listen:
        engine = common.open_engine(listen)
        imported = transfer.load(engine, file, listen)
        busy = bool(engine.environments(imported.student_id))
        outcome = None if busy else core.restore(engine, imported.student_id, imported.name, listen, shares_x=shared_x)
    if outcome:
        summary.show_restored(outcome, "before-restore", json=json)
    elif json:
        common.print_json(core.document(engine, imported))
    else:
        print(
            f"{imported.student_id} already has an environment here, which was not changed. The archive is now the save "
            f"{imported.name}. To use it: labenv restore {imported.name} -s {imported.student_id}"
        )
