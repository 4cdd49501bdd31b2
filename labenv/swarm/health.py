"""What would stop a lab on a node: looked at on each node, by labenv's own image there."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labenv.engine import Engine
from labenv.engine.errors import refusals
from labenv.engine.swarm import Node
from labenv.errors import EngineError, LabenvError
from labenv.parallel import Together
from labenv.swarm import images
from labenv.swarm.where import Nodes
from labenv.text import decoded, many, one_line

_TOGETHER = 16
_CLOCK = 5.0  # seconds that a node's clock may be off: a copy's time is what a student is told
_PATIENCE = 60  # seconds for all that is looked at on one node
# The time first: what follows takes a second. The road out of the node is where its packets to other nodes go.
_LOOK = """
date +%s.%N
for link in /sys/class/net/*; do
    [ "$(cat $link/operstate 2>/dev/null)" = up ] && [ -e $link/device ] && cat $link/mtu
done | sort -n | head -n 1 | grep . || echo 0
exec python3 -m labenv doctor --json 2>/dev/null
"""
# What every node needs by itself; that an image is missing is said once, for all of them.
_NOT_OF_A_NODE = {"images", "ports", "uplink"}


@dataclass(frozen=True)
class Health:
    """A node, and what is wrong with it: sentences, those in `fails` stop labs. `tells` is whether anybody could look at it."""

    node: Node
    fails: tuple[str, ...] = ()
    warns: tuple[str, ...] = ()
    tells: bool = True


def examine(nodes: Nodes, labs: Sequence[str]) -> list[Health]:
    """Look at all nodes, for these labs. Raises EngineError if the manager does not answer; what a node does not tell is its `fails`."""
    engines = nodes.engines()
    with Together(_TOGETHER) as pool:
        found = list(pool.map(lambda node: _health(node, engines.get(node.id), labs), nodes.all))
    return list(_compared(found))


def _health(node: Node, engine: Engine | LabenvError | None, labs: Sequence[str]) -> Health:
    if engine is None:
        return Health(
            node,
            (f"It is {node.state}: Swarm hears nothing of it. If it is gone for good: docker node rm {node.id}",),
            tells=False,
        )
    if isinstance(engine, LabenvError):
        return Health(node, (str(engine),), tells=False)
    try:
        missing = images.lacking(engine, images.needed(labs))
        lacking = (
            f"It lacks {many(len(missing), 'image')}, such as {', '.join(missing[:1])}. Send them: labenv swarm images"
        )
        lacks = [lacking] if missing else []
        if images.own_tag() in missing:
            return Health(node, tuple(lacks), tells=False)
        fails, warns = _looked_at(engine)
    except LabenvError as error:
        return Health(node, (str(error),), tells=False)
    return Health(node, (*lacks, *fails), tuple(warns))


def _looked_at(engine: Engine) -> tuple[list[str], list[str]]:
    binds = [
        "/var/run/docker.sock:/var/run/docker.sock",
        "/sys/fs/cgroup:/sys/fs/cgroup:ro",
        "/sys/class/net:/sys/class/net:ro",
    ]
    settings = engine.settings(network_mode="host", binds=binds)
    with (
        refusals("looking at the node"),
        engine.helper(images.own_tag(), command=["sh", "-c", _LOOK], host_config=settings) as helper,
    ):
        engine.api.start(helper)
        here = time.time()
        engine.api.wait(helper, timeout=_PATIENCE)
        said = decoded(engine.api.logs(helper, stdout=True, stderr=False))
    try:
        clock, mtu, told = said.split("\n", 2)
        findings = json.loads(told)["findings"]
        fails = [
            _sentence(each) for each in findings if each["status"] == "fail" and each["topic"] not in _NOT_OF_A_NODE
        ]
        warns = [
            _sentence(each) for each in findings if each["status"] == "warn" and each["topic"] not in _NOT_OF_A_NODE
        ]
        off = float(clock) - here
        size = int(mtu)
    except (ValueError, LookupError, TypeError) as error:
        raise EngineError(f"What was looked at there makes no sense: {one_line(said)[:200]}") from error
    if abs(off) > _CLOCK:
        fails.append(
            f"Its clock is {abs(off):.0f} s {'ahead' if off > 0 else 'behind'}. Keep it by NTP: apt-get install chrony"
        )
    if 0 < size < 1280:
        warns.append(
            f"Its network takes packets of {size} bytes only; 1280 are the least for IPv6 and sane for a swarm."
        )
    return fails, warns


def _sentence(finding: Mapping[str, Any]) -> str:
    return one_line(f"{finding['sentence']} {finding['mend']}".strip())


def _compared(found: Sequence[Health]) -> Iterator[Health]:
    """The same, and whose engine is of another version than most."""
    versions = [health.node.engine for health in found]
    usual = max(sorted(set(versions)), key=versions.count, default="")
    for health in found:
        if health.node.engine != usual:
            told = f"Its engine is {health.node.engine or 'unknown'}, most are {usual}: what works on one may not on the other."
            yield Health(health.node, health.fails, (*health.warns, told), health.tells)
        else:
            yield health
