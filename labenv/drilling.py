"""A drill in an environment: started, diagnosed, helped with, and ended when every check holds again.

What is known of it lies on the engine, outside the machines, in which a student is root.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from labenv import drills
from labenv.drills import Drill
from labenv.engine import records
from labenv.engine.channel import Channel
from labenv.engine.content import beyond, content
from labenv.environment import Environment
from labenv.errors import EngineError, LabenvError, UsageError
from labenv.events import Event, Listener, announced
from labenv.lock import student_lock

if TYPE_CHECKING:
    from labenv.checks.results import CheckResult, Report
    from labenv.engine import Engine

# The kinds of records: the drill that runs, what the files said before and with its fault, the drills that are over.
_RUNNING, _CONTENT, _OVER = "drill", "drill-content", "drills-over"
_PATIENCE = 120  # seconds that putting a fault in, taking it out or looking for the symptom may take


@dataclass(frozen=True)
class Diagnosis:
    """A layer that the student took for the faulty one: when, and whether a file had been changed by then."""

    time: str
    layer: str
    touched: bool


@dataclass(frozen=True)
class Running:
    """A drill that runs. `begun` is empty while its fault is being put in; `hinted` are the times of hints."""

    drill: Drill
    begun: str = ""
    saved: str = ""
    diagnoses: tuple[Diagnosis, ...] = ()
    hinted: tuple[str, ...] = ()

    @property
    def seconds(self) -> int:
        """How long it has been running."""
        return _between(self.begun, _now())


@dataclass(frozen=True)
class Result:
    """What came of a drill. `mended` is false where the student gave up. Seconds count from its start.

    `to_diagnosis` is when the right layer was first named; None if never. `beyond` are the lines that were changed and
    have nothing to do with the fault.
    """

    name: str
    title: str
    level: int
    layer: str
    begun: str
    ended: str
    mended: bool
    seconds: int
    to_diagnosis: int | None
    diagnoses: tuple[Diagnosis, ...]
    hints: int
    beyond: int
    explanation: str
    saved: str = ""
    solution: str = ""

    def to_dict(self) -> dict[str, Any]:
        """It as `drill report --json` shows it."""
        return asdict(self)


@dataclass(frozen=True)
class Verdict:
    """What the checks found, and the result if the drill is over."""

    report: "Report"
    result: Result | None = None


def choose(
    engine: "Engine", environment: Environment, among: list[Drill], *, level: int | None, seed: str | None
) -> Drill:
    """A drill for this student, of a level if one is given: by `seed`, else the next that the student has not had.

    Raises UsageError if there is none of that level, EngineError.
    """
    fit = [drill for drill in among if level in (None, drill.level)]
    if not fit:
        raise UsageError(f"There is no drill of level {level}. See what there is: labenv drill list")
    if seed is None:
        had = {result.name for result in over(engine, environment)}
        fit = [drill for drill in fit if drill.name not in had] or fit
    return drills.pick(fit, environment.student.id, seed or "")


def named(name: str, among: list[Drill]) -> Drill:
    """The drill of that name. Raises UsageError, naming those there are, if there is none."""
    for drill in among:
        if drill.name == name:
            return drill
    raise UsageError(f"There is no drill {name!a}. There are: {', '.join(drill.name for drill in among)}.")


def start(engine: "Engine", environment: Environment, drill: Drill, listen: Listener) -> Running:
    """Put the fault of a drill into an environment in which every check holds.

    Raises UsageError if one runs already, a check fails, or the fault fits nothing here (then it is taken out again);
    EngineError if a machine does not do as it should.
    """
    who = environment.student.id
    with student_lock(who, listen):
        _refuse_second(engine, environment, listen)
        for name in {*drill.machines, drill.seen[0]}:
            environment.machine(name)
        failed = _failures(_checked(engine, environment, listen))
        if failed:
            raise UsageError(
                f"A drill wants an environment in which every check holds; here step {failed[0].step} does not: "
                f"{failed[0].evidence} Mend that first (labenv next)."
            )
        before = content(engine, environment)
        records.write(engine, who, _RUNNING, _packed(Running(drill)))
        try:
            with announced(listen, "drill", "putting the fault in"):
                type_(engine, environment, drill, drill.breaks)
            fault = content(engine, environment)
            if not _failures(_checked(engine, environment, listen)):
                raise UsageError(f"The drill {drill.name} breaks nothing in this environment. Choose another.")
        except BaseException:  # Ctrl-C too: a fault without a drill must not stay
            _take_out(engine, environment, drill)
            raise
        changed = {path: lines for path, lines in fault.items() if before.get(path) != lines}
        gone = [path for path in before if path not in fault]
        records.write(engine, who, _CONTENT, {"before": before, "changed": changed, "gone": gone})
        running = Running(drill, begun=_now())
        records.write(engine, who, _RUNNING, _packed(running))
    return running


def running(engine: "Engine", environment: Environment) -> Running:
    """The drill that runs. Raises UsageError if none does."""
    kept = records.read(engine, environment.student.id, _RUNNING)
    if not kept or not kept["begun"]:
        raise UsageError(f"No drill runs in {environment.student.id}'s environment. Start one: labenv drill start")
    return _unpacked(kept)


def over(engine: "Engine", environment: Environment) -> list[Result]:
    """The drills that are over in this environment, in their order. Raises EngineError."""
    kept = records.read(engine, environment.student.id, _OVER) or []
    return [Result(**{**entry, "diagnoses": tuple(Diagnosis(**d) for d in entry["diagnoses"])}) for entry in kept]


def diagnose(engine: "Engine", environment: Environment, layer: str, listen: Listener) -> Diagnosis:
    """Write down which layer the student takes for the faulty one. Raises UsageError for one that there is not."""
    if layer not in drills.LAYERS:
        raise UsageError(f"There is no layer {layer!a}. The layers are: {', '.join(drills.LAYERS)}.")
    with _changing(engine, environment, listen) as found:
        touched = content(engine, environment) != _contents(engine, environment)[1]
        said = Diagnosis(_now(), layer, touched)
        _keep(engine, environment, replace(found, diagnoses=(*found.diagnoses, said)))
    return said


def hint(engine: "Engine", environment: Environment, listen: Listener) -> list[str]:
    """The hints given so far and the next one, which is written down. Raises UsageError if no drill runs."""
    with _changing(engine, environment, listen) as found:
        hints, given = found.drill.hints, len(found.hinted)
        if given < len(hints):
            _keep(engine, environment, replace(found, hinted=(*found.hinted, _now())))
    return [drills.filled(text, environment.student) for text in hints[: given + 1]]


def check(engine: "Engine", environment: Environment, listen: Listener) -> Verdict:
    """Run all checks; if they hold, the drill is over. Raises UsageError if none runs, EngineError."""
    with _changing(engine, environment, listen) as found:
        report = _checked(engine, environment, listen)
        if report.failed:
            return Verdict(report)
        result = _result(engine, environment, found, mended=True)
        _close(engine, environment, result)
        return Verdict(report, result)


def give_up(engine: "Engine", environment: Environment, listen: Listener) -> Verdict:
    """Take the fault out and end the drill; the checks say whether all holds then. Raises UsageError, EngineError."""
    with _changing(engine, environment, listen) as found:
        result = _result(engine, environment, found, mended=False)
        with announced(listen, "drill", "mending the fault"):
            type_(engine, environment, found.drill, found.drill.mend)
        _close(engine, environment, result)
        return Verdict(_checked(engine, environment, listen), result)


def symptom(found: Running, environment: Environment) -> str:
    """What a user reports."""
    return drills.filled(found.drill.symptom, environment.student)


def type_(engine: "Engine", environment: Environment, drill: Drill, text: str) -> None:
    """Type a drill's commands as root on its machines; the first that fails ends it with an EngineError.

    They go down a shell that keeps no history, and stand in no file and no argument of a process that stays.
    """
    script = drills.filled(text, environment.student)
    for name in drill.machines:
        with closing(Channel(engine.api, environment.machine(name).container)) as channel:
            done = channel.run(f"set -e\n{script}", _PATIENCE)
        if done.rc:
            said = done.stderr.decode(errors="replace").strip()
            raise EngineError(f"The drill's commands did not work on {name} (status {done.rc}): {said}")


def is_seen(engine: "Engine", environment: Environment, drill: Drill) -> bool:
    """Whether the symptom shows; to find that out can take a message that is sent. Raises EngineError."""
    machine, command = drill.seen
    with closing(Channel(engine.api, environment.machine(machine).container)) as channel:
        return channel.run(drills.filled(command, environment.student), _PATIENCE).rc == 0


@contextmanager
def _changing(engine: "Engine", environment: Environment, listen: Listener) -> Iterator[Running]:
    """The drill that runs, with the student's lock held."""
    with student_lock(environment.student.id, listen):
        yield running(engine, environment)


