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
    from labenv.environments import ticks, vanished

    with screen.progress(quiet=True) as listen:
        engine = common.open_engine(listen)
        there = engine.environments(student)
        warnings = list(filter(None, [disk.warning(engine)]))
        warnings += vanished.environments(engine, {e.student.id for e in there}, student)
        ticked = {e.student.id: list(ticks.read(engine, e.student.id)) for e in there}
    if json:
        common.print_json({"environments": [e.to_dict() | _ticked(ticked[e.student.id]) for e in there]})
    else:
        from labenv.cli import show

        show.environments(there, ticked)
    for text in warnings:
        print(f"labenv: {text}", file=sys.stderr)


def _ticked(steps: list[str]) -> dict[str, list[str]]:
    return {"ticked": steps} if steps else {}
