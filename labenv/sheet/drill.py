"""A drill in an environment: started, diagnosed, helped with, and ended when every check holds again."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from labenv.checks.results import CheckResult, Report
from labenv.checks.run import run_checks
from labenv.engine import Engine
from labenv.engine.content import Content, content
from labenv.environment import Environment
from labenv.environments import drill_records, fault, history, saves
from labenv.environments.changing import changing
from labenv.environments.drill_records import Diagnosis, Result, Running
from labenv.environments.fault import Misfit
from labenv.errors import EngineError, UsageError
from labenv.events import Event, Listener, announced
from labenv.lab import drills
from labenv.lab.drills import Drill


@dataclass(frozen=True)
class Verdict:
    """What the checks found, and the result if the drill is over."""

    report: Report
    result: Result | None = None

    def to_dict(self) -> dict[str, Any]:
        """It as `drill check --json` shows it."""
        result = self.result.to_dict() if self.result else None
        return {"over": bool(result), "result": result, "summary": self.report.summary}


def drawn(
    engine: Engine, environment: Environment, among: list[Drill], *, level: int | None, seed: str | None
) -> list[Drill]:
    """The drills for this student by lot, of a level if one is given: by `seed`, else those that the student has not had.

    Raises UsageError if there is none of that level, EngineError.
    """
    fit = [drill for drill in among if level in (None, drill.level)]
    if not fit:
        raise UsageError(f"There is no drill of level {level}. See what there is: labenv drill list")
    if seed is None:
        had = {result.name for result in drill_records.over(engine, environment.student.id)}
        fit = [drill for drill in fit if drill.name not in had] or fit
    return drills.drawn(fit, environment.student.id, seed or "")


def named(name: str, among: list[Drill]) -> Drill:
    """The drill of that name. Raises UsageError, naming those there are, if there is none."""
    for drill in among:
        if drill.name == name:
            return drill
    raise UsageError(f"There is no drill {name!a}. There are: {', '.join(drill.name for drill in among)}.")


def start(engine: Engine, environment: Environment, wanted: Sequence[Drill], listen: Listener) -> Running:
    """Save an environment in which every check holds, and put the fault of the first drill that fits into it.

    Raises UsageError if one runs already or a check fails, `Misfit` if none fits, EngineError if a machine does not do as
    it should.
    """
    who = environment.student.id
    with changing(engine, who, listen):
        if drill_records.running(engine, who):
            raise UsageError(
                f"A drill runs already in {who}'s environment. End it first: labenv drill check, or labenv drill give-up"
            )
        if failed := _failures(_checked(engine, environment, listen)):
            raise UsageError(
                f"A drill wants a finished environment in which every check holds; here step {failed[0].step} does "
                f"not: {failed[0].evidence} Do that first: labenv next"
            )
        before = content(engine, environment)
        *others, last = wanted
        for drill in others:
            try:
                return _begin(engine, environment, drill, before, listen)
            except Misfit:
                listen(Event("drill", "that one does not fit this environment; trying another", "note"))
        return _begin(engine, environment, last, before, listen)


def _begin(engine: Engine, environment: Environment, drill: Drill, before: Content, listen: Listener) -> Running:
    who = environment.student.id
    for name in {*drill.machines, drill.seen[0]}:
        environment.machine(name)
    beginning = Running(drill, saved=saves.take(engine, environment, None, listen, stem="before-drill").name)
    try:
        drill_records.keep(engine, who, beginning)
        with announced(listen, "drill", "putting the fault in"):
            fault.type_(engine, environment, drill, drill.breaks)
        history.collect_now(engine, environment, listen, "labenv drill start")
        broken = content(engine, environment)
        if not _failures(_checked(engine, environment, listen)):
            raise Misfit(f"The drill {drill.name} breaks nothing in this environment. Choose another.")
        drill_records.keep_contents(engine, who, before, broken)
        running = replace(beginning, begun=drill_records.now())
        drill_records.keep(engine, who, running)
    except Misfit as error:
        if not _back_out(engine, environment, beginning, before, listen):
            raise UsageError(str(error)) from error  # another drill would be about another environment
        raise
    except BaseException:  # Ctrl-C too: a fault without a drill must not stay
        fault.undo(engine, environment, beginning, listen)
        raise
    return running


def running(engine: Engine, environment: Environment) -> Running:
    """The drill that runs. Raises UsageError if none does."""
    who = environment.student.id
    found = drill_records.running(engine, who)
    if found and found.begun:
        return found
    if found:
        raise UsageError(
            f"A start of a drill was interrupted in {who}'s environment. Have its fault taken out: labenv up {who}"
        )
    raise UsageError(f"No drill runs in {who}'s environment. Start one: labenv drill start")


def diagnose(engine: Engine, environment: Environment, layer: str, listen: Listener) -> Diagnosis:
    """Write down which layer the student takes for the faulty one. Raises UsageError for one that there is not."""
    if layer not in drills.LAYERS:
        raise UsageError(f"There is no layer {layer!a}. The layers are: {', '.join(drills.LAYERS)}.")
    who = environment.student.id
    with _changing(engine, environment, listen) as found:
        said = drill_records.contents(engine, who)
        touched = said is not None and content(engine, environment) != said[1]
        diagnosis = Diagnosis(drill_records.now(), layer, touched)
        drill_records.keep(engine, who, replace(found, diagnoses=(*found.diagnoses, diagnosis)))
    return diagnosis


def hint(engine: Engine, environment: Environment, listen: Listener) -> list[str]:
    """The hints given so far and the next one, which is written down. Raises UsageError if no drill runs."""
    with _changing(engine, environment, listen) as found:
        hints, given = found.drill.hints, len(found.hinted)
        if given < len(hints):
            hinted = (*found.hinted, drill_records.now())
            drill_records.keep(engine, environment.student.id, replace(found, hinted=hinted))
    return [drills.filled(text, environment.student) for text in hints[: given + 1]]


def looked(engine: Engine, environment: Environment, listen: Listener) -> None:
    """Write down, and say, that the lab's checks are asked what is wrong, if a drill runs. Raises EngineError."""
    who = environment.student.id
    with changing(engine, who, listen):
        if (found := drill_records.running(engine, who)) and found.begun:
            drill_records.keep(engine, who, replace(found, looked=(*found.looked, drill_records.now())))
            listen(Event("drill", "a drill runs: what the checks tell is help, which its report counts", "note"))


