"""The import command."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption

if TYPE_CHECKING:
    pass


def load(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An archive that `labenv export` wrote.")],
    json: JsonOption = False,
) -> None:
    """Take over an environment from an archive; it needs no images and no network.

    It comes up at once, unless the student has an environment here: then it is a save like the others.

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
        outcome = None if busy else core.restore(engine, imported.student_id, imported.name, listen)
    if outcome:
        summary.show_restored(outcome, "before-restore", json=json)
    elif json:
        common.print_json(core.document(engine, imported))
    else:
        print(
            f"{imported.student_id} has an environment here, which is untouched. The archive is the save {imported.name}: "
            f"labenv restore {imported.name} -s {imported.student_id}"
        )
