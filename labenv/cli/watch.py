"""The output of `check --watch`: the steps, drawn again when something changes; in a log, one line for each change."""

import gc
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from labenv.cli import common, screen
from labenv.errors import EngineError
from labenv.events import silent
from labenv.sheet import guide, progress
from labenv.sheet.progress import Mark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labenv.checks.results import Report
    from labenv.engine import Engine
    from labenv.environment import Environment
    from labenv.lab.model import Lab
    from labenv.swarm.where import Fleet


def watch(engine: "Engine", environment: "Environment", lab: "Lab", steps: list[str] | None) -> None:
    """Check, draw, wait for a change, and so on, until Ctrl-C."""
    gc.enable()  # unlike other commands this one may run for hours
    draw = partial(_screen, every=bool(steps)) if sys.stdout.isatty() else _log
    before: dict[str, Mark] = {}
    fleet = _fleet(environment)
    try:
        while True:
            try:
                for report in _reports(engine, environment, steps, fleet):
                    headings = progress.headings(report, lab)
                    marks = {row.step.id: row.mark for heading in headings for row in heading.rows}
                    draw(report.spoken(lab), lab, before, marks)
                    before = marks
            except EngineError:
                if not (fleet and (there := _followed(fleet, engine, environment))):
                    raise
                engine, environment = there
    except KeyboardInterrupt:
        print(file=sys.stderr)


def _reports(
    engine: "Engine", environment: "Environment", steps: list[str] | None, fleet: "Fleet | None"
) -> "Iterator[Report]":
    """The reports; on a swarm a process makes them that can be ended at once when the node is lost. Raises EngineError."""
    from labenv.sheet import watch as watching

    if not fleet:
        yield from watching.reports(engine, environment, steps=steps)
        return
    from labenv.classroom.running.checking import Checkers

    with Checkers(fleet) as checkers:

        def check(_: "Engine", environment: "Environment", **how: Any) -> "Report":
            return checkers.check(environment, **how)

        away = partial(fleet.away, environment.student.id)
        yield from watching.reports(engine, environment, steps=steps, check=check, away=away)


def _fleet(environment: "Environment") -> "Fleet | None":
    """All nodes, if a swarm has the environment, so that it may go from one to another."""
    from labenv.swarm import leases

    if not leases.is_placed(environment.student.id):
        return None
    from labenv.swarm.where import Fleet

    return Fleet(common.open_local_engine(silent))


def _followed(fleet: "Fleet", engine: "Engine", environment: "Environment") -> "tuple[Engine, Environment] | None":
    """Where an environment is by now that went to another server of a swarm; None if it did not."""
    from labenv.swarm import where

    who = environment.student.id
    with screen.progress(quiet=True) as listen:
        found = where.followed(fleet, who, engine, listen)
    return (found, common.chosen(found, who)) if found else None


def _screen(report: "Report", lab: "Lab", before: dict[str, Mark], marks: dict[str, Mark], *, every: bool) -> None:
    from rich.console import Console
    from rich.text import Text

    from labenv.cli import brief, fold, sheet

    console = Console(highlight=False)
    console.clear()
    if every:
        console.print(sheet.drawn(report, lab))
    else:
        for line in brief.lines(report, lab, fold.width(), brief.height(3)):
            console.print(line, soft_wrap=True)
    flips = _flips(before, marks)
    console.print(Text("; ".join(flips), style="bold cyan") if flips else Text())
    console.print(Text(f"Checked at {_now()}. Watching for changes; press Ctrl-C to stop.", style="dim"))


def _log(report: "Report", lab: "Lab", before: dict[str, Mark], marks: dict[str, Mark]) -> None:
    flips = _flips(before, marks)
    if not before:
        print(f"{_now()} {progress.counted(progress.headings(report, lab))}", flush=True)
    for flip in flips:
        print(f"{_now()} {flip}", flush=True)
    if flips or not before:
        print(f"{_now()} {guide.next_step(report, lab).sentence}", flush=True)


def _flips(before: dict[str, Mark], marks: dict[str, Mark]) -> list[str]:
    """What has changed, one clause per step."""
    changed = [step for step, mark in marks.items() if before.get(step, mark) != mark]
    return [f"step {step}: {progress.WORDS[before[step]]} → {progress.WORDS[marks[step]]}" for step in changed]


def _now() -> str:
    return time.strftime("%H:%M:%S")
