"""A class's rows in words and signs, the same ones wherever they are shown."""

import time
from collections.abc import Sequence

from labenv.classroom.running.board import Row, State
from labenv.sheet import progress
from labenv.sheet.progress import Mark
from labenv.swarm import leases

# Signs that every terminal has, one column wide, and which differ without colour, too.
SIGNS: dict[Mark, str] = {"pass": ".", "fail": "x", "skip": "-", "warn": "!", "person": "o", "ticked": "+"}
UNKNOWN = "?"
WORDS: dict[Mark, str] = {
    "pass": "passes",
    "fail": "fails",
    "skip": "waits",
    "warn": "passes, with a warning",
    "person": "for a person",
    "ticked": "ticked",
}
STATES: dict[State, str] = {
    "runs": "runs",
    "partly": "runs partly",
    "stopped": "stopped",
    "missing": "not there",
    "elsewhere": "elsewhere",
}


def legend() -> str:
    """What the signs mean."""
    told = ", ".join(f"{SIGNS[mark]} {word}" for mark, word in WORDS.items())
    return f"{told}, {UNKNOWN} not checked"


def counts(row: Row) -> str:
    """How many steps of a student there are of each kind, for who does not see the signs."""
    marks = list(row.marks.values())
    told = [f"{marks.count(mark)} {word}" for mark, word in WORDS.items() if mark in marks]
    return ", ".join(told) or "not checked"


def drills(row: Row) -> str:
    """How many drills were fixed, of how many, and whether one runs."""
    finished = f"{row.fixed}/{row.drills}" if row.drills else ""
    return f"{finished} now".strip() if row.drilling else finished


def server(row: Row) -> str:
    """On which node of a swarm the environment is; "" where there is no swarm."""
    return row.lease.name if row.lease and row.lease.node else ""


def lost(row: Row) -> list[str]:
    """What a student lost lately with a node, in a few words; nothing if nothing."""
    return [leases.said(row.lease)] if row.lease and leases.news(row.lease) else []


def losses(rows: Sequence[Row]) -> list[str]:
    """Who lost something lately with a node, and how much, as sentences."""
    return [f"{row.student} {words}." for row in rows for words in lost(row)]


def ago(moment: int | None) -> str:
    """How long ago a time (seconds since 1970) is, in its largest unit; "" for none."""
    if moment is None:
        return ""
    seconds = max(0, int(time.time()) - moment)
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def changes(before: Row, now: Row) -> list[str]:
    """What has changed for a student, each as a few words."""
    found = []
    if before.state != now.state:
        found.append(f"{STATES[before.state]} → {STATES[now.state]}")
    for step, mark in now.marks.items():
        if (then := before.marks.get(step)) != mark:
            words = progress.WORDS[then] if then else "not checked"
            found.append(f"step {step}: {words} → {progress.WORDS[mark]}")
    if server(now) and server(before) and server(now) != server(before):
        found.append(f"went from {server(before)} to {server(now)}")
    if now.hints > before.hints:
        found.append(f"asked for a hint ({now.hints} so far)")
    if now.drilling and not before.drilling:
        found.append("a drill began")
    if now.drills > before.drills:
        found.append(f"a drill ended ({now.fixed} of {now.drills} fixed)")
    return found


def summary(rows: Sequence[Row]) -> str:
    """How many environments there are in which state."""
    there = [(word, sum(row.state == state for row in rows)) for state, word in STATES.items()]
    return ", ".join(f"{word}: {count}" for word, count in there if count) or "Nobody is in it"
