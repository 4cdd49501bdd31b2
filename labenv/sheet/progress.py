"""A student's progress on the sheet: a report as headings and steps, for every output that shows it."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from labenv.checks.results import PERSON, WAITS, CheckResult, Report, by_steps
from labenv.lab.model import Lab, Step

Mark = Literal["pass", "fail", "skip", "warn", "person", "ticked", "unknown"]
_WORST_FIRST: tuple[Mark, ...] = ("fail", "warn", "skip", "person", "ticked", "pass")
SYMBOLS: dict[Mark, str] = {"pass": "✓", "fail": "✗", "warn": "!", "skip": "-", "person": "·", "ticked": "+"}
WORDS: dict[Mark, str] = {
    "pass": "passes",
    "fail": "fails",
    "warn": "passes, with a warning",
    "skip": "waits for another step",
    "person": "for you to judge",
    "ticked": "ticked by the student",
}
_NOT_YET = ("?", "not checked yet")  # a report has nothing of that


@dataclass(frozen=True)
class StepProgress:
    """A step and the results of its checks, if there are any yet. `mark` is that of its worst check."""

    step: Step
    results: tuple[CheckResult, ...]

    @property
    def mark(self) -> Mark:
        """The state of the step."""
        marks = {self._mark(result) for result in self.results}
        return next((mark for mark in _WORST_FIRST if mark in marks), "unknown")

    @property
    def symbol(self) -> str:
        """The mark as a symbol."""
        return SYMBOLS.get(self.mark, _NOT_YET[0])

    @property
    def words(self) -> str:
        """The mark in words."""
        return WORDS.get(self.mark, _NOT_YET[1])

    @property
    def machines(self) -> str:
        """The machines that were checked, or will be."""
        return ", ".join(dict.fromkeys(result.machine for result in self.results) or self.step.machines)

    @property
    def waits_for(self) -> str:
        """The step to fix first, where this one waits; "" otherwise."""
        return self.seen[0].removeprefix(WAITS) if self.mark == "skip" and self.seen[0].startswith(WAITS) else ""

    @property
    def seen(self) -> tuple[str, ...]:
        """What was seen, unless the step simply passes: each thing once."""
        if self.mark == "skip":  # one line is enough to point to the step that matters
            return (self.results_like("skip")[0].evidence.partition(":")[0],)
        if self.mark == "person":
            return tuple(r.evidence for r in self.results if r.check != PERSON)
        if self.mark == "ticked":
            return tuple(dict.fromkeys(f'"{r.ticked.words}"' for r in self.results if r.ticked and r.ticked.words))
        return tuple(dict.fromkeys(r.evidence for r in self.results_like("fail", "warn")))

    @property
    def evidence(self) -> tuple[str, ...]:
        """All that was seen, each thing once."""
        return tuple(dict.fromkeys(r.evidence for r in self.results if r.check != PERSON))

    @property
    def compared(self) -> tuple[CheckResult, ...]:
        """The results to look at in which what was seen stands beside what was expected."""
        return tuple(result for result in self.results_like("fail", "warn") if result.expected)

    @property
    def told(self) -> tuple[str, ...]:
        """What was seen beside those, each thing once."""
        beside = {result.evidence for result in self.compared}
        return tuple(sentence for sentence in self.seen or self.evidence if sentence not in beside)

    @property
    def note(self) -> str:
        """The sheet's error at this step, if it may be the reason why the step fails."""
        return self.step.note if self.mark in ("fail", "warn") else ""

    def results_like(self, *statuses: str) -> list[CheckResult]:
        """The results with one of these statuses."""
        return [result for result in self.results if result.status in statuses]

    def _mark(self, result: CheckResult) -> Mark:
        if result.status != "skip" or not self.step.is_for_a_person:
            return result.status
        return "ticked" if result.ticked else "person"


@dataclass(frozen=True)
class Heading:
    """A heading of the sheet and its steps, in the order of the sheet."""

    text: str
    rows: tuple[StepProgress, ...]

    @property
    def mark(self) -> Mark:
        """The state: that of its worst row, except that steps for a person do not count beside steps that pass."""
        marks = {row.mark for row in self.rows}
        order: tuple[Mark, ...] = ("fail", "warn", "skip", "unknown", "pass", "ticked", "person")
        return next(mark for mark in order if mark in marks)

    @property
    def holds(self) -> bool:
        """Whether there is nothing to fix under it."""
        return self.mark in ("pass", "person", "ticked")


def headings(report: Report, lab: Lab) -> list[Heading]:
    """The report by the headings of the sheet."""
    return _under(StepProgress(lab.steps[step], tuple(results)) for step, results in by_steps(report.results).items())


def sheet(report: Report | None, lab: Lab) -> list[Heading]:
    """The whole sheet by its headings, also the steps of which the report knows nothing yet."""
    results = by_steps(report.results) if report else {}
    return _under(StepProgress(step, tuple(results.get(step.id, ()))) for step in lab.steps.values())


def _under(rows: Iterable[StepProgress]) -> list[Heading]:
    return [Heading(text, tuple(under)) for text, under in groupby(rows, key=lambda row: row.step.heading)]


def counted(there: Iterable[Heading]) -> str:
    """How many steps pass, fail, wait and so on, in words."""
    marks = [row.mark for heading in there for row in heading.rows]
    passing = marks.count("pass") + marks.count("warn")
    rest: tuple[tuple[Mark, str, str], ...] = (
        ("warn", "of them with a warning", "of them with a warning"),
        ("fail", "fails", "fail"),
        ("skip", "waits", "wait"),
        ("ticked", "is ticked", "are ticked"),
        ("person", "is for you to judge", "are for you to judge"),
        ("unknown", "is not checked yet", "are not checked yet"),
    )
    parts = [f"{passing} {'step passes' if passing == 1 else 'steps pass'}"]
    for mark, one, many in rest:
        if count := marks.count(mark):
            parts.append(f"{count} {one if count == 1 else many}")
    return ", ".join(parts)
