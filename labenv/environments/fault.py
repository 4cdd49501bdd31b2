"""The fault of a drill: put it in, look for its symptom, take it out; undo a start that was interrupted."""

from labenv.engine import Engine, save_store
from labenv.engine.link import GOOD, LONGEST, Impairment, NoNetem
from labenv.environment import Environment
from labenv.environments import drill_records, history, links
from labenv.environments.drill_records import Running
from labenv.errors import LabenvError, UsageError
from labenv.events import Event, Listener
from labenv.lab import drills
from labenv.lab.drills import Drill

_START = "labenv drill start"
_PATIENCE = 120  # seconds for putting a fault in, taking it out, or looking for the symptom


class Misfit(UsageError):
    """A fault that cannot be put into this environment, or that breaks nothing in it."""


def type_(engine: Engine, environment: Environment, drill: Drill, text: str) -> None:
    """Run a drill's commands as root on its machines; the first that fails raises `Misfit`.

    They go through a shell that keeps no history, so they appear in no file and in no argument of a process that stays.
    What a killed command left running on the machine ends first.
    """
    script = f"set -e\nexec 9</etc\nflock -w {_PATIENCE // 2} 9\n{drills.filled(text, environment.student)}"
    for name in drill.machines:
        with engine.shell(environment.machine(name)) as shell:
            done = shell.run(script, _PATIENCE)
        if done.rc:
            raise Misfit(f"The drill's commands did not work on {name} (status {done.rc}): {done.complaint}")


def break_(engine: Engine, environment: Environment, drill: Drill, listen: Listener) -> None:
    """Do what a drill does: first to the links, then in the machines. Raises as `type_` does."""
    if drill.impair:
        down = LONGEST if drill.impair.down else 0
        wrong = Impairment(round(drill.impair.loss * 100), drill.impair.delay, down)
        for name in drill.machines:
            try:
                links.change(engine, environment, name, wrong, listen, told=False)
            except NoNetem as error:
                raise Misfit(str(error)) from error
    if drill.breaks:
        type_(engine, environment, drill, drill.breaks)


def fix(engine: Engine, environment: Environment, drill: Drill, listen: Listener) -> None:
    """Undo what a drill has done, as far as it is still there. Raises as `type_` does."""
    for name in drill.machines if drill.impair else ():
        links.change(engine, environment, name, GOOD, listen)
    if drill.fix:
        type_(engine, environment, drill, drill.fix)


def put_in(engine: Engine, environment: Environment, found: Running, listen: Listener) -> None:
    """Put the fault in: in the history, that is labenv's doing. Raises as `type_` does."""
    with history.told(engine, environment, listen, _START):
        break_(engine, environment, found.drill, listen)


def take_out(engine: Engine, environment: Environment, found: Running, listen: Listener, said: str = _START) -> bool:
    """Take the fault out: in the history, the command `said` does that. Returns whether it worked; if not, the student is told how to get back."""
    try:
        with history.told(engine, environment, listen, said):
            fix(engine, environment, found.drill, listen)
    except LabenvError as error:  # such as a file that the student has removed: no reason to keep the drill forever
        listen(Event("drill", f"{error} {way_back(environment, found)}", "warn"))
        return False
    return True


def undo(engine: Engine, environment: Environment, found: Running, listen: Listener) -> None:
    """Undo a start. The save is removed last, and stays if the fault could not be taken out."""
    history.collect_now(engine, environment, listen, _START)  # what a start that was killed has typed
    mended = take_out(engine, environment, found, listen)
    forget(engine, environment, found, keep=not mended)


def forget(engine: Engine, environment: Environment, found: Running, *, keep: bool = False) -> None:
    """Remove the record of a start, and its save unless `keep`."""
    who = environment.student.id
    drill_records.forget(engine, who)
    if not keep:
        for save in save_store.found(engine, who):
            if save.name == found.saved:
                save_store.remove(engine, save)


def way_back(environment: Environment, found: Running) -> str:
    """How to get back to the state before the drill, as a sentence."""
    return f"To go back to the state before the drill: labenv restore {found.saved} -s {environment.student.id}"


def at_rest(environment: Environment, drill: Drill) -> str:
    """The machines of a drill that do not run."""
    return " and ".join(name for name in drill.machines if environment.machine(name).state != "running")


def recover(engine: Engine, student_id: str, listen: Listener) -> None:
    """Undo an interrupted start of a drill, for a command that holds the student's lock. Raises EngineError.

    If a machine of the drill does not run, that is left for later.
    """
    found = drill_records.running(engine, student_id)
    if found and found.begun:
        if any(result.begun == found.begun for result in drill_records.over(engine, student_id)):
            drill_records.forget(engine, student_id)  # its end was interrupted
    elif found:
        for environment in engine.environments(student_id):
            if at_rest(environment, found.drill):
                return
            listen(Event("drill", "the start of a drill was interrupted; removing its fault", "note"))
            undo(engine, environment, found, listen)
