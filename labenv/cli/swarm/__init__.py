"""The swarm commands: several servers for one class, with what Docker's swarm mode has."""

import typer

app = typer.Typer(
    no_args_is_help=True,
    help="Several servers for one class: make a swarm, join it, look at its nodes, take one out of use.",
    epilog="Example: labenv swarm init",
)
COMMANDS = {
    "init": "init.init",
    "join": "join.join",
    "nodes": "nodes.nodes",
    "images": "images.images",
    "drain": "drain.drain",
    "leave": "leave.leave",
}
