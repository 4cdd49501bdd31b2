"""The steps that only a person can do or judge: a student ticks them, and says what there was to see."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from labenv.checks.run import check_known
from labenv.environment import Environment
from labenv.environments import ticks
from labenv.environments.changing import changing
from labenv.environments.ticks import Tick
from labenv.errors import UsageError
from labenv.events import Listener, silent
from labenv.lab.model import Lab, Step
from labenv.text import one_line

if TYPE_CHECKING:
    from labenv.engine import Engine


@dataclass(frozen=True)
class ByHand:
    """A step that only a person can do or judge, and its tick, if there is one."""

    step: Step
    tick: Tick | None

    def to_dict(self) -> dict[str, Any]:
        """It as `tick --json` shows it."""
        tick = {"time": self.tick.time, "words": self.tick.words} if self.tick else None
        return {"step": self.step.id, "title": self.step.title, "ticked": tick}


def steps(engine: "Engine", environment: Environment, lab: Lab) -> list[ByHand]:
    """The steps for a person, in the order of the sheet. Raises EngineError."""
    there = ticks.read(engine, environment.student.id)
    return [ByHand(step, there.get(step.id)) for step in _for_a_person(lab)]


def tick(
    engine: "Engine", environment: Environment, lab: Lab, step: str, words: str, listen: Listener = silent
) -> Tick:
    """Tick a step, in the student's words; an earlier tick is replaced.

    Raises UsageError for an unknown step, one that labenv judges, or words that are too long; EngineError.
    """
    _check(lab, step)
    words = one_line(words).strip()
    if len(words) > ticks.LONGEST:
        raise UsageError(
            f"These are {len(words)} characters; a tick has at most {ticks.LONGEST}. What is longer belongs into the log book."
        )
    made = Tick(step, datetime.now(UTC).isoformat(timespec="seconds"), words)
    keep(engine, environment, made, listen)
    return made


def keep(engine: "Engine", environment: Environment, made: Tick, listen: Listener = silent) -> None:
    """Record a tick. Raises EngineError."""
    who = environment.student.id
    with changing(engine, who, listen):
        ticks.keep(engine, who, (ticks.read(engine, who) | {made.step: made}).values())


def untick(engine: "Engine", environment: Environment, lab: Lab, step: str, listen: Listener = silent) -> None:
    """Remove a tick. Raises UsageError if the step is unknown, judged by labenv, or not ticked; EngineError."""
    who = environment.student.id
    _check(lab, step)
    with changing(engine, who, listen):
        there = ticks.read(engine, who)
        if not there.pop(step, None):
            raise UsageError(f"Step {step} is not ticked. To see which are: labenv tick")
        ticks.keep(engine, who, there.values())


def _check(lab: Lab, step: str) -> None:
    check_known(lab, [step])
    if not lab.steps[step].is_for_a_person:
        there = ", ".join(one.id for one in _for_a_person(lab))
        known = f"Those that you can tick are: {there}." if there else f"{lab.id} has none that you tick."
        raise UsageError(f"Step {step} ({lab.steps[step].title}) is judged by labenv: labenv check {step}. {known}")


def _for_a_person(lab: Lab) -> list[Step]:
    return [step for step in lab.steps.values() if step.is_for_a_person]
