"""Records of an environment that must not lie in its machines: each is a label of a small empty volume on the engine.

They are found by labels, as the machines are, and `down` removes them. A record's content is packed, so that nobody who
lists the volumes reads the answer to a drill by accident. A new record is made before the old one is removed: after an
interruption, the newest counts.
"""

import base64
import json
import time
import zlib
from collections.abc import Collection
from contextlib import suppress
from typing import Any

import docker.errors

from labenv.engine import Engine
from labenv.engine.errors import refusals
from labenv.engine.labels import LABEL, RECORD

_SAYS, _MADE = "labenv.record-says", "labenv.record-made"


def read(engine: Engine, student_id: str, kind: str) -> Any:
    """The content of the record of that kind, None if there is none. Raises EngineError."""
    there = _volumes(engine, student_id, kind)
    return _unpacked(there[-1]["Labels"]) if there else None


def everything(engine: Engine, kinds: Collection[str]) -> dict[str, dict[str, Any]]:
    """The content of all records of these kinds, by student and kind; one that cannot be read is left out. Raises EngineError."""
    with refusals("reading the records of all environments"):
        there = engine.api.volumes(filters={"label": [LABEL, RECORD, _MADE]})["Volumes"] or []
    found: dict[str, dict[str, Any]] = {}
    for volume in sorted(there, key=lambda volume: int(volume["Labels"][_MADE])):
        labels = volume["Labels"]
        if labels[RECORD] in kinds:
            with suppress(ValueError, LookupError, RecursionError, zlib.error):
                found.setdefault(labels[LABEL], {})[labels[RECORD]] = _unpacked(labels)
    return found


def of(engine: Engine, student_id: str) -> dict[str, Any]:
    """The content of all records of a student by kind, the newest of each; one that cannot be read is left out. Raises EngineError."""
    found: dict[str, Any] = {}
    for volume in _volumes(engine, student_id, None):
        with suppress(ValueError, LookupError, RecursionError, zlib.error):
            found[volume["Labels"][RECORD]] = _unpacked(volume["Labels"])
    return found


def write(engine: Engine, student_id: str, kind: str, says: Any) -> None:
    """Store a value (valid as JSON) as the student's record of that kind; it replaces the one before. Raises EngineError."""
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
    """Remove the student's record of that kind, or all of them. It is no error if there is none. Raises EngineError."""
    _remove(engine, _volumes(engine, student_id, kind))


def _volumes(engine: Engine, student_id: str, kind: str | None) -> list[Any]:
    """The volumes of a kind of record that this module made, newest last."""
    wanted = [f"{LABEL}={student_id}", f"{RECORD}={kind}" if kind else RECORD, _MADE]
    with refusals("reading the records of an environment"):
        there = engine.api.volumes(filters={"label": wanted})["Volumes"] or []
    return sorted(there, key=lambda volume: int(volume["Labels"][_MADE]))


def _unpacked(labels: dict[str, str]) -> Any:
    return json.loads(zlib.decompress(base64.b64decode(labels[_SAYS])))


def _remove(engine: Engine, volumes: list[Any]) -> None:
    with refusals("removing a record"):
        for volume in volumes:
            with suppress(docker.errors.NotFound):
                engine.api.remove_volume(volume["Name"])
