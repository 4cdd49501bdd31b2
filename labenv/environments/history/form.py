"""The form of a history: its two branches, the line that ends each commit, and the results of the checks.

What an archive brings is refused unless it has this form. Archives were not always verified: whoever reads a history skips
what is of another form.
"""

import json
import re
import time
from typing import Any

from labenv.text import clean

WORK, CHECKS = "refs/heads/work", "refs/heads/checks"
KEPT = "Kept: "  # a commit's last line has the machine and the name of the change
RESULTS = "results.json"
EDITS = ("--numstat", "--no-renames", "-z", "--format=%x00%H%x00%ct%x00%s")  # for git-log(1)
AHEAD = 86_400  # seconds that a machine's clock may be ahead: the engine may run on another computer

_MOMENT = re.compile(r"[0-9]{1,10}(\.[0-9]{1,9})?", re.ASCII)


def is_moment(name: str) -> bool:
    """Whether a record's name is a time that can have been, in the form that labenv's own script gives it."""
    return bool(_MOMENT.fullmatch(name)) and can_be(float(name))


def can_be(moment: float) -> bool:
    """Whether that time, in seconds since 1970, can have been."""
    return 0 <= moment < time.time() + AHEAD


def kept(message: str) -> tuple[str, str] | None:
    """The machine and the name of the change that a commit stores; None if its message does not tell."""
    _, line, rest = message.strip().rpartition(f"\n{KEPT}")
    told = rest.split()
    return (told[0], told[1]) if line and len(told) == 2 and is_moment(told[1]) else None


def results(data: bytes) -> dict[str, dict[str, str]] | None:
    """The results of a run, each the status and evidence of a "step/check/machine"; None for anything else."""
    try:
        found: Any = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not all(_is_result(key, told) for key, told in found.items()):
        return None
    return {clean(key): {part: clean(text) for part, text in told.items()} for key, told in found.items()}


def _is_result(key: str, told: object) -> bool:
    return (
        key.count("/") == 2
        and isinstance(told, dict)
        and told.keys() == {"status", "evidence"}
        and all(isinstance(text, str) for text in told.values())
    )
