"""A bad link: packets of a machine that are lost, late, or do not pass at all, on the way and not in the machine.

The rules are at the other end of the machine's cable, on the engine's computer, where nobody in the machine sees or changes them.
They are bound to the interface there, which is made when the machine boots: so a reboot has a good link again, and
another machine with the same address is not touched. They end by themselves, whatever becomes of labenv (link.sh).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from labenv.engine import Engine, computer_network
from labenv.environment import Machine
from labenv.errors import EngineError

LONGEST = 24 * 3600  # seconds
_HERE = Path(__file__)
_RULES = _HERE.with_suffix(".nft").read_text(encoding="utf-8")
_SCRIPT = _HERE.with_suffix(".sh").read_text(encoding="utf-8")
_DONE = "done"
_INTERFACES = (
    'for each in /sys/class/net/*; do read -r own <$each/ifindex; read -r peer <$each/iflink; echo "$own:$peer"; done'
)
_MOST = 50  # interfaces: root in a machine can make thousands, and one with a cable is among the first


@dataclass(frozen=True)
class Impairment:
    """What is wrong with a link: how many of 10000 packets are lost in each direction, milliseconds that those to the machine come late.

    `down` are the seconds for which nothing passes.
    """

    loss: int = 0
    delay: int = 0
    down: int = 0


GOOD = Impairment()


class NoNetem(EngineError):
    """The kernel cannot delay packets."""


def impair(
    engine: Engine, student_id: str, machine: Machine, bridges: Iterable[str], image: str, wrong: Impairment
) -> None:
    """Let that be wrong with all links of a running machine to these bridges, and nothing else. Raises NoNetem, EngineError."""
    with engine.shell(machine, reads=True) as shell:
        seen = re.findall(r"^\d{1,9}:\d{1,9}$", shell.run(_INTERFACES).text, re.MULTILINE)
    said = _said(engine, student_id, image, " ".join(seen[:_MOST]), " ".join(bridges), wrong)
    if said.endswith("no netem"):
        raise NoNetem(
            "The kernel of the engine's computer cannot delay packets: it lacks netem (tc-netem(8), CONFIG_NET_SCH_NETEM). "
            "Leave --delay out, or use an engine on another kernel."
        )
    if said.endswith("no link"):
        raise EngineError(
            f"The engine does not show {machine.name}'s link to its computer, so nothing can be wrong with it."
        )
    if not said.endswith(_DONE):
        raise EngineError(
            f"The engine's computer did not take the rules for {machine.name}'s link: {said or 'no reason given'}"
        )


def tidy(engine: Engine, student_id: str, image: str) -> None:
    """Remove what is left of links that are gone. Raises EngineError."""
    _said(engine, student_id, image, "", "", GOOD)


def _said(engine: Engine, student_id: str, image: str, interfaces: str, bridges: str, wrong: Impairment) -> str:
    amounts = [str(wrong.loss), f"{wrong.delay}ms" if wrong.delay else "0", f"{wrong.down}s" if wrong.down else "0"]
    arguments = [_RULES, interfaces, bridges, *amounts]
    return computer_network.said(engine, student_id, image, _SCRIPT, arguments, "changing a link")
