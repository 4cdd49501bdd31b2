"""What the swarm commands share: the nodes, and one as an argument."""

from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common
from labenv.errors import LabenvError
from labenv.events import Listener, silent

if TYPE_CHECKING:
    from labenv.swarm.where import Nodes


def nodes(listen: Listener) -> "Nodes":
    """The nodes of the swarm that this computer manages. Raises EngineError."""
    from labenv.swarm.where import Nodes

    return Nodes(common.open_manager(listen))


def complete_node(incomplete: str) -> list[str]:
    """The names of the nodes."""
    try:
        return [node.name for node in nodes(silent).all if node.name.startswith(incomplete)]
    except LabenvError:  # completion stays quiet
        return []


NodeArgument = Annotated[
    str, typer.Argument(metavar="NODE", autocompletion=complete_node, help="A node: its name, or its id in the swarm.")
]