def check(engine: Engine, environment: Environment, listen: Listener) -> Verdict:
    """Run all checks; if they hold, the drill is over. Raises UsageError if none runs, EngineError."""
    with _changing(engine, environment, listen) as found:
        report = _checked(engine, environment, listen)
        if report.failed:
            return Verdict(report)
        result = _result(engine, environment, found, mended=True)
        drill_records.close(engine, environment.student.id, result)
        return Verdict(report, result)


def give_up(engine: Engine, environment: Environment, listen: Listener) -> Verdict:
    """Take the fault out and end the drill; the checks say whether all holds then. Raises UsageError, EngineError."""
    with _changing(engine, environment, listen) as found:
        if resting := fault.at_rest(environment, found.drill):
            raise EngineError(f"{resting} does not run. Bring it back first: labenv up {environment.student.id}")
        result = _result(engine, environment, found, mended=False)
        with announced(listen, "drill", "mending the fault"):
            fault.take_out(engine, environment, found, listen)
            history.collect_now(engine, environment, listen, "labenv drill give-up")
        drill_records.close(engine, environment.student.id, result)
        return Verdict(_checked(engine, environment, listen), result)


def symptom(found: Running, environment: Environment) -> str:
    """What a user reports."""
    return drills.filled(found.drill.symptom, environment.student)


@contextmanager
def _changing(engine: Engine, environment: Environment, listen: Listener) -> Iterator[Running]:
    """The drill that runs, with the student's lock held."""
    with changing(engine, environment.student.id, listen):
        yield running(engine, environment)


def _back_out(engine: Engine, environment: Environment, found: Running, before: Content, listen: Listener) -> bool:
    """The same where the fault does not fit; whether all is as it was.

    What is right is not mended, for a mend may fit no better.
    """
    same = content(engine, environment) == before
    if not (same and not _failures(_checked(engine, environment, listen))):
        same = fault.take_out(engine, environment, found, listen)
        if same and content(engine, environment) != before:
            same = False
            listen(
                Event("drill", f"The files are not quite as they were. {fault.way_back(environment, found)}", "warn")
            )
    fault.forget(engine, environment, found, keep=not same)
    return same


def _checked(engine: Engine, environment: Environment, listen: Listener) -> Report:
    return run_checks(engine, environment, written=True, listen=listen)


def _failures(report: Report) -> list[CheckResult]:
    return [result for result in report.results if result.status == "fail"]


def _result(engine: Engine, environment: Environment, found: Running, *, mended: bool) -> Result:
    who = environment.student
    told = drills.filled(found.drill.explanation, who), drills.filled(found.drill.fix, who)
    said = drill_records.contents(engine, who.id)
    return drill_records.result(found, told, said, content(engine, environment), mended=mended)
