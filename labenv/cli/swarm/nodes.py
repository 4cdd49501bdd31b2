"""The swarm nodes command."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption
from labenv.cli.swarm.common import nodes as the_nodes

if TYPE_CHECKING:
    from labenv.swarm.health import Health


def nodes(
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Look on each node for what would stop a lab there.")
    ] = True,
    lab: Annotated[
        list[str] | None,
        typer.Option(
            "--lab",
            metavar="NAME",
            autocompletion=common.complete_lab,
            help="A lab whose images the nodes need. Repeatable. Default: the default lab.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the nodes of the swarm: how many environments each has, and what would stop a lab there.

    Looked at are control groups, the kernel's limits (inotify), memory, disk, engine versions, clocks, the MTU of the network, and the
    images. Exit code 3: something stops labs on a node.

    Examples:

      labenv swarm nodes

      labenv swarm nodes --no-check --json
    """
    from labenv.lab import labs
    from labenv.swarm import drain, health

    with screen.progress(quiet=json) as listen:
        there = the_nodes(listen)
        if check:
            from labenv.events import announced

            with announced(listen, "nodes", "looking at the nodes"):
                found = health.examine(there, lab or [labs.default()])
        else:
            found = [health.Health(node, tells=False) for node in there.all]
    held = {each.node.id: drain.on(each.node) for each in found}
    if json:
        common.print_json({"nodes": [_document(each, held[each.node.id], check) for each in found]})
    else:
        _tell(found, held, check)
    if any(each.fails for each in found):
        raise typer.Exit(3)


def _document(health: "Health", students: list[str], checked: bool) -> dict[str, Any]:
    node = health.node
    told = {
        "node": node.name,
        "id": node.id,
        "address": node.address,
        "manager": node.is_manager,
        "state": node.state,
        "availability": node.availability,
        "engine": node.engine,
        "processors": node.processors,
        "memory": node.memory,
        "environments": sorted(students),
    }
    return told | ({"fails": list(health.fails), "warns": list(health.warns)} if checked else {})


def _tell(found: "list[Health]", held: dict[str, list[str]], checked: bool) -> None:
    from labenv.cli import show

    rows, bad = [], []
    for place, each in enumerate(found):
        node = each.node
        state = node.state if node.availability == "active" else f"{node.state}, {node.availability}"
        size = f"{node.processors:g} CPU, {node.memory / (1 << 30):.1f} GiB"
        says = "" if not checked else "problem" if each.fails else "warning" if each.warns else "ok"
        role = "manager" if node.is_manager else "worker"
        rows.append((node.name, node.address, role, state, node.engine, size, str(len(held[node.id])), says))
        bad += [place] if each.fails else []
    show.table(("node", "address", "role", "state", "engine", "size", "environments", "check"), rows, bad)
    for each in found:
        for text in (*each.fails, *each.warns):
            print(f"labenv: {each.node.name}: {text}", file=sys.stderr)
