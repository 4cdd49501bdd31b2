"""Giving a machine a bad link, and a good one again."""

import time
from dataclasses import asdict
from typing import Any

from labenv.engine import Engine, link, records
from labenv.engine.image_sources import wanted
from labenv.engine.images import Images
from labenv.engine.link import GOOD, Impairment
from labenv.engine.session import life
from labenv.environment import Environment
from labenv.environments.changing import changing
from labenv.environments.links import RECORD, Bad, in_force
from labenv.errors import EngineError
from labenv.events import Listener

_IMAGE = "machine"


def impair(engine: Engine, environment: Environment, name: str, wrong: Impairment, listen: Listener) -> Bad | None:
    """Let that be wrong with a machine's link, in place of what was before; with `GOOD` it is good again. Raises EngineError."""
    who = environment.student.id
    with changing(engine, who, listen) as change:
        environment = change.environment
        machine = environment.machine(name)
        if machine.state != "running":
            raise EngineError(f"{name} is {machine.state}, so its link is of no use. Start it: labenv up {who}")
        Images(engine).ensure([_IMAGE], listen)
        bridges = filter(None, engine.bridges(who).values())
        link.impair(engine, who, machine, bridges, wanted()[_IMAGE].tag, wrong)
        noted = {other: entry for other, entry in (records.read(engine, who, RECORD) or {}).items() if other != name}
        if wrong != GOOD:
            now = time.time()
            end = now + wrong.down if wrong.down else 0
            noted[name] = asdict(wrong) | {"life": life(engine, machine.container), "since": now, "down": end}
        if noted:
            records.write(engine, who, RECORD, noted)
        else:
            records.remove(engine, who, RECORD)
        return in_force(engine, environment, noted).get(name)


def tidied(engine: Engine, student_id: str, noted: Any) -> None:
    """Remove from the computer's rules what belonged to links of an environment that is gone, if there was any. Raises EngineError."""
    if noted:
        link.tidy(engine, student_id, wanted()[_IMAGE].tag)
