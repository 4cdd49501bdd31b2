"""The doctor command."""

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption


def doctor(json: JsonOption = False) -> None:
    """Find problems that would stop a lab, and how to fix them.

    Example:

      labenv doctor
    """
    from labenv import doctor as core

    with screen.progress(quiet=True) as listen:
        found = core.examine(listen)
    if json:
        common.print_json({"findings": [finding.to_dict() for finding in found]})
    else:
        from labenv.cli import show

        show.findings(found)
    if any(finding.status == "fail" for finding in found):
        raise typer.Exit(3)
