"""The doctor command."""

from typing import Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption
from labenv.errors import UsageError


def doctor(
    json: JsonOption = False,
    rules: Annotated[
        bool,
        typer.Option("--rules", help="Print the packet filter rules that close this computer to the labs' networks."),
    ] = False,
) -> None:
    """Find problems that would stop a lab, and how to fix them.

    Examples:

      labenv doctor

      labenv doctor --rules | sudo nft -f -
    """
    from labenv import doctor as core
    from labenv.engine import wall

    if rules and json:
        raise UsageError("--rules and --json cannot be combined.")
    if rules:
        print(wall.rules(), end="")
        return
    with screen.progress(quiet=True) as listen:
        found = core.examine(listen)
    if json:
        common.print_json({"findings": [finding.to_dict() for finding in found]})
    else:
        from labenv.cli import show

        show.findings(found)
    if any(finding.status == "fail" for finding in found):
        raise typer.Exit(3)
