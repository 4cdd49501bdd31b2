"""What the steps of a lab are worth: its rubric.yaml, one that a class has in its place, or where nobody wrote one, a point a step."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from labenv.errors import UsageError
from labenv.lab import lint
from labenv.lab.model import Lab, Step, parsed

FILE = "rubric.yaml"
Who = Literal["teacher", "student"]


@dataclass(frozen=True)
class Rule:
    """Points to take away, with the reason, if one thing is so; the others are None or empty.

    `hints` is a number of hints (for `steps`, or for any) that were exceeded, `drills` a number of solved drills that was not reached,
    `left_out` a part of the hand-in that is not there.
    """

    points: float
    reason: str
    hints: int | None = None
    steps: tuple[str, ...] = ()
    drills: int | None = None
    left_out: str = ""


@dataclass(frozen=True)
class Rubric:
    """The points of each step, by step, and what takes points away.

    `partial` says whether the checks of a step share its points; `warnings` is the share that counts for a pass with a warning (0 to 1).
    `says` is who judges each step for a person. A hint costs `hint` points after `free` of them, at most `most` together. `late` is
    as in class.yaml, None for what stands there. `attempts` is which one counts: "best", "last" or "first".
    """

    points: Mapping[str, float]
    partial: bool = False
    warnings: float = 1.0
    says: Mapping[str, Who] = field(default_factory=dict)
    hint: float = 0.0
    free: int = 0
    most: float | None = None
    rules: tuple[Rule, ...] = ()
    late: Mapping[str, Any] | None = None
    attempts: str = "best"

    @property
    def digest(self) -> str:
        """A short value that two rubrics share only if they say the same."""
        told = {**vars(self), "rules": [vars(rule) for rule in self.rules]}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]


def of(lab: Lab, file: Path | None = None) -> Rubric:
    """The rubric in a file, else the lab's own, else the default one. Raises UsageError, with each place, for a bad one."""
    path = file or lab.folder / FILE
    if file is None and not path.exists():
        return _made({}, lab)
    if not path.is_file():
        raise UsageError(f"There is no rubric {path}. To begin one: labenv class rubric {lab.id} > {path.name}")
    if found := lint.rubric(path, lab):
        raise UsageError(f"The rubric {path} cannot be used:\n" + "\n".join(map(str, found)))
    return _made(parsed(path) or {}, lab)


def _made(tree: Mapping[str, Any], lab: Lab) -> Rubric:
    points = tree.get("points", {})
    points = {**points, "steps": _named(points.get("steps", {}))}
    persons = tree.get("persons", {})
    hints = tree.get("hints", {})
    says = _named(persons.get("steps", {}))
    return Rubric(
        {step.id: _points(step, points, lab) for step in lab.steps.values()},
        tree.get("partial", False),
        tree.get("warnings", 100) / 100,
        {s.id: says.get(s.id, persons.get("says", "teacher")) for s in lab.steps.values() if s.is_for_a_person},
        hints.get("points", 0.0),
        hints.get("free", 0),
        hints.get("most"),
        tuple(_rule(entry) for entry in tree.get("deductions", ())),
        tree.get("late"),
        tree.get("attempts", "best"),
    )


def _named(table: Mapping[Any, Any]) -> dict[str, Any]:
    """A table by the ids of steps: YAML reads 17 without quotes as a number."""
    return {str(name): value for name, value in table.items()}


def _points(step: Step, given: Mapping[str, Any], lab: Lab) -> float:
    own: Mapping[str, float] = given["steps"]
    stages: Mapping[str, float] = given.get("stages", {})
    if step.id in own:
        return own[step.id]
    if step.is_for_a_person:
        return 0
    if step.stage in stages:
        sharing = [s for s in lab.steps.values() if s.stage == step.stage and s.id not in own and not s.is_for_a_person]
        return stages[step.stage] / len(sharing)
    each: float = given.get("each", 1)
    return each


def _rule(entry: Mapping[str, Any]) -> Rule:
    so = entry["if"]
    return Rule(
        entry["points"],
        entry["reason"],
        so.get("hints more than"),
        tuple(so.get("steps", ())),
        so.get("drills fewer than"),
        so.get("left out", ""),
    )


def starter(lab: Lab) -> str:
    """A rubric to begin with: it says what the default does, with all steps of the lab, and how to change it."""
    judged = [step for step in lab.steps.values() if not step.is_for_a_person]
    persons = [step for step in lab.steps.values() if step.is_for_a_person]
    wide = max((len(step.id) for step in lab.steps.values()), default=1) + 3
    lines = [
        f"# What the steps of {lab.id} are worth: {lab.title}.",
        "# As it stands, it grades as labenv does without a rubric. Take the # away in front of what you want.",
        "points:",
        "  each: 1          # a step that a check judges",
        "  # stages:        # or all steps of a stage together",
        *(f"  #   {stage.id}: 10" for stage in lab.stages if any(step.stage == stage.id for step in judged)),
        "  # steps:         # or a step by itself; 0: it does not count",
        *(f"  #   {_key(step, wide)} 1  # {step.title}" for step in judged),
    ]
    if persons:
        lines += [
            "  # Only a person can judge these; they have no points unless they have some here:",
            *(f"  #   {_key(step, wide)} 1  # {step.title}" for step in persons),
            "# persons:",
            "#   says: teacher    # their points come from `labenv class override`; with student: from what the student ticked",
        ]
    return "\n".join([*lines, _REST])


def _key(step: Step, wide: int) -> str:
    return f'"{step.id}":'.ljust(wide)


_REST = """\
partial: false     # true: a step with several checks gets its points in part when some of them pass
warnings: 100      # percent of its points for a step that passes with a warning
attempts: best     # of several hand-ins: best, last or first
# hints:
#   points: 0.25     # what each hint costs
#   free: 3          # these cost nothing
#   most: 5          # together they cost at most this
# late:              # in place of class.yaml's rule
#   per day: 10      # percent of all points for each day that has begun
#   days: 3          # after these it counts nothing
#   grace: 30m
# deductions:
#   - points: 2
#     reason: The shell histories are left out.
#     if: {left out: history}
#   - points: 1
#     reason: More than three hints.
#     if: {hints more than: 3}      # with `steps: ["17"]`: only hints for these steps
#   - points: 5
#     reason: Fewer than two drills were solved.
#     if: {drills fewer than: 2}
"""
