"""Which machines of an environment have a bad link. What is in force is in the kernel; a record on the engine says what that is."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from labenv.engine import Engine
from labenv.engine.link import LONGEST
from labenv.engine.session import life
from labenv.environment import Environment, Machine
from labenv.text import number

RECORD = "links"  # the kind of the record


@dataclass(frozen=True)
class Bad:
    """What is wrong with a machine's link now: percent of packets that are lost, milliseconds, and until when it is down, "" if it is not."""

    loss: float
    delay: int
    down_until: str

    @property
    def sentence(self) -> str:
        """The same in words."""
        until = (
            f"it is down until {datetime.fromisoformat(self.down_until):%d %b %H:%M:%S} UTC" if self.down_until else ""
        )
        lost = f"{number(self.loss)} % of the packets are lost" if self.loss else ""
        late = f"packets to it come {self.delay} ms late" if self.delay else ""
        return ", ".join(filter(None, [until, lost, late]))

    def to_dict(self) -> dict[str, Any]:
        """As `status --json` shows it."""
        said = {"loss": self.loss, "delay": self.delay, "down_until": self.down_until}
        return {name: value for name, value in said.items() if value}


def in_force(engine: Engine, environment: Environment, noted: Any) -> dict[str, Bad]:
    """What is wrong with links now, by machine, by what a record says: a machine that was booted since has a good one. Raises EngineError."""
    there = {machine.name: machine for machine in environment.machines}
    found = {}
    for name, entry in noted.items() if isinstance(noted, Mapping) else ():
        machine = there.get(name)
        if machine and (bad := _bad(engine, machine, entry)):
            found[name] = bad
    return found


def _bad(engine: Engine, machine: Machine, entry: Any) -> Bad | None:
    try:
        if entry["life"] != life(engine, machine.container):
            return None
        now = time.time()
        until = datetime.fromtimestamp(entry["down"], UTC).isoformat(timespec="seconds") if entry["down"] > now else ""
        loss = int(entry["loss"]) / 100 if now < entry["since"] + LONGEST else 0.0
        bad = Bad(loss, int(entry["delay"]), until)
    except (LookupError, TypeError, ValueError, OverflowError, OSError):  # another labenv wrote it
        return None
    return bad if bad.to_dict() else None
