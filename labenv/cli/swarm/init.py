"""The swarm init command."""

import shlex
import sys
from typing import Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption


def init(
    address: Annotated[
        str,
        typer.Option(
            "--address", metavar="ADDRESS", help="This server's address for the other servers. Default: its only one."
        ),
    ] = "",
    json: JsonOption = False,
) -> None:
    """Make this server the manager of a swarm, and say what to type on the others.

    It makes a swarm of Docker's unless the engine is in one, a key with which this server reaches the engines of the others (over
    ssh, for nothing else), and two services: a keeper here, which keeps copies of all environments, and a warden on each node, which pushes
    them. Typed again, it repairs what is missing and says the same.

    Examples:

      labenv swarm init

      labenv swarm init --address 10.0.0.11
    """
    from labenv.swarm import init as core

    with screen.progress() as listen:
        made = core.init(common.open_local_engine(listen), address, listen)
    words = ["labenv", "swarm", "join", made.token, made.address, "--key", made.key]
    if json:
        common.print_json(
            {"address": made.address, "token": made.token, "key": made.key, "new": made.is_new, "join": words}
        )
        return
    print(
        f"This server ({made.address}) {'manages a swarm now' if made.is_new else 'manages the swarm'}.",
        file=sys.stderr,
    )
    print("On each other server, type:", file=sys.stderr)
    print(shlex.join(words))
    print("Then here: labenv swarm images, labenv swarm nodes", file=sys.stderr)
