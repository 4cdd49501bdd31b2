"""What the checks found: the records behind `check --json` (DESIGN.md, the contract of the command line)."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from labenv.lab import Lab

Status = Literal["pass", "fail", "skip", "warn"]


@dataclass(frozen=True)
class CheckResult:
    """One check of one step on one machine: what was seen and expected is in `evidence`, what it means in `hint`.

    `warn` is a pass with a reservation: it works, but not where the course's own marker would look. `skip` is for what
    cannot hold because an earlier step does not, and for what only a person can judge.
    """

    step: str
    check: str
    machine: str
    title: str
    status: Status
    evidence: str
    hint: str


def in_chains(results: Iterable[CheckResult], lab: Lab) -> tuple[CheckResult, ...]:
    """The results with each failure that an earlier one explains turned into a skip which names the step to mend first.

    A step waits for those that it needs, and for those that they need.
    """
    results = tuple(results)
    failed = {result.step for result in results if result.status == "fail"}

    def waits_for(step: str) -> list[str]:
        earlier = [name for needed in lab.steps[step].needs for name in (*waits_for(needed), needed)]
        return [name for name in lab.steps if name in earlier and name in failed]

    def judged(result: CheckResult) -> CheckResult:
        first = waits_for(result.step)[:1] if result.status == "fail" else []
        if not first:
            return result
        words = f"waits for step {first[0]}: {lab.steps[first[0]].title}"
        return replace(result, status="skip", evidence=words)

    return tuple(map(judged, results))


@dataclass(frozen=True)
class Report:
    """All results of one run, in the order of the sheet."""

    student: str
    lab: str
    results: tuple[CheckResult, ...]

    @property
    def summary(self) -> dict[str, int]:
        """How many passed (with those that warn), failed and were skipped."""
        counts = Counter(result.status for result in self.results)
        return {"passed": counts["pass"] + counts["warn"], "failed": counts["fail"], "skipped": counts["skip"]}

    @property
    def failed(self) -> int:
        """How many failed; 0 is exit code 0."""
        return self.summary["failed"]

    def to_dict(self) -> dict[str, Any]:
        """The report as `check --json` prints it."""
        return {
            "student": self.student,
            "lab": self.lab,
            "results": [asdict(result) for result in self.results],
            "summary": self.summary,
        }
