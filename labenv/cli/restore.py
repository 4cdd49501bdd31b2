"""The restore command."""

from typing import TYPE_CHECKING

from labenv.cli import common, screen
from labenv.cli.common import JsonOption, SaveArgument, StudentOption
from labenv.cli.request import SharedOption

if TYPE_CHECKING:
    pass


def restore(
    name: SaveArgument, student: StudentOption = None, shared_x: SharedOption = False, json: JsonOption = False
) -> None:
    """Replace the environment with a save. The current state is saved first, so you can undo this.

    Example:

      labenv restore before-tls
    """
    from labenv.cli import summary
    from labenv.environments import saves as core

    with screen.progress() as listen:
        engine = common.open_engine(listen)
        outcome = core.restore(engine, core.owner(engine, student, name), name, listen, shares_x=shared_x)
    summary.show_restored(outcome, "before-restore", json=json)