def _refuse_second(engine: "Engine", environment: Environment, listen: Listener) -> None:
    kept = records.read(engine, environment.student.id, _RUNNING)
    if kept and kept["begun"]:
        raise UsageError(
            f"A drill runs already in {environment.student.id}'s environment. End it first: labenv drill check, "
            f"or labenv drill give-up"
        )
    if kept:
        listen(Event("drill", "a start of a drill was interrupted; its fault is taken out", "note"))
        _take_out(engine, environment, _unpacked(kept).drill)


def _take_out(engine: "Engine", environment: Environment, drill: Drill) -> None:
    type_(engine, environment, drill, drill.mend)
    records.remove(engine, environment.student.id, _RUNNING)


def _checked(engine: "Engine", environment: Environment, listen: Listener) -> "Report":
    from labenv.checks.run import run_checks

    return run_checks(environment, engine, listen=listen)


def _failures(report: "Report") -> list["CheckResult"]:
    return [result for result in report.results if result.status == "fail"]


def _contents(engine: "Engine", environment: Environment) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """What the files said before the fault and with it."""
    kept = records.read(engine, environment.student.id, _CONTENT)
    if kept is None:
        raise LabenvError("What the files said before the drill is lost. End the drill: labenv drill give-up")
    before: dict[str, list[str]] = kept["before"]
    fault = {path: lines for path, lines in (before | kept["changed"]).items() if path not in kept["gone"]}
    return before, fault


