"""Where a student is on the sheet, what to do next, and the hints, which are given one by one and recorded.

The hints that were asked for are recorded on the engine, outside the machines, because a student is root there. Earlier versions
kept them on `host`: one JSON object per line, with time, step and level. They still count; what is read there is not trusted.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from labenv.checks.results import PERSON, CheckResult, Report, needed
from labenv.checks.run import check_known, run_checks
from labenv.engine import records
from labenv.environment import Environment
from labenv.errors import UsageError
from labenv.events import Listener, silent
from labenv.lab import labs
from labenv.lab.model import Lab, Step
from labenv.sheet import logbook

if TYPE_CHECKING:
    from labenv.engine import Engine

RECORD = "hints"  # the kind of the record
# What each level of a hint says.
SAID = {1: "what is wrong", 2: "where to look", 3: "the idea"}
# Where earlier versions kept them, in the machine that has the log book.
_FILE = "/var/lib/labenv/hints.jsonl"


@dataclass(frozen=True)
class Next:
    """What to do next, as a `sentence`; `step` and `machine` are empty when no check fails. `left` is for a person.

    `attempts` are sentences about clients that were refused at a step before that, whose checks pass.
    """

    step: str
    machine: str
    sentence: str
    note: str
    left: tuple[str, ...]
    attempts: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The record as `next --json` shows it."""
        return asdict(self)


@dataclass(frozen=True)
class Asked:
    """A hint that was asked for: when (UTC, ISO 8601), for which step, and up to which level (1 to 3)."""

    time: str
    step: str
    level: int

    @property
    def moment(self) -> datetime:
        """When, for whoever shows it on other clocks."""
        return datetime.fromisoformat(self.time)


