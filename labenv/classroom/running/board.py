"""Who is where in a class: what is recorded of each environment, without a look into any machine.

The facts are what the engine lists (machines, hints, ticks, drills: labels) and the history of each environment, which has the
results of all checks. So they are as old as the last check of each student.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from labenv.checks.results import CheckResult, Report, with_ticks
from labenv.classroom.folder.model import Assignment, Class, Member
from labenv.engine import records
from labenv.environment import Environment
from labenv.environments import drill_records, history, ticks
from labenv.environments.history import Repository
from labenv.environments.history.repository import Lately
from labenv.errors import LabenvError
from labenv.lab import labs
from labenv.lab.model import Lab
from labenv.sheet import guide, progress
from labenv.sheet.progress import Mark, StepProgress
from labenv.swarm import leases
from labenv.swarm.leases import Lease

if TYPE_CHECKING:
    from labenv.engine import Engine

# "elsewhere": the student has an environment, but of another lab, or one that is not of this class.
State = Literal["runs", "partly", "stopped", "missing", "elsewhere"]

_RUNS = 6  # of the checks that are read first; more only of who is stuck for longer
_MOST_RUNS = 400
_TOGETHER = 4  # histories that are read at once: each is a process of git


@dataclass(frozen=True)
class Row:
    """One student. Times are in seconds since 1970, None where there is none.

    `marks` are the steps that were checked, by number; `checked` is when that was last done. `stuck` is the first step that fails, and
    `since` when the first of the checks was that has not seen it pass since. `hints` were asked for, `drills` are the finished ones
    and `fixed` of them, `drilling` is since when one runs. `active` is the last that is known of the student's own doing: a file edited, not
    by a labenv command; a hint, a tick, a diagnosis, the end of a drill. `note` says what else a teacher should know, as a sentence. On a swarm,
    `lease` says where the environment is, and as of when its last copy is.
    """

    student: str
    name: str
    state: State
    lab: str = ""
    stage: str = ""
    marks: Mapping[str, Mark] = field(default_factory=dict)
    checked: int | None = None
    stuck: str = ""
    since: int | None = None
    hints: int = 0
    drills: int = 0
    fixed: int = 0
    drilling: int | None = None
    active: int | None = None
    note: str = ""
    lease: Lease | None = None

    def after(self, report: Report, lab: Lab, time: int) -> "Row":
        """The row with the marks of a report of that time in place of those that were recorded."""
        marks = {row.step.id: row.mark for heading in progress.headings(report, lab) for row in heading.rows}
        stuck = next((step for step, mark in marks.items() if mark == "fail"), "")
        since = (self.since if stuck == self.stuck else None) or time
        return replace(self, marks=marks, checked=time, stuck=stuck, since=since if stuck else None)

    def to_dict(self) -> dict[str, Any]:
        """The row as `class status --json` shows it; times are UTC, ISO 8601."""
        return {
            "student": self.student,
            "name": self.name,
            "state": self.state,
            "lab": self.lab,
            "stage": self.stage,
            "steps": dict(self.marks),
            "checked": _iso(self.checked),
            "stuck": {"step": self.stuck, "since": _iso(self.since)} if self.stuck else None,
            "hints": self.hints,
            "drills": {"finished": self.drills, "fixed": self.fixed, "running_since": _iso(self.drilling)},
            "active": _iso(self.active),
            "note": self.note,
            **(_placed(self.lease) if self.lease else {}),
        }


class Board:
    """The rows of a class on one lab. It remembers what it has read, so that looking again reads only what has changed."""

    def __init__(self, engine: "Engine", of: Class, assignment: Assignment, members: Sequence[Member]) -> None:
        """Read nothing yet. Raises UsageError if the lab is not here."""
        self.of = of
        self.lab: Lab = labs.load(assignment.lab)
        self._engine = engine
        self._members = members
        self._read: dict[str, tuple[object, Lately]] = {}

    def environments(self) -> dict[str, Environment]:
        """The environments of the class on this lab, by student, in the order of the roster. Raises EngineError."""
        there = {each.student.id: each for each in self._engine.environments() if self._is_mine(each)}
        return {each.id: there[each.id] for each in self._members if each.id in there}

    def look(self) -> list[Row]:
        """A row for each member, in the order of the roster. Raises EngineError."""
        there = {each.student.id: each for each in self._engine.environments()}
        kinds = (guide.RECORD, ticks.RECORD, drill_records.RUNNING, drill_records.OVER)
        recorded = self._engine.gathered(lambda one: records.everything(one, kinds))
        mine = [there[each.id] for each in self._members if each.id in there and self._is_mine(there[each.id])]
        with ThreadPoolExecutor(_TOGETHER) as pool:
            told = dict(zip((each.student.id for each in mine), pool.map(self._lately, mine), strict=True))
        rows = [
            self._row(each, there.get(each.id), told.get(each.id), recorded.get(each.id, {})) for each in self._members
        ]
        return [replace(row, lease=leases.placed(row.student)) for row in rows]

    def _is_mine(self, environment: Environment) -> bool:
        return environment.belongs.class_id == self.of.id and environment.lab == self.lab.id

    def _lately(self, environment: Environment) -> Lately | LabenvError:
        """The newest of a history, with all runs since the first step that fails did not."""
        try:
            repository = Repository(environment)
            key = (environment.student.password, repository.stamp)
            known = self._read.get(environment.student.id)
            if known and known[0] == key:
                return known[1]
            count = _RUNS
            found = repository.lately(count) if history.has_git() else Lately()
            while found.is_more and count < _MOST_RUNS and self._may_be_stuck_longer(found):
                count *= 8
                found = repository.lately(count)
            self._read[environment.student.id] = (key, found)
            return found
        except LabenvError as error:
            return error

    def _may_be_stuck_longer(self, found: Lately) -> bool:
        stuck, _, is_known = _stuck(found, _marks(found, self.lab, {}))
        return bool(stuck) and not is_known

    def _row(
        self,
        member: Member,
        environment: Environment | None,
        told: Lately | LabenvError | None,
        recorded: Mapping[str, Any],
    ) -> Row:
        if environment is None:
            away = self._engine.away(member.id, is_there=False)
            return Row(member.id, member.name, "missing", note=str(away or ""))
        if told is None:
            return Row(
                member.id,
                member.name,
                "elsewhere",
                environment.lab,
                environment.stage,
                note=self._elsewhere(environment),
            )
        note = f"Its history cannot be read: {told}" if isinstance(told, LabenvError) else ""
        lately = Lately() if isinstance(told, LabenvError) else told
        ticked = ticks.checked(recorded.get(ticks.RECORD))
        marks = _marks(lately, self.lab, ticked)
        stuck, since, _ = _stuck(lately, marks)
        asked = [_seconds(each.get("time")) for each in _entries(recorded.get(guide.RECORD))]
        over = _entries(recorded.get(drill_records.OVER))
        running = recorded.get(drill_records.RUNNING)
        drilling = _seconds(running.get("begun")) if isinstance(running, dict) else 0
        done = [lately.edited, *asked, *(_seconds(tick.time) for tick in ticked.values())]
        done += [moment for each in (*over, *_entries([running])) for moment in _in_drill(each)]
        return Row(
            member.id,
            member.name,
            state(environment),
            environment.lab,
            environment.stage,
            marks,
            lately.runs[0][0] if lately.runs else None,
            stuck,
            since,
            len(asked),
            len(over),
            sum(bool(each.get("mended")) for each in over),
            drilling or None,
            max(done) or None,
            note,
        )

    def _elsewhere(self, environment: Environment) -> str:
        if environment.belongs.class_id == self.of.id:
            return f"The environment is of {environment.lab}."
        return f"The environment ({environment.lab}) is not of this class."


def _placed(lease: Lease) -> dict[str, Any]:
    """Where an environment is on a swarm, when the last copy of it was made, and what was lost the last time that its node was."""
    lost = leases.loss(lease)
    told = {"node": lost.source, "at": lost.at, "minutes": leases.minutes(lost), "save": lost.aside} if lost else None
    return {"node": lease.name if lease.node else "", "pushed": lease.pushed or None, "lost": told}


def state(environment: Environment) -> State:
    """How many of its machines run."""
    states = {machine.state for machine in environment.regular}
    if states == {"running"}:
        return "runs"
    return "partly" if "running" in states else "stopped"


def _marks(lately: Lately, lab: Lab, ticked: Mapping[str, ticks.Tick]) -> dict[str, Mark]:
    """The mark of each step in the newest run that checked it, in the order of the sheet."""
    newest: dict[str, list[CheckResult]] = {}
    for _, results in lately.runs:
        here: dict[str, list[CheckResult]] = {}
        for key, result in results.items():
            number, check, machine = key.split("/")
            if (step := lab.steps.get(number)) and number not in newest and (status := _STATUSES.get(result["status"])):
                one = CheckResult(number, check, machine, step.title, status, result["evidence"], "")
                here.setdefault(number, []).append(one)
        newest |= here
    return {
        number: StepProgress(step, with_ticks(newest[number], lab, ticked)).mark
        for number, step in lab.steps.items()
        if number in newest
    }


# As a history has them: it may have come with an archive.
_STATUSES: dict[str, Literal["pass", "fail", "skip", "warn"]] = {
    "pass": "pass",
    "fail": "fail",
    "skip": "skip",
    "warn": "warn",
}


def _stuck(lately: Lately, marks: Mapping[str, Mark]) -> tuple[str, int | None, bool]:
    """The first step that fails, when the oldest of the checks was that has seen it fail and none pass since, and whether one did before.

    A check in which it waits for another step tells nothing.
    """
    stuck = next((step for step, mark in marks.items() if mark == "fail"), "")
    since = None
    for time, results in lately.runs if stuck else ():
        statuses = {result["status"] for key, result in results.items() if key.startswith(f"{stuck}/")}
        if "fail" in statuses:
            since = time
        elif statuses & {"pass", "warn"}:
            return stuck, since, True
    return stuck, since, False


def _in_drill(kept: Mapping[str, Any]) -> Iterator[int]:
    """When the student did something in a drill, by its record: said where the fault is, asked for a hint, ended it."""
    for said in _entries(kept.get("diagnoses")):
        yield _seconds(said.get("time"))
    if isinstance(hinted := kept.get("hinted"), list):
        yield from map(_seconds, hinted)
    if not kept.get("by_teacher"):
        yield _seconds(kept.get("ended"))


def _entries(kept: Any) -> list[dict[str, Any]]:
    return [each for each in kept if isinstance(each, dict)] if isinstance(kept, list) else []


def _seconds(moment: object) -> int:
    """A time of a record (ISO 8601) in seconds since 1970; 0 for anything else."""
    try:
        return int(datetime.fromisoformat(str(moment)).timestamp())
    except (ValueError, OverflowError):
        return 0


def _iso(seconds: int | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
