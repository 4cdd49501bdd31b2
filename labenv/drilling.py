"""A drill in an environment: started, diagnosed, helped with, and ended when every check holds again."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from labenv import drillbook, drills, history, saves
from labenv.drillbook import Diagnosis, Result, Running
from labenv.drills import Drill
from labenv.engine import saves as kept
from labenv.engine.channel import Channel
from labenv.engine.content import Content, content
from labenv.environment import Environment
from labenv.errors import EngineError, LabenvError, UsageError
from labenv.events import Event, Listener, announced
from labenv.lock import student_lock

if TYPE_CHECKING:
    from labenv.checks.results import CheckResult, Report
    from labenv.engine import Engine

_PATIENCE = 120  # seconds that putting a fault in, taking it out or looking for the symptom may take


@dataclass(frozen=True)
class Verdict:
    """What the checks found, and the result if the drill is over."""

    report: "Report"
    result: Result | None = None


class Misfit(UsageError):
    """A fault that cannot be put into what is there, or that breaks nothing there."""


def drawn(
    engine: "Engine", environment: Environment, among: list[Drill], *, level: int | None, seed: str | None
) -> list[Drill]:
    """The drills for this student by lot, of a level if one is given: by `seed`, else those that the student has not had.

    Raises UsageError if there is none of that level, EngineError.
    """
    fit = [drill for drill in among if level in (None, drill.level)]
    if not fit:
        raise UsageError(f"There is no drill of level {level}. See what there is: labenv drill list")
    if seed is None:
        had = {result.name for result in drillbook.over(engine, environment.student.id)}
        fit = [drill for drill in fit if drill.name not in had] or fit
    return drills.drawn(fit, environment.student.id, seed or "")


def named(name: str, among: list[Drill]) -> Drill:
    """The drill of that name. Raises UsageError, naming those there are, if there is none."""
    for drill in among:
        if drill.name == name:
            return drill
    raise UsageError(f"There is no drill {name!a}. There are: {', '.join(drill.name for drill in among)}.")


def start(engine: "Engine", environment: Environment, wanted: Sequence[Drill], listen: Listener) -> Running:
    """Save an environment in which every check holds, and put the fault of the first drill that fits into it.

    Raises UsageError if one runs already or a check fails, `Misfit` if none fits, EngineError if a machine does not do as
    it should.
    """
    who = environment.student.id
    with student_lock(who, listen):
        saves.recover(engine, who, listen)
        if drillbook.running(engine, who):
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


def _begin(engine: "Engine", environment: Environment, drill: Drill, before: Content, listen: Listener) -> Running:
    who = environment.student.id
    for name in {*drill.machines, drill.seen[0]}:
        environment.machine(name)
    beginning = Running(drill, saved=saves.take(engine, environment, None, listen, stem="before-drill").name)
    try:
        drillbook.keep(engine, who, beginning)
        with announced(listen, "drill", "putting the fault in"):
            type_(engine, environment, drill, drill.breaks)
        history.collect_now(engine, environment, listen, "labenv drill start")
        fault = content(engine, environment)
        if not _failures(_checked(engine, environment, listen)):
            raise Misfit(f"The drill {drill.name} breaks nothing in this environment. Choose another.")
        drillbook.keep_contents(engine, who, before, fault)
        running = replace(beginning, begun=drillbook.now())
        drillbook.keep(engine, who, running)
    except Misfit as error:
        if not _back_out(engine, environment, beginning, before, listen):
            raise UsageError(str(error)) from error  # another drill would be about another environment
        raise
    except BaseException:  # Ctrl-C too: a fault without a drill must not stay
        _take_back(engine, environment, beginning, listen)
        raise
    return running


def recover(engine: "Engine", student_id: str, listen: Listener) -> None:
    """Undo a start of a drill that was interrupted; for a command that holds the student's lock. Raises EngineError.

    While a machine does not run it is left for later.
    """
    found = drillbook.running(engine, student_id)
    if found and found.begun:
        if any(result.begun == found.begun for result in drillbook.over(engine, student_id)):
            drillbook.forget(engine, student_id)  # its end was interrupted
    elif found:
        for environment in engine.environments(student_id):
            if _at_rest(environment, found.drill):
                return
            listen(Event("drill", "a start of a drill was interrupted; its fault is taken out", "note"))
            _take_back(engine, environment, found, listen)


def running(engine: "Engine", environment: Environment) -> Running:
    """The drill that runs. Raises UsageError if none does."""
    who = environment.student.id
    found = drillbook.running(engine, who)
    if found and found.begun:
        return found
    if found:
        raise UsageError(
            f"A start of a drill was interrupted in {who}'s environment. Have its fault taken out: labenv up {who}"
        )
    raise UsageError(f"No drill runs in {who}'s environment. Start one: labenv drill start")


def diagnose(engine: "Engine", environment: Environment, layer: str, listen: Listener) -> Diagnosis:
    """Write down which layer the student takes for the faulty one. Raises UsageError for one that there is not."""
    if layer not in drills.LAYERS:
        raise UsageError(f"There is no layer {layer!a}. The layers are: {', '.join(drills.LAYERS)}.")
    who = environment.student.id
    with _changing(engine, environment, listen) as found:
        said = drillbook.contents(engine, who)
        touched = said is not None and content(engine, environment) != said[1]
        diagnosis = Diagnosis(drillbook.now(), layer, touched)
        drillbook.keep(engine, who, replace(found, diagnoses=(*found.diagnoses, diagnosis)))
    return diagnosis


def hint(engine: "Engine", environment: Environment, listen: Listener) -> list[str]:
    """The hints given so far and the next one, which is written down. Raises UsageError if no drill runs."""
    with _changing(engine, environment, listen) as found:
        hints, given = found.drill.hints, len(found.hinted)
        if given < len(hints):
            hinted = (*found.hinted, drillbook.now())
            drillbook.keep(engine, environment.student.id, replace(found, hinted=hinted))
    return [drills.filled(text, environment.student) for text in hints[: given + 1]]


def looked(engine: "Engine", environment: Environment, listen: Listener) -> None:
    """Write down, and say, that the lab's checks are asked what is wrong, if a drill runs. Raises EngineError."""
    who = environment.student.id
    with student_lock(who, listen):
        if (found := drillbook.running(engine, who)) and found.begun:
            drillbook.keep(engine, who, replace(found, looked=(*found.looked, drillbook.now())))
            listen(Event("drill", "a drill runs: what the checks tell is help, which its report counts", "note"))


