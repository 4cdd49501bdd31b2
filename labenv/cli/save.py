"""The save command."""

from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption, StudentOption

if TYPE_CHECKING:
    pass


def save(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Name of the save. Default: the next of save-1, save-2, …")
    ] = None,
    student: StudentOption = None,
    json: JsonOption = False,
) -> None:
    """Save an environment: everything on the disks of its machines. The save stays when the environment is removed.

    Examples:

      labenv save

      labenv save before-tls
    """
    from labenv.environments import saves as core

    if name is not None:
        core.check_name(name)
    with screen.progress() as listen:
        engine = common.open_engine(listen)
        made = core.save(engine, common.chosen(engine, student), name, listen)
        document = core.document(engine, made)
    if json:
        common.print_json(document)
        return
    size = document["bytes"] / 1e6
    print(f"Saved as {made.name}, {size:.1f} MB. To go back to it: labenv restore {made.name} -s {made.student_id}")