def _result(engine: "Engine", environment: Environment, found: Running, *, mended: bool) -> Result:
    before, fault = _contents(engine, environment)
    drill, ended = found.drill, _now()
    right = [d.time for d in found.diagnoses if d.layer == drill.layer]
    return Result(
        name=drill.name,
        title=drill.title,
        level=drill.level,
        layer=drill.layer,
        begun=found.begun,
        ended=ended,
        mended=mended,
        seconds=_between(found.begun, ended),
        to_diagnosis=_between(found.begun, right[0]) if right else None,
        diagnoses=found.diagnoses,
        hints=len(found.hinted),
        beyond=beyond(before, fault, content(engine, environment)),
        explanation=drills.filled(drill.explanation, environment.student),
        saved=found.saved,
        solution=drills.filled(drill.mend, environment.student),
    )


def _close(engine: "Engine", environment: Environment, result: Result) -> None:
    who = environment.student.id
    records.write(engine, who, _OVER, [asdict(other) for other in [*over(engine, environment), result]])
    records.remove(engine, who, _RUNNING)
    records.remove(engine, who, _CONTENT)


def _keep(engine: "Engine", environment: Environment, found: Running) -> None:
    records.write(engine, environment.student.id, _RUNNING, _packed(found))


def _packed(found: Running) -> dict[str, Any]:
    return {**asdict(found), "drill": {"name": found.drill.name, "tree": drills.to_dict(found.drill)}}


def _unpacked(kept: dict[str, Any]) -> Running:
    drill = drills.from_dict(kept["drill"]["name"], kept["drill"]["tree"])
    said = tuple(Diagnosis(**entry) for entry in kept["diagnoses"])
    return Running(drill, kept["begun"], kept["saved"], said, tuple(kept["hinted"]))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _between(start: str, end: str) -> int:
    return round((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds())