@dataclass(frozen=True)
class Hint:
    """A hint: what the checks saw (`wrong`) and the first `level` sentences of help.

    `level` 0: the step passes; `wrong` are then its warnings.

    `asked` is the step that was asked for, `step` the one to fix first: a different one if `asked` waits for it. `attempts` are
    sentences about clients that were refused at a step before, as in Next; if nothing else is to be said, `step` is "".
    """

    asked: str
    step: str
    title: str
    level: int
    wrong: tuple[str, ...] = ()
    help: tuple[str, ...] = ()
    note: str = ""
    attempts: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The hint as `hint --json` shows it."""
        return asdict(self)


def next_step(report: Report, lab: Lab) -> Next:
    """The first step in the order of the sheet that fails, in one sentence with the evidence of its first failure.

    If none fails, the sentence says what is left for a person. A step that says how it is done begins with that.
    """
    left = tuple(dict.fromkeys(r.step for r in report.results if is_left(r, lab)))
    for result in report.results:
        if result.status == "fail":
            step = lab.steps[result.step]
            seen = f"{step.how}. labenv sees: {result.evidence}" if step.how else result.evidence
            sentence = f"Step {step.id} on {result.machine} ({on_the_sheet(step)}): {seen}"
            order = list(lab.steps)
            before = [(name, told) for name, told in report.attempts if order.index(name) < order.index(step.id)]
            return Next(step.id, result.machine, sentence, step.note, left, _attempts(before, lab))
    waiting = [r for r in report.results if r.status == "skip" and not lab.steps[r.step].is_for_a_person]
    pages = [r for r in report.results if is_left(r, lab) and r.check != PERSON]
    if waiting:
        sentence = f"No check fails, but step {waiting[0].step} waits: {waiting[0].evidence}"
    elif pages:
        step = lab.steps[pages[0].step]
        yours, seen = f"Left for you is step {step.id} ({on_the_sheet(step)}):", pages[0].evidence
        sentence = f"{yours} {step.how}. All checks pass; {seen}" if step.how else f"All checks pass. {yours} {seen}"
    elif left:
        sentence = f"All checks pass. Only you can judge the rest: {_steps(left, lab)}. Tick what is done: labenv tick"
    else:
        is_ticked = any(result.ticked for result in report.results)
        sentence = f"All checks pass.{' What only you can judge is ticked.' if is_ticked else ''}"
    return Next("", "", sentence, "", left, _attempts(report.attempts, lab))


def _attempts(told: Iterable[tuple[str, str]], lab: Lab) -> tuple[str, ...]:
    """What clients were refused, each as a sentence that begins with its step."""
    return tuple(f"Step {name} ({on_the_sheet(lab.steps[name])}): {words}" for name, words in told)


def is_left(result: CheckResult, lab: Lab) -> bool:
    """Whether a result is left for a person to do or to judge; what is ticked is not."""
    return result.status == "skip" and not result.ticked and lab.steps[result.step].is_for_a_person


def on_the_sheet(step: Step) -> str:
    """Where the step is on the sheet."""
    return f'sheet: "{step.heading}"' + (f", {step.number}" if step.number else "")


def fix_first(report: Report, lab: Lab, step: str) -> str:
    """The step to fix before `step`: the first failing step on the sheet that it waits for, or itself."""
    failed = {result.step for result in report.results if result.status == "fail"}
    waits_for = needed(step, lab, report.waits) & failed
    return next((name for name in lab.steps if name in waits_for), step)


def next_hint(
    engine: "Engine", environment: Environment, lab: Lab, *, level: int | None = None, listen: Listener = silent
) -> Hint:
    """A hint for the step that `next` names, after what it says of clients that were refused; see `hint`.

    Raises UsageError if there is neither.
    """
    ahead = next_step(run_checks(engine, environment, first=True, listen=listen), lab)
    if not ahead.step and not ahead.attempts:
        raise UsageError("No check fails, so there is nothing to hint at. What is left for you: labenv next")
    if not ahead.step:
        return Hint("", "", "", 0, attempts=ahead.attempts)
    found = hint(engine, environment, ahead.step, lab, level=level, listen=listen)
    return replace(found, attempts=ahead.attempts)


def hint(
    engine: "Engine",
    environment: Environment,
    step: str,
    lab: Lab,
    *,
    level: int | None = None,
    listen: Listener = silent,
) -> Hint:
    """A hint for a step as it is now, with the texts of `lab`. Each request gives one sentence more, and is recorded.

    `level` (1 to 3) asks for that many at once. A step that waits for another gets the hint for that one. Raises
    UsageError for an unknown step and for one that only a person can judge, EngineError if the request cannot be recorded.
    """
    check_known(lab, [step])
    if not lab.steps[step].hints:
        how = lab.steps[step].how
        why = f"there is no hint but what to do: {how}." if how else "it has no check, so there is no hint."
        raise UsageError(f"Step {step} ({lab.steps[step].title}) is for you: {why}")
    steps = {step} | needed(step, lab, {})
    while True:
        report = run_checks(engine, environment, steps=sorted(steps), listen=listen).spoken(lab)
        found_out = needed(step, lab, report.waits)
        if found_out <= steps:
            break
        steps |= found_out
    first = lab.steps[fix_first(report, lab, step)]
    wrong = tuple(
        dict.fromkeys(r.evidence for r in report.results if r.step == first.id and r.status in ("fail", "skip"))
    )
    if not wrong:
        warned = tuple(dict.fromkeys(r.evidence for r in report.results if r.step == step and r.status == "warn"))
        return Hint(step, step, first.title, 0, warned, note=first.note)
    level = level or min(
        len(SAID), 1 + max((a.level for a in asked(engine, environment) if a.step == first.id), default=0)
    )
    _keep(engine, environment, Asked(datetime.now(UTC).isoformat(timespec="seconds"), first.id, level))
    return Hint(step, first.id, first.title, level, wrong, first.hints[:level], first.note)


def asked(engine: "Engine", environment: Environment) -> list[Asked]:
    """The hints that were asked for in the environment, in order. Raises EngineError if the machine of the log book is not running."""
    text = ""
    if logbook.exists(lab := labs.of(environment)):
        with engine.shell(environment.machine(logbook.keeper(lab))) as channel:
            text = channel.run(f"test ! -f {_FILE} || head -c 1000000 {_FILE}").text
    return [*read_asked(text.splitlines()), *_recorded(engine, environment)]


def _recorded(engine: "Engine", environment: Environment) -> list[Asked]:
    kept = records.read(engine, environment.student.id, RECORD) or []
    return [Asked(**ask) for ask in kept]


def recorded(engine: "Engine", student_id: str) -> int:
    """How many hints are recorded outside the machines. Raises EngineError."""
    return len(records.read(engine, student_id, RECORD) or [])


def read_asked(lines: Iterable[str]) -> Iterable[Asked]:
    """The hints that the lines of the file record; an invalid line is skipped."""
    for line in lines:
        try:
            entry = json.loads(line)
            time = datetime.fromisoformat(entry["time"]).astimezone(UTC).isoformat(timespec="seconds")
            yield Asked(time, str(entry["step"])[:10], min(len(SAID), max(1, int(entry["level"]))))
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            continue


def _keep(engine: "Engine", environment: Environment, ask: Asked) -> None:
    kept = [asdict(other) for other in (*_recorded(engine, environment), ask)]
    records.write(engine, environment.student.id, RECORD, kept)


def _steps(names: Iterable[str], lab: Lab) -> str:
    """Steps in words; three or more neighbours on the sheet are a range."""
    places = {name: place for place, name in enumerate(lab.steps)}
    runs: list[list[str]] = []
    for name in names:
        if runs and places[runs[-1][-1]] + 1 == places[name]:
            runs[-1].append(name)
        else:
            runs.append([name])
    parts = [part for run in runs for part in ([f"{run[0]} to {run[-1]}"] if len(run) > 2 else run)]
    return f"{'step' if sum(map(len, runs)) == 1 else 'steps'} {', '.join(parts)}"