def check(engine: "Engine", environment: Environment, listen: Listener) -> Verdict:
    """Run all checks; if they hold, the drill is over. Raises UsageError if none runs, EngineError."""
    with _changing(engine, environment, listen) as found:
        report = _checked(engine, environment, listen)
        if report.failed:
            return Verdict(report)
        result = _result(engine, environment, found, mended=True)
        drillbook.close(engine, environment.student.id, result)
        return Verdict(report, result)


def give_up(engine: "Engine", environment: Environment, listen: Listener) -> Verdict:
    """Take the fault out and end the drill; the checks say whether all holds then. Raises UsageError, EngineError."""
    with _changing(engine, environment, listen) as found:
        if resting := _at_rest(environment, found.drill):
            raise EngineError(f"{resting} does not run. Bring it back first: labenv up {environment.student.id}")
        result = _result(engine, environment, found, mended=False)
        with announced(listen, "drill", "mending the fault"):
            _mend(engine, environment, found, listen)
            history.collect_now(engine, environment, listen, "labenv drill give-up")
        drillbook.close(engine, environment.student.id, result)
        return Verdict(_checked(engine, environment, listen), result)


def symptom(found: Running, environment: Environment) -> str:
    """What a user reports."""
    return drills.filled(found.drill.symptom, environment.student)


