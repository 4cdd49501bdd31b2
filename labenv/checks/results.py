"""The results of the checks: the records behind `check --json` (DESIGN.md, the contract of the command line)."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from labenv.environments.ticks import Tick
from labenv.lab.model import Lab

Status = Literal["pass", "fail", "skip", "warn"]
PERSON = "person"  # replaces the name of a check where there is none
# How the evidence begins of what was not checked.
ONLY_A_PERSON = "only a person can judge this"
WAITS = "waits for step "


@dataclass(frozen=True)
class CheckResult:
    """One check of one step on one machine: `evidence` is what was `seen` and `expected` as one text, `hint` what that means.

    `warn` is a pass with a reservation: it works, but not where the course's own marker would look. `skip` is for what
    cannot pass because an earlier step does not, and for what only a person can judge; `ticked` is what that person says.
    """

    step: str
    check: str
    machine: str
    title: str
    status: Status
    evidence: str
    hint: str
    seen: str = ""
    expected: str = ""
    ticked: Tick | None = None

    def to_dict(self) -> dict[str, Any]:
        """The result as `check --json` prints it; `ticked` is there only if the step is."""
        told = asdict(self)
        if self.ticked:
            told["ticked"] = {"time": self.ticked.time, "words": self.ticked.words}
        else:
            del told["ticked"]
        return told


def in_chains(
    results: Iterable[CheckResult],
    lab: Lab,
    waits: Mapping[str, set[str]] | None = None,
    blamed: Mapping[tuple[str, str], str] | None = None,
) -> tuple[CheckResult, ...]:
    """The results; each failure that another one explains becomes a skip that names the step to fix first.

    A step waits for the steps that it needs, and for those that they need. `waits` are needs that this run found out. `blamed`
    are steps, each on a machine, whose setting makes a server err, with what the server says: they fail with it, even where their
    own checks see nothing wrong, and wait for no step that fails because of them.
    """
    waits = waits or {}
    results = tuple(_with_blame(results, blamed or {}))
    failed = {result.step for result in results if result.status == "fail"}
    explained = {step: needed(step, lab, waits) & failed for step in failed}
    for step, _ in blamed or {}:
        explained[step] = {other for other in explained[step] if step not in waits.get(other, ())}

    def judged(result: CheckResult) -> CheckResult:
        if result.status != "fail":
            return result
        first = [name for name in lab.steps if name in explained[result.step] and not explained[name]][:1]
        return replace(result, status="skip", evidence=waiting(lab, first[0])) if first else result

    return tuple(map(judged, results))


def _with_blame(results: Iterable[CheckResult], blamed: Mapping[tuple[str, str], str]) -> Iterator[CheckResult]:
    open_ = dict(blamed)
    results = tuple(results)
    for result in results:
        if result.status == "fail":
            open_.pop((result.step, result.machine), None)
    for result in results:
        said = open_.pop((result.step, result.machine), "")
        yield replace(result, status="fail", evidence=said, seen=said, expected="") if said else result


def waiting(lab: Lab, step: str) -> str:
    """The evidence of a check that waits for that step."""
    return f"{WAITS}{step}: {lab.steps[step].title}"


def needed(step: str, lab: Lab, waits: Mapping[str, set[str]]) -> set[str]:
    """The steps that a step needs, and those that they need, without itself. `waits` are needs in addition to the lab's."""
    found: set[str] = set()
    ahead = {step}
    while ahead:
        found |= ahead
        ahead = {name for at in ahead for name in (*lab.steps[at].needs, *waits.get(at, ()))} - found
    return found - {step}


def with_persons(results: Iterable[CheckResult], lab: Lab, wanted: Iterable[str]) -> tuple[CheckResult, ...]:
    """The results plus one for each wanted step that only a person can judge."""
    by_step = by_steps(results)
    for name in wanted:
        step = lab.steps[name]
        if step.is_for_a_person and name not in by_step:  # the log book's have checks of whether they are filled in
            by_step[name] = [
                CheckResult(name, PERSON, machine, step.title, "skip", ONLY_A_PERSON, "") for machine in step.machines
            ]
    return tuple(result for name in lab.steps for result in by_step.get(name, ()))


def by_steps(results: Iterable[CheckResult]) -> dict[str, list[CheckResult]]:
    """The results of each step."""
    found: dict[str, list[CheckResult]] = {}
    for result in results:
        found.setdefault(result.step, []).append(result)
    return found


