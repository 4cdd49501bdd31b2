"""The swarm join command."""

import sys
from typing import Annotated

import typer

from labenv.cli import common, screen


def join(
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="The token that `labenv swarm init` has printed.")],
    manager: Annotated[str, typer.Argument(metavar="MANAGER", help="The manager's address, or ADDRESS:PORT.")],
    key: Annotated[
        str,
        typer.Option("--key", metavar="KEY", help="The manager's public key, as `labenv swarm init` has printed it."),
    ] = "",
    address: Annotated[
        str,
        typer.Option(
            "--address", metavar="ADDRESS", help="This server's address for the others. Default: its only one."
        ),
    ] = "",
) -> None:
    """Make this server a node of a swarm, as `labenv swarm init` on the manager says.

    With --key, the manager may reach this server's engine over ssh, as the user who types this, and nothing else: the key goes
    into ~/.ssh/authorized_keys. That user must be allowed to use the engine.

    Example:

      labenv swarm join SWMTKN-1-4xn… 10.0.0.11 --key 'ssh-ed25519 AAAA… labenv'
    """
    from labenv.swarm import init as core

    with screen.progress() as listen:
        joined = core.join(common.open_local_engine(listen), token, manager, key, address, listen)
    print(
        f"This server ({joined.address}) {'is a node of the swarm now' if joined.is_new else 'is a node of the swarm'}."
    )
    if joined.keys:
        print(f"The manager's key is in {joined.keys}.")
    for text in joined.warnings:
        print(f"labenv: {text}", file=sys.stderr)
    print("On the manager: labenv swarm images")
