"""Points for what was judged, by a rubric: those of each step, and what takes some away."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from labenv.checks.results import PERSON, CheckResult
from labenv.classroom.folder.load import span
from labenv.classroom.folder.model import LateRule
from labenv.classroom.grading.model import Deduction, Judge, Status, StepGrade
from labenv.lab.model import Lab, Step
from labenv.lab.rubric import Rubric, Rule
from labenv.sheet.guide import Asked
from labenv.text import many

_WORST_FIRST: tuple[Status, ...] = ("fail", "skip", "warn", "pass")
_MOST_SAID = 3  # checks of one step that are quoted
_LONGEST = 1500  # characters of what was seen
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Known:
    """What is known of a student's work beside its checks: hints, parts that were left out, solved drills (None: not known)."""

    asked: Sequence[Asked] = ()
    left_out: Sequence[str] = ()
    drills: int | None = None


def of_steps(
    lab: Lab,
    rubric: Rubric,
    results: Iterable[CheckResult],
    judge: Callable[[str], Judge],
    claimed: Iterable[CheckResult] | None = None,
) -> tuple[StepGrade, ...]:
    """The points of each step of the lab, by the `results` of its checks; `judge` says who gave them.

    `claimed` are the student's own results, if the others are not: where they differ, the grade has both.
    """
    there, theirs = _by_step(results), _by_step(claimed or ())
    grades = []
    for step in lab.steps.values():
        mine = there[step.id]
        if step.is_for_a_person:
            grades.append(_of_person(step, rubric, mine))
            continue
        status, share = _judged(mine, rubric)
        said, _ = _judged(theirs[step.id], rubric)
        of = rubric.points[step.id]
        seen, expected = _told(mine, status)
        differs = said if said not in ("missing", status) else None
        grades.append(StepGrade(step.id, step.title, status, judge(step.id), of * share, of, seen, expected, differs))
    return tuple(grades)


def _by_step(results: Iterable[CheckResult]) -> Mapping[str, list[CheckResult]]:
    there: dict[str, list[CheckResult]] = defaultdict(list)
    for result in results:
        there[result.step].append(result)
    return there


def _of_person(step: Step, rubric: Rubric, results: Sequence[CheckResult]) -> StepGrade:
    """A step that only a person can judge. What the student ticked gives its points only where the rubric says so."""
    of = rubric.points[step.id]
    ticked = next((result.ticked for result in results if result.ticked), None)
    seen = "; ".join(dict.fromkeys(result.evidence for result in results if result.evidence))[:_LONGEST]
    if rubric.says[step.id] == "student":
        return StepGrade(
            step.id, step.title, "pass" if ticked else "skip", "student", of if ticked else 0, of, seen, "ticked"
        )
    return StepGrade(step.id, step.title, "skip", "person", 0, of, seen)


def _judged(results: Sequence[CheckResult], rubric: Rubric) -> tuple[Status, float]:
    """What the checks of a step say together, and the share of its points that this gives."""
    if not results:
        return "missing", 0
    there = {result.status for result in results}
    status: Status = next(each for each in _WORST_FIRST if each in there)
    counts = sum({"pass": 1.0, "warn": rubric.warnings}.get(result.status, 0.0) for result in results) / len(results)
    return status, counts if status in ("warn", "pass") or rubric.partial else 0.0


def _told(results: Sequence[CheckResult], status: Status) -> tuple[str, str]:
    """What was seen and what was expected, of the checks that make a step what it is."""
    if status == "pass":
        return "", ""
    those = [result for result in results if result.status == status and result.check != PERSON][:_MOST_SAID]
    seen = dict.fromkeys(f"{r.machine}: {r.seen or r.evidence}" for r in those if r.seen or r.evidence)
    expected = dict.fromkeys(r.expected for r in those if r.expected)
    return "; ".join(seen)[:_LONGEST], "; ".join(expected)[:_LONGEST]


def taken_away(rubric: Rubric, known: Known) -> Iterator[Deduction]:
    """What hints cost, and each rule of the rubric that is met."""
    costing = max(0, len(known.asked) - rubric.free)
    if rubric.hint and costing:
        points = min(rubric.hint * costing, rubric.most if rubric.most is not None else math.inf)
        count = Counter(ask.step for ask in known.asked)
        where = ", ".join(f"step {step}: {number}" for step, number in count.items())
        free = f", {rubric.free} of them free" if rubric.free else ""
        yield Deduction(f"{many(len(known.asked), 'hint')} ({where}){free}", points)
    for rule in rubric.rules:
        if rule.points and _is_met(rule, known):
            yield Deduction(rule.reason, rule.points)


def _is_met(rule: Rule, known: Known) -> bool:
    if rule.hints is not None:
        return sum(not rule.steps or ask.step in rule.steps for ask in known.asked) > rule.hints
    if rule.drills is not None:
        return known.drills is not None and known.drills < rule.drills
    return any(part == rule.left_out or part.startswith(f"{rule.left_out}/") for part in known.left_out)


def not_known(rubric: Rubric, known: Known) -> Iterator[str]:
    """A sentence for each rule that could not be looked at."""
    for rule in rubric.rules:
        if rule.drills is not None and known.drills is None:
            yield f"not looked at, because the drills are not known here: {rule.reason}"


def late_rule(rubric: Rubric, of_class: LateRule) -> LateRule:
    """The rule that holds: the rubric's, if it has one, else that of the class."""
    if rubric.late is None:
        return of_class
    grace = span(rubric.late["grace"]) if "grace" in rubric.late else timedelta(0)
    return LateRule(rubric.late.get("per day", LateRule.per_day), rubric.late.get("days", LateRule.days), grace)


def days_late(handed_in: datetime | None, due: datetime | None, rule: LateRule, zone: tzinfo) -> int:
    """How many days have begun since a hand-in was due, with the grace that there is; 0 if it came in time, or nobody knows.

    A day ends at the same time on the clock of the class, also where that is set in between.
    """
    if handed_in is None or due is None or handed_in <= due + rule.grace:
        return 0
    here = handed_in.astimezone(zone).replace(tzinfo=None) - due.astimezone(zone).replace(tzinfo=None) - rule.grace
    return max(1, math.ceil(here / _DAY))


def for_late(days: int, rule: LateRule, of: float) -> Deduction | None:
    """What being late costs, of that many points; None for nothing."""
    if not days or not of:
        return None
    if days > rule.days:
        return Deduction(f"{many(days, 'day')} late: it counts nothing after {many(rule.days, 'day')}", of)
    points = min(of, of * rule.per_day * days / 100)
    return Deduction(f"{many(days, 'day')} late: {rule.per_day:g} % a day", points) if points else None