def with_ticks(results: Iterable[CheckResult], lab: Lab, ticks: Mapping[str, Tick]) -> tuple[CheckResult, ...]:
    """The results; those that are left for a person carry what that person ticked, in place of an earlier tick.

    Whatever a check judges stays as it is.
    """

    def judged(result: CheckResult) -> CheckResult:
        if result.ticked:
            seen = ONLY_A_PERSON if result.check == PERSON else result.evidence.removeprefix(f"{result.ticked.said}; ")
            result = replace(result, evidence=seen, ticked=None)
        tick = ticks.get(result.step)
        if not tick or result.status != "skip" or not lab.steps[result.step].is_for_a_person:
            return result
        said = tick.said if result.check == PERSON else f"{tick.said}; {result.evidence}"
        return replace(result, evidence=said, ticked=tick)

    return tuple(map(judged, results))


def with_remarks(results: Iterable[CheckResult], remarks: Iterable[tuple[str, str]]) -> tuple[CheckResult, ...]:
    """The results, in which the first check of a step that passes has a warning of the remarks on that step."""
    left: dict[str, list[str]] = {}
    for step, words in remarks:
        left.setdefault(step, []).append(words)
    results = tuple(results)
    broken = {result.step for result in results if result.status in ("fail", "skip")}
    changed = []
    for result in results:
        told = left.pop(result.step, []) if result.step not in broken else []
        changed.append(_warned(result, told) if told else result)
    return tuple(changed)


def _warned(result: CheckResult, told: list[str]) -> CheckResult:
    before = [result.evidence] if result.status == "warn" else []
    text = "; ".join([*before, *told])
    seen = "; ".join([*([result.seen] if before else []), *told])
    return replace(result, status="warn", evidence=text, seen=seen, expected=result.expected if before else "")


@dataclass(frozen=True)
class Report:
    """All results of one run, in the order of the sheet. `waits` are the needs between steps that the run found out.

    `notes` are sentences about programs that differ from what the machines' images brought. They decide nothing. `attempts` are
    steps, each with what was tried there in vain, as a kit tells, although its checks pass. `late` are steps that pass by their own
    checks, but of which the whole run told otherwise.
    """

    student: str
    lab: str
    results: tuple[CheckResult, ...]
    waits: Mapping[str, set[str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    attempts: tuple[tuple[str, str], ...] = ()
    late: frozenset[str] = frozenset()

    def overlaid(self, results: Iterable[CheckResult], lab: Lab) -> tuple["Report", frozenset[str]]:
        """The report with what a run that goes on is certain of (`run_checks`) in place of what it said of those steps, and which these are.

        A step of which only the whole of a run tells that something is wrong is not among them, unless its own checks fail, too.
        """
        found = by_steps(results)
        for name in self.late & set(found):
            if all(result.status in ("pass", "warn") for result in found[name]):
                del found[name]
        there = by_steps(self.results) | found
        told = tuple(result for name in lab.steps for result in there.get(name, ()))
        return replace(self, results=told), frozenset(found)

    @property
    def summary(self) -> dict[str, int]:
        """How many passed (including those with a warning), failed and were skipped, and how many warned."""
        counts = Counter(result.status for result in self.results)
        passed = counts["pass"] + counts["warn"]
        return {"passed": passed, "failed": counts["fail"], "skipped": counts["skip"], "warned": counts["warn"]}

    @property
    def failed(self) -> int:
        """How many failed; 0 means exit code 0."""
        return self.summary["failed"]

    def spoken(self, lab: Lab) -> "Report":
        """The report with the titles of steps that others wait for in the lab's language, for a person to read."""
        if not lab.languages:
            return self

        def told(result: CheckResult) -> CheckResult:
            step = result.evidence.removeprefix(WAITS).partition(":")[0]
            waits = result.evidence.startswith(WAITS) and step in lab.steps
            return replace(result, evidence=waiting(lab, step)) if waits else result

        return replace(self, results=tuple(map(told, self.results)))

    def to_dict(self) -> dict[str, Any]:
        """The report as `check --json` prints it."""
        return {
            "student": self.student,
            "lab": self.lab,
            "results": [result.to_dict() for result in self.results],
            "summary": self.summary,
        } | ({"notes": list(self.notes)} if self.notes else {})
