"""What a student ticked: steps of the sheet that only a person can do, each with what the student says about it.

The ticks lie on the engine, outside the machines, and a save has them in a label: `restore` and `import` bring them back. An archive
may come from anybody, so what is read there is bounded and checked.
"""

import base64
import json
import re
import zlib
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from labenv.engine import records
from labenv.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from labenv.engine import Engine

RECORD = "ticks"  # the kind of the record
LONGEST = 300  # characters of what a student says
_MOST = 100
_LARGEST = 100_000  # bytes of a label, unpacked


@dataclass(frozen=True)
class Tick:
    """A step that a person ticked: when (UTC, ISO 8601), and in which words; they may be none."""

    step: str
    time: str
    words: str

    @property
    def said(self) -> str:
        """The tick as a sentence without its end."""
        return f'ticked: "{self.words}"' if self.words else "ticked"


def read(engine: "Engine", student_id: str) -> dict[str, Tick]:
    """The ticks of a student's environment, by step. Raises EngineError."""
    return checked(records.read(engine, student_id, RECORD))


def keep(engine: "Engine", student_id: str, ticks: "Iterable[Tick]") -> None:
    """Record these ticks in place of all that there were. Raises EngineError."""
    kept = [asdict(tick) for tick in ticks]
    if kept:
        records.write(engine, student_id, RECORD, kept)
    else:
        records.remove(engine, student_id, RECORD)


def packed(ticks: "Iterable[Tick]") -> str:
    """Ticks as the value of a label; empty for none."""
    kept = [asdict(tick) for tick in ticks]
    return base64.b64encode(zlib.compress(json.dumps(kept).encode())).decode() if kept else ""


def unpacked(label: str) -> dict[str, Tick]:
    """The ticks in a label, by step; none if it is damaged."""
    try:
        unzip = zlib.decompressobj()
        return checked(json.loads(unzip.decompress(base64.b64decode(label, validate=True), _LARGEST)))
    except (ValueError, RecursionError, zlib.error):
        return {}


def checked(entries: Any) -> dict[str, Tick]:
    """The ticks that a JSON tree from anywhere tells, by step; what is none is skipped."""
    found = {}
    for entry in entries[:_MOST] if isinstance(entries, list) else []:
        try:
            step, time, words = (str(entry[name]) for name in ("step", "time", "words"))
            datetime.fromisoformat(time)
        except (ValueError, TypeError, LookupError):
            continue
        if re.fullmatch(r"[0-9a-z]{1,10}", step):
            found[step] = Tick(step, time[:40], one_line(words)[:LONGEST])
    return found
