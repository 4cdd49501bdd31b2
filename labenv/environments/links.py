"""Bad links of an environment's machines. What is in force is in the kernel; a record on the engine says what that is."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from labenv.engine import Engine, link, records
from labenv.engine.image_sources import wanted
from labenv.engine.images import Images
from labenv.engine.link import GOOD, LONGEST, Impairment
from labenv.engine.session import life
from labenv.environment import Environment, Machine
from labenv.events import Listener
from labenv.text import number

RECORD = "links"  # the kind of the record
_IMAGE = "machine"


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
    """What is wrong with links now, by machine, by what a record says: a machine that was booted since has a good one.

    What a drill has done is not told. Raises EngineError.
    """
    there = {machine.name: machine for machine in environment.machines}
    found = {}
    for name, entry in noted.items() if isinstance(noted, Mapping) else ():
        machine = there.get(name)
        if machine and (bad := _bad(engine, machine, entry)):
            found[name] = bad
    return found


def change(
    engine: Engine, environment: Environment, name: str, wrong: Impairment, listen: Listener, *, told: bool = True
) -> Bad | None:
    """Let that be wrong with the link of a machine that runs, in place of what was before, for a command that holds the student's lock.

    With `GOOD` it is good again. Unless `told`, as it is the fault of a drill, `status` does not show it. Raises NoNetem, EngineError.
    """
    who, machine = environment.student.id, environment.machine(name)
    Images(engine).ensure([_IMAGE], listen)
    bridges = filter(None, engine.bridges(who).values())
    link.impair(engine, who, machine, bridges, wanted()[_IMAGE].tag, wrong)
    noted = {other: entry for other, entry in (records.read(engine, who, RECORD) or {}).items() if other != name}
    if wrong != GOOD:
        now = time.time()
        end = now + wrong.down if wrong.down else 0
        noted[name] = asdict(wrong) | {"life": life(engine, machine.container), "since": now, "down": end, "told": told}
    if noted:
        records.write(engine, who, RECORD, noted)
    else:
        records.remove(engine, who, RECORD)
    return in_force(engine, environment, noted).get(name)


def tidied(engine: Engine, student_id: str, noted: Any) -> None:
    """Remove from the computer's rules what belonged to links of an environment that is gone, if there was any. Raises EngineError."""
    if noted:
        link.tidy(engine, student_id, wanted()[_IMAGE].tag)


def _bad(engine: Engine, machine: Machine, entry: Any) -> Bad | None:
    try:
        if not entry.get("told", True) or entry["life"] != life(engine, machine.container):
            return None
        now = time.time()
        until = datetime.fromtimestamp(entry["down"], UTC).isoformat(timespec="seconds") if entry["down"] > now else ""
        loss = int(entry["loss"]) / 100 if now < entry["since"] + LONGEST else 0.0
        bad = Bad(loss, int(entry["delay"]), until)
    except (AttributeError, LookupError, TypeError, ValueError, OverflowError, OSError):  # another labenv wrote it
        return None
    return bad if bad.to_dict() else None
