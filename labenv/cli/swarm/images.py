"""The swarm images command."""

from typing import Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.class_ import told
from labenv.cli.common import JsonOption
from labenv.cli.swarm.common import nodes
from labenv.text import many


def images(
    lab: Annotated[
        list[str] | None,
        typer.Option(
            "--lab",
            metavar="NAME",
            autocompletion=common.complete_lab,
            help="The images of this lab. Repeatable. Default: the default lab.",
        ),
    ] = None,
    registry: Annotated[
        str,
        typer.Option(
            metavar="PLACE",
            help="Let the nodes pull from this registry, such as registry.example.org/labenv, after the manager has pushed there.",
        ),
    ] = "",
    json: JsonOption = False,
) -> None:
    """Have all nodes hold the images that labs need, and labenv's own: what a node has already is not sent again.

    The manager builds what it lacks, and sends it over ssh. `labenv class up` does the same for the labs of its class.

    Examples:

      labenv swarm images

      labenv swarm images --lab lab3 --lab lab4b

      labenv swarm images --registry registry.example.org/labenv
    """
    from labenv.lab import labs
    from labenv.swarm import images as core

    wanted = lab or [labs.default()]
    with screen.progress() as listen:
        there = nodes(listen)
        core.ready(there.manager, wanted, listen)
        tags = core.needed(wanted)
        if registry:
            core.publish(there.manager, registry, tags, listen)
        done, errors = told.sorted_out(core.distribute(there, tags, listen, registry=registry))
    if json:
        failed = [{"node": name, "error": str(error), "code": error.exit_code} for name, error in errors.items()]
        common.print_json(
            {"images": tags, "nodes": [{"node": n, "got": got} for n, got in done.items()], "failed": failed}
        )
    else:
        for name, got in done.items():
            what = f"got {many(len(got), 'image')}" if got else "has all images"
            print(f"{name}: {what}")
        if not done and not errors:
            print("There is no other node that is ready.")
    for name, error in errors.items():
        typer.echo(f"labenv: {name}: {error}", err=True)
    if errors:
        raise typer.Exit(max(error.exit_code for error in errors.values()))
