"""A drill in an environment: its start, diagnoses, hints, and its end, when all checks pass again."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from labenv.checks.results import CheckResult, Report
from labenv.checks.run import run_checks
from labenv.engine import Engine
from labenv.engine.content import Content, content
from labenv.environment import Environment
from labenv.environments import drill_records, fault, saves
from labenv.environments.changing import changing
from labenv.environments.drill_records import Diagnosis, Result, Running
from labenv.environments.fault import Misfit
from labenv.errors import EngineError, UsageError
from labenv.events import Event, Listener, announced
from labenv.lab import drill_translations, drills, labs
from labenv.lab.drills import Drill
from labenv.lab.model import Lab

# What runs all checks of an environment: whoever starts many drills at once does that in other processes.
Check = Callable[[Engine, Environment, Listener], Report]


@dataclass(frozen=True)
class Verdict:
    """What the checks found, those that count for the drill and fail, and the result if the drill is over."""

    report: Report
    failed: list[CheckResult]
    result: Result | None = None

    def to_dict(self) -> dict[str, Any]:
        """The verdict as `drill check --json` shows it."""
        result = self.result.to_dict() if self.result else None
        return {"over": bool(result), "result": result, "summary": self.report.summary, "failing": len(self.failed)}


def drawn(
    engine: Engine, environment: Environment, among: list[Drill], *, level: int | None, seed: str | None
) -> list[Drill]:
    """The drills for this student in random order, of one level if given. Without a `seed`, new ones if there are any.

    Raises UsageError if there is none of that level, EngineError.
    """
    fit = [drill for drill in among if level in (None, drill.level)]
    if not among:
        raise UsageError(f"{environment.lab} has no drills. To use those of a folder: labenv drill start --from DIR")
    if not fit:
        levels = " and ".join(sorted({f"{drill.level}" for drill in among}))
        raise UsageError(f"There is no drill of level {level} to choose from, only of level {levels}.")
    if seed is None:
        had = {result.name for result in drill_records.over(engine, environment.student.id)}
        fit = [drill for drill in fit if drill.name not in had] or fit
    return drills.drawn(fit, environment.student.id, seed or "")


def named(name: str, among: list[Drill]) -> Drill:
    """The drill with that name. Raises UsageError, which lists the drills, if there is none."""
    for drill in among:
        if drill.name == name:
            return drill
    raise UsageError(f"There is no drill {name!a}. The drills are: {', '.join(drill.name for drill in among)}.")


def start(
    engine: Engine, environment: Environment, wanted: Sequence[Drill], listen: Listener, check_with: Check | None = None
) -> Running:
    """Save an environment in which all checks pass, and put the fault of the first drill that fits into it.

    `check_with` runs the checks; without it, they run in this process. Raises UsageError if a drill is already running or a check
    fails, `Misfit` if none fits, EngineError if a machine fails.
    """
    who = environment.student.id
    checked = check_with or _checked
    with changing(engine, who, listen):
        if drill_records.running(engine, who):
            raise UsageError(
                f"A drill is already running in {who}'s environment. "
                "End it first: labenv drill check, or labenv drill give-up"
            )
        if failed := _failures(labs.of(environment), checked(engine, environment, listen)):
            raise UsageError(
                "A drill needs a finished environment in which all checks pass (see: labenv next). "
                f"Step {failed[0].step} fails: {failed[0].evidence}"
            )
        before = content(engine, environment)
        *others, last = wanted
        for drill in others:
            try:
                return _begin(engine, environment, drill, before, checked, listen)
            except Misfit:
                listen(Event("drill", "this drill does not fit the environment; trying another one", "note"))
        return _begin(engine, environment, last, before, checked, listen)


def _begin(
    engine: Engine, environment: Environment, drill: Drill, before: Content, checked: Check, listen: Listener
) -> Running:
    who = environment.student.id
    for name in {*drill.machines, drill.seen[0]}:
        environment.machine(name)
    beginning = Running(drill, saved=saves.take(engine, environment, None, listen, stem="before-drill").name)
    try:
        drill_records.keep(engine, who, beginning)
        with announced(listen, "drill", "creating the fault"):
            fault.put_in(engine, environment, beginning, listen)
        broken = content(engine, environment)
        if not _failures(labs.of(environment), checked(engine, environment, listen)):
            raise Misfit(f"The drill {drill.name} breaks nothing in this environment. Choose another.")
        drill_records.keep_contents(engine, who, before, broken)
        running = replace(beginning, begun=drill_records.now())
        drill_records.keep(engine, who, running)
    except Misfit as error:
        if not _back_out(engine, environment, beginning, before, checked, listen):
            raise UsageError(str(error)) from error  # another drill would start from a changed environment
        raise
    except BaseException:  # Ctrl-C too: a fault without a drill must not stay
        fault.undo(engine, environment, beginning, listen)
        raise
    return running


def running(engine: Engine, environment: Environment) -> Running:
    """The drill that is running. Raises UsageError if there is none."""
    who = environment.student.id
    found = drill_records.running(engine, who)
    if found and found.begun:
        return found
    if found:
        raise UsageError(
            f"The start of a drill was interrupted in {who}'s environment. To remove its fault: labenv up {who}"
        )
    raise UsageError(f"No drill is running in {who}'s environment. Start one: labenv drill start")


def diagnose(engine: Engine, environment: Environment, layer: str, listen: Listener) -> Diagnosis:
    """Record in which layer the student thinks the fault is. Raises UsageError for a layer that the lab does not have."""
    lab = labs.of(environment)
    if layer not in lab.layers:
        raise UsageError(f"There is no layer {layer!a}. {drills.said_layers(lab)}")
    who = environment.student.id
    with _changing(engine, environment, listen) as found:
        said = drill_records.contents(engine, who)
        touched = said is not None and content(engine, environment) != said[1]
        diagnosis = Diagnosis(drill_records.now(), layer, touched)
        drill_records.keep(engine, who, replace(found, diagnoses=(*found.diagnoses, diagnosis)))
    return diagnosis


def hint(engine: Engine, environment: Environment, lab: Lab, listen: Listener) -> list[str]:
    """The hints given so far and the next one, which is recorded, in the lab's languages. Raises UsageError if no drill is running."""
    with _changing(engine, environment, listen) as found:
        given = len(found.hinted)
        if given < len(found.drill.hints):
            hinted = (*found.hinted, drill_records.now())
            drill_records.keep(engine, environment.student.id, replace(found, hinted=hinted))
    return _told(found, environment, lab, given + 1)


