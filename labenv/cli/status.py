"""The status command."""

import sys

from labenv.cli import common, screen
from labenv.cli.common import JsonOption, StudentOption


def status(student: StudentOption = None, json: JsonOption = False) -> None:
    """Show the environments: student, stage, machines and ports.

    Examples:

      labenv status

      labenv status --json | jq -r '.environments[].domain'
    """
    from labenv.engine import disk

    with screen.progress(quiet=True) as listen:
        engine = common.open_engine(listen)
        there = engine.environments(student)
        full = disk.warning(engine)
    if json:
        common.print_json({"environments": [environment.to_dict() for environment in there]})
    else:
        from labenv.cli import show

        show.environments(there)
    if full:
        print(f"labenv: {full}", file=sys.stderr)
