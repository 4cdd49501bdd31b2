"""The status command."""

from typing import TYPE_CHECKING

from labenv.cli import common, screen
from labenv.cli.common import JsonOption, StudentOption

if TYPE_CHECKING:
    pass


def status(student: StudentOption = None, json: JsonOption = False) -> None:
    """Show the environments: student, stage, machines and ports.

    Examples:

      labenv status

      labenv status --json | jq -r '.environments[].domain'
    """
    with screen.progress(quiet=True) as listen:
        there = common.open_engine(listen).environments(student)
    if json:
        common.print_json({"environments": [environment.to_dict() for environment in there]})
        return
    from labenv.cli import show

    show.environments(there)
