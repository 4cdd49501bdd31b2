"""What the checks found: the records behind `check --json` (DESIGN.md, the contract of the command line)."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Literal

Status = Literal["pass", "fail", "skip", "warn"]


@dataclass(frozen=True)
class CheckResult:
    """One check of one step on one machine: what was seen and expected is in `evidence`, where to look in `hint`.

    `warn` is a pass with a reservation: it works, but not where the course's own marker would look.
    """

    step: str
    check: str
    machine: str
    title: str
    status: Status
    evidence: str
    hint: str


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
