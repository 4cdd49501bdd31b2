"""One grade, as all sources make it and all reports show it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Literal, TypeVar

Source = Literal["environment", "hand-in", "replay"]
# Who says so: labenv on clean machines (replay) or on the student's running ones (environment), the handed-in logs about what
# was transient (log), the student's own labenv (student), or the teacher (person).
Judge = Literal["replay", "environment", "log", "student", "person"]
_T = TypeVar("_T", "StepGrade", "Deduction", "Override")
Status = Literal["pass", "warn", "fail", "skip", "missing"]


@dataclass(frozen=True)
class StepGrade:
    """The points of one step: `points` of `of`. `claimed` is the status in the student's own results where it differs."""

    step: str
    title: str
    status: Status
    judge: Judge
    points: float
    of: float
    seen: str = ""
    expected: str = ""
    claimed: Status | None = None


@dataclass(frozen=True)
class Deduction:
    """Points that are taken away, with the reason: hints, a late day, a rule of the rubric."""

    reason: str
    points: float


@dataclass(frozen=True)
class Override:
    """What a teacher decided instead: `points` in place of the total, or of one `step`'s points."""

    points: float
    reason: str
    author: str
    time: datetime
    step: str = ""


@dataclass(frozen=True)
class Grade:
    """What one student got for one attempt at one lab.

    `graded` is when, `handed_in` when it came (from the LMS, the gate or --handed-in, never from the archive); `file` the hand-in's name.
    `missing` says why there is nothing to grade. `notes` are sentences for the teacher: they decide nothing. `digest` is that of the
    hand-in, `rubric` that of the rubric: a regrade with another one shows.
    """

    student: str
    lab: str
    source: Source
    graded: datetime
    attempt: int = 1
    handed_in: datetime | None = None
    days_late: int = 0
    file: str = ""
    steps: tuple[StepGrade, ...] = ()
    deductions: tuple[Deduction, ...] = ()
    overrides: tuple[Override, ...] = ()
    notes: tuple[str, ...] = ()
    hints: int = 0
    missing: str = ""
    rubric: str = ""
    digest: str = ""

    @property
    def of(self) -> float:
        """The points that there are."""
        return sum(step.of for step in self.steps)

    def points_of(self, step: StepGrade) -> float:
        """The points of one step: what a teacher decided about it, or else its own."""
        decided = [each.points for each in self.overrides if each.step == step.step]
        return decided[-1] if decided else step.points

    def judge_of(self, step: StepGrade) -> Judge:
        """Who gave the points of one step: a person, if a teacher decided about it."""
        return "person" if any(each.step == step.step for each in self.overrides) else step.judge

    @property
    def earned(self) -> float:
        """The points of the steps, with what a teacher decided about single ones."""
        return sum(self.points_of(step) for step in self.steps)

    @property
    def total(self) -> float:
        """The points that count: never below 0; what a teacher decided about the whole goes before everything else."""
        whole = [each.points for each in self.overrides if not each.step]
        return whole[-1] if whole else max(0.0, self.earned - sum(each.points for each in self.deductions))

    @property
    def percent(self) -> float:
        """The total in percent of all points, 0 where there are none."""
        return 100 * self.total / self.of if self.of else 0.0

    def to_dict(self) -> dict[str, Any]:
        """The grade as `class grade --json` and the record have it: times as ISO 8601 text, and the sums."""
        told = asdict(self)
        told["graded"] = self.graded.isoformat()
        told["handed_in"] = self.handed_in.isoformat() if self.handed_in else None
        for each in told["overrides"]:
            each["time"] = each["time"].isoformat()
        return told | {"of": self.of, "earned": self.earned, "total": self.total, "percent": round(self.percent, 2)}

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> "Grade":
        """The grade that `to_dict` told, also by another version of labenv. Raises LookupError, TypeError, ValueError for another tree."""
        known = {each.name: told[each.name] for each in fields(cls) if each.name in told}
        return cls(
            **known
            | {
                "graded": datetime.fromisoformat(told["graded"]),
                "handed_in": datetime.fromisoformat(told["handed_in"]) if told.get("handed_in") else None,
                "steps": tuple(_made(StepGrade, each) for each in told.get("steps", ())),
                "deductions": tuple(_made(Deduction, each) for each in told.get("deductions", ())),
                "overrides": tuple(
                    _made(Override, {**each, "time": datetime.fromisoformat(each["time"])})
                    for each in told.get("overrides", ())
                ),
                "notes": tuple(told.get("notes", ())),
            }
        )


def _made(kind: type[_T], told: Mapping[str, Any]) -> _T:
    """A record from a tree; what another version of labenv has beyond its fields is left out."""
    return kind(**{each.name: told[each.name] for each in fields(kind) if each.name in told})