def type_(engine: "Engine", environment: Environment, drill: Drill, text: str) -> None:
    """Type a drill's commands as root on its machines; the first that fails ends it with a `Misfit`.

    They go down a shell that keeps no history, and stand in no file and no argument of a process that stays. What a
    command that was killed has left running there ends first.
    """
    script = f"set -e\nexec 9</etc\nflock -w {_PATIENCE // 2} 9\n{drills.filled(text, environment.student)}"
    for name in drill.machines:
        with closing(Channel(engine.api, environment.machine(name).container)) as channel:
            done = channel.run(script, _PATIENCE)
        if done.rc:
            said = done.stderr.decode(errors="replace").strip()
            raise Misfit(f"The drill's commands did not work on {name} (status {done.rc}): {said}")


def is_seen(engine: "Engine", environment: Environment, drill: Drill) -> bool:
    """Whether the symptom shows; to find that out can take a message that is sent. Raises EngineError."""
    machine, command = drill.seen
    with closing(Channel(engine.api, environment.machine(machine).container)) as channel:
        return channel.run(drills.filled(command, environment.student), _PATIENCE).rc == 0


@contextmanager
def _changing(engine: "Engine", environment: Environment, listen: Listener) -> Iterator[Running]:
    """The drill that runs, with the student's lock held."""
    with student_lock(environment.student.id, listen):
        recover(engine, environment.student.id, listen)
        yield running(engine, environment)


def _take_back(engine: "Engine", environment: Environment, found: Running, listen: Listener) -> None:
    """Undo what a start has done; the save goes last, and stays if the fault could not be taken out."""
    mended = _mend(engine, environment, found, listen)
    _forget(engine, environment, found, keep=not mended)


def _back_out(engine: "Engine", environment: Environment, found: Running, before: Content, listen: Listener) -> bool:
    """The same where the fault does not fit; whether all is as it was.

    What is right is not mended, for a mend may fit no better.
    """
    same = content(engine, environment) == before
    if not (same and not _failures(_checked(engine, environment, listen))):
        same = _mend(engine, environment, found, listen)
        if same and content(engine, environment) != before:
            same = False
            listen(Event("drill", f"The files are not quite as they were. {_way_back(environment, found)}", "warn"))
    _forget(engine, environment, found, keep=not same)
    return same


def _forget(engine: "Engine", environment: Environment, found: Running, *, keep: bool = False) -> None:
    """Forget a start, and remove its save unless that is to be kept."""
    who = environment.student.id
    drillbook.forget(engine, who)
    if not keep:
        for save in kept.found(engine, who):
            if save.name == found.saved:
                kept.remove(engine, save)


def _mend(engine: "Engine", environment: Environment, found: Running, listen: Listener) -> bool:
    try:
        type_(engine, environment, found.drill, found.drill.mend)
    except LabenvError as error:  # such as a file that the student has removed; no reason to keep the drill for ever
        listen(Event("drill", f"{error} {_way_back(environment, found)}", "warn"))
        return False
    return True


def _way_back(environment: Environment, found: Running) -> str:
    return f"The environment as it was before the drill: labenv restore {found.saved} -s {environment.student.id}"


def _at_rest(environment: Environment, drill: Drill) -> str:
    """The machines of a drill that do not run."""
    return " and ".join(name for name in drill.machines if environment.machine(name).state != "running")


def _checked(engine: "Engine", environment: Environment, listen: Listener) -> "Report":
    from labenv.checks.run import run_checks

    return run_checks(environment, engine, written=True, listen=listen)


def _failures(report: "Report") -> list["CheckResult"]:
    return [result for result in report.results if result.status == "fail"]


def _result(engine: "Engine", environment: Environment, found: Running, *, mended: bool) -> Result:
    who = environment.student
    told = drills.filled(found.drill.explanation, who), drills.filled(found.drill.mend, who)
    said = drillbook.contents(engine, who.id)
    return drillbook.result(found, told, said, content(engine, environment), mended=mended)
