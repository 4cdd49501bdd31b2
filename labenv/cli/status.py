"""The status command."""

import sys
from typing import TYPE_CHECKING, Any

from labenv.cli import common, screen
from labenv.cli.common import JsonOption, StudentOption

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from labenv.engine import Engine
    from labenv.environment import Environment
    from labenv.environments.links import Bad


def status(student: StudentOption = None, json: JsonOption = False) -> None:
    """Show the environments: student, stage, machines and ports.

    Examples:

      labenv status

      labenv status --json | jq -r '.environments[].domain'
    """
    from labenv.engine import disk, records
    from labenv.environments import links, ticks, vanished

    with screen.progress(quiet=True) as listen:
        engine = common.open_all(listen)
        there = engine.environments(student)
        nodes = _nodes(engine, there)
        warnings = list(filter(None, [disk.warning(engine)]))
        warnings += vanished.environments(engine, {e.student.id for e in there} | nodes.keys(), student)
        ticked: dict[str, list[str]] = {}
        impaired: dict[str, dict[str, Bad]] = {}
        for each in there:
            who, holder = each.student.id, engine.holding(each.student.id)
            noted = records.of(holder, who)
            ticked[who] = list(ticks.checked(noted.get(ticks.RECORD)))
            impaired[who] = links.in_force(holder, each, noted.get(links.RECORD))
        for each in there:
            common.tell_of_loss(each, listen, quiet=json or student is None)
    if json:
        told = [
            _document(e, impaired[e.student.id]) | _ticked(ticked[e.student.id]) | _node(nodes, e.student.id)
            for e in there
        ]
        common.print_json({"environments": told})
    else:
        from labenv.cli import show

        show.environments(there, ticked, nodes, impaired)
    for text in warnings:
        print(f"labenv: {text}", file=sys.stderr)


def _document(environment: "Environment", impaired: "Mapping[str, Bad]") -> dict[str, Any]:
    """The environment, with what is wrong with a machine's link."""
    document = environment.to_dict()
    for machine in document["machines"]:
        if bad := impaired.get(machine["name"]):
            machine["impaired"] = bad.to_dict()
    return document


def _nodes(engine: "Engine", there: "Sequence[Environment]") -> dict[str, str]:
    """The name of the node that has each environment, by student; nothing where there is no swarm."""
    from labenv.swarm import leases

    if not leases.is_kept():
        return {}
    from labenv.swarm.where import Fleet

    if isinstance(engine, Fleet):
        return {each.student.id: name for name, each in engine.located()}
    return {each.student.id: lease.name for each in there if (lease := leases.placed(each.student.id))}


def _node(nodes: "Mapping[str, str]", who: str) -> dict[str, str]:
    return {"node": nodes[who]} if who in nodes else {}


def _ticked(steps: list[str]) -> dict[str, list[str]]:
    return {"ticked": steps} if steps else {}
