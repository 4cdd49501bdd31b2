"""Who reaches whom, as measured: from each machine a packet goes to the ports of the others, and what comes back is told (reach.pl).

No connection is made, so no server logs anything, and nothing that a student sees changes but counters of rules.
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from labenv.engine import Engine
from labenv.environment import Machine
from labenv.errors import EngineError
from labenv.parallel import Together

_PROGRAM = Path(__file__).with_suffix(".pl").read_text(encoding="utf-8")
_SECONDS = 6.0  # for what takes one at most, but on a busy computer
_WORDS: Mapping[str, "Result"] = {
    "open": "open",
    "refused": "refused",
    "rejected": "rejected",
    "unreachable": "no route",
    "silent": "no answer",
}

# "refused" is a reset: nothing listens there, or a rule says so. "rejected" is a rule's or a router's word (ICMP).
Result = Literal["open", "refused", "rejected", "no answer", "no route"]


@dataclass(frozen=True)
class Reach:
    """What a machine got from a port of another: both by name."""

    start: str
    end: str
    port: int
    result: Result


def measure(
    engine: Engine, ports: Mapping[str, Mapping[int, str]], machines: Iterable[Machine]
) -> Iterator[Reach | str]:
    """Measure from each running machine to the `ports` of each other one, each at its address, all at once; why one could not, in a sentence."""
    running = [machine for machine in machines if machine.state == "running"]
    with Together(max(1, len(running))) as pool:
        for found in pool.map(lambda machine: _from(engine, machine, running, ports), running):
            yield from found


def _from(
    engine: Engine, start: Machine, machines: Iterable[Machine], ports: Mapping[str, Mapping[int, str]]
) -> list[Reach | str]:
    ways = {
        f"{address}:{port}": (end.name, port)
        for end in machines
        if end.name != start.name
        for port, address in sorted(ports.get(end.name, {}).items())
    }
    if not ways:
        return []
    try:
        with engine.shell(start) as shell:
            said = shell.run(f"perl -e {shlex.quote(_PROGRAM)} {' '.join(ways)}", timeout=_SECONDS)
    except EngineError as error:
        return [f"{start.name} did not measure whom it reaches: {error}"]
    rows = [line.partition(" ") for line in said.text.splitlines()]
    found = {way: _WORDS[word] for way, _, word in rows if way in ways and word in _WORDS}
    if not found:
        why = said.complaint.splitlines()[-1:] or ["it has no perl"]
        return [f"{start.name} could not measure whom it reaches: {why[0][:200]}"]
    return [Reach(start.name, *ways[way], result) for way, result in found.items()]
