"""Records of an environment that must not lie in its machines: each is a label of a small empty volume on the engine.

They are found by labels, as the machines are, and go with `down`. What a record says is packed, so that who lists the
volumes does not read the answer to a drill by accident. A record is replaced by making the next before the last is
removed: whenever that is interrupted, the newest counts.
"""

import base64
import json
import time
import zlib
from contextlib import suppress
from typing import Any

import docker.errors

from labenv.engine import LABEL, RECORD, Engine, refusals

_SAYS, _MADE = "labenv.record-says", "labenv.record-made"


def read(engine: Engine, student_id: str, kind: str) -> Any:
    """What the record of that kind says, None if there is none. Raises EngineError."""
    there = _volumes(engine, student_id, kind)
    return json.loads(zlib.decompress(base64.b64decode(there[-1]["Labels"][_SAYS]))) if there else None


def write(engine: Engine, student_id: str, kind: str, says: Any) -> None:
    """Keep what can be JSON as the student's record of that kind, in place of the one before. Raises EngineError."""
    last = _volumes(engine, student_id, kind)
    labels = {
        LABEL: student_id,
        RECORD: kind,
        _MADE: f"{max(time.time_ns(), *(int(volume['Labels'][_MADE]) + 1 for volume in last), 0)}",
        _SAYS: base64.b64encode(zlib.compress(json.dumps(says).encode())).decode(),
    }
    with refusals(f"keeping a record of {student_id}'s environment"):
        engine.api.create_volume(f"labenv-{student_id}-{kind}-{labels[_MADE]}", labels=labels)
    _remove(engine, last)


def remove(engine: Engine, student_id: str, kind: str | None = None) -> None:
    """Remove the student's record of that kind, or all of them. None there is no error. Raises EngineError."""
    _remove(engine, _volumes(engine, student_id, kind))


def _volumes(engine: Engine, student_id: str, kind: str | None) -> list[Any]:
    """The volumes of a kind of record that this module made, the newest last."""
    wanted = [f"{LABEL}={student_id}", f"{RECORD}={kind}" if kind else RECORD, _MADE]
    with refusals("reading the records of an environment"):
        there = engine.api.volumes(filters={"label": wanted})["Volumes"] or []
    return sorted(there, key=lambda volume: int(volume["Labels"][_MADE]))


def _remove(engine: Engine, volumes: list[Any]) -> None:
    with refusals("removing a record"):
        for volume in volumes:
            with suppress(docker.errors.NotFound):
                engine.api.remove_volume(volume["Name"])