def looked(engine: Engine, environment: Environment, listen: Listener) -> None:
    """If a drill is running, record this use of the lab's checks, and say so. Raises EngineError."""
    who = environment.student.id
    with changing(engine, who, listen):
        if (found := drill_records.running(engine, who)) and found.begun:
            drill_records.keep(engine, who, replace(found, looked=(*found.looked, drill_records.now())))
            listen(Event("drill", "a drill is running: its report counts this use of the checks", "note"))


def check(engine: Engine, environment: Environment, listen: Listener) -> Verdict:
    """Run all checks; if they pass, the drill is over. Raises UsageError if no drill is running, EngineError."""
    with _changing(engine, environment, listen) as found:
        report = _checked(engine, environment, listen)
        if failed := _failures(labs.of(environment), report):
            return Verdict(report, failed)
        result = _result(engine, environment, found, mended=True)
        drill_records.close(engine, environment.student.id, result)
        return Verdict(report, failed, result)


def give_up(
    engine: Engine,
    environment: Environment,
    listen: Listener,
    check_with: Check | None = None,
    *,
    by_teacher: bool = False,
) -> Verdict:
    """Remove the fault and end the drill; then run all checks, as `start` does. Raises UsageError, EngineError."""
    with _changing(engine, environment, listen) as found:
        if resting := fault.at_rest(environment, found.drill):
            raise EngineError(f"{resting} is not running. Bring it back first: labenv up {environment.student.id}")
        result = replace(_result(engine, environment, found, mended=False), by_teacher=by_teacher)
        with announced(listen, "drill", "fixing the fault"):
            fault.take_out(engine, environment, found, listen, "labenv drill give-up")
        drill_records.close(engine, environment.student.id, result)
        report = (check_with or _checked)(engine, environment, listen)
        return Verdict(report, _failures(labs.of(environment), report), result)


def hints(found: Running, environment: Environment, lab: Lab) -> list[str]:
    """The hints given so far, in the lab's languages."""
    return _told(found, environment, lab, len(found.hinted))


def _told(found: Running, environment: Environment, lab: Lab, most: int) -> list[str]:
    told = drill_translations.spoken(found.drill, lab).hints
    return [drills.filled(text, environment.student) for text in told[:most]]


def symptom(found: Running, environment: Environment, lab: Lab) -> str:
    """What a user reports, in the lab's languages."""
    return drills.filled(drill_translations.spoken(found.drill, lab).symptom, environment.student)


def retold(result: Result, environment: Environment, lab: Lab) -> Result:
    """The result with its texts in the lab's languages, if the drill of its name still has the texts that it was told with."""
    for path in drills.files(lab) if lab.languages else ():
        if path.stem == result.name:
            drill = drills.read(path, lab)
            if (drill.title, drills.filled(drill.explanation, environment.student)) == (
                result.title,
                result.explanation,
            ):
                told = drill_translations.spoken(drill, lab)
                why = drills.filled(told.explanation, environment.student)
                return replace(result, title=told.title, explanation=why)
    return result


@contextmanager
def _changing(engine: Engine, environment: Environment, listen: Listener) -> Iterator[Running]:
    """The drill that is running, with the student's lock held."""
    with changing(engine, environment.student.id, listen):
        yield running(engine, environment)


def _back_out(
    engine: Engine, environment: Environment, found: Running, before: Content, checked: Check, listen: Listener
) -> bool:
    """Undo a fault that does not fit; return whether everything is as before.

    An environment that is as before is not fixed, because the fix may fit no better than the fault.
    """
    same = content(engine, environment) == before
    if not (same and not _failures(labs.of(environment), checked(engine, environment, listen))):
        same = fault.take_out(engine, environment, found, listen)
        if same and content(engine, environment) != before:
            same = False
            listen(Event("drill", f"Some files are not as before. {fault.way_back(environment, found)}", "warn"))
    fault.forget(engine, environment, found, keep=not same)
    return same


def _checked(engine: Engine, environment: Environment, listen: Listener) -> Report:
    return run_checks(engine, environment, written=True, listen=listen)


def _failures(lab: Lab, report: Report) -> list[CheckResult]:
    """The failures that a drill is about: a backup, for one, is out of date when the fault is in, and again when it is fixed."""
    return [one for one in report.results if one.status == "fail" and not lab.steps[one.step].is_for_a_person]


def _result(engine: Engine, environment: Environment, found: Running, *, mended: bool) -> Result:
    who = environment.student
    told = drills.filled(found.drill.explanation, who), drills.filled(found.drill.remedy, who)
    said = drill_records.contents(engine, who.id)
    return drill_records.result(found, told, said, content(engine, environment), mended=mended)
