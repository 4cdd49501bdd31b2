"""The fault of a drill in an environment: put in, seen, taken out; and undone where putting it in was interrupted."""

from labenv.engine import Engine, save_store
from labenv.environment import Environment
from labenv.environments import drill_records
from labenv.environments.drill_records import Running
from labenv.errors import LabenvError, UsageError
from labenv.events import Event, Listener
from labenv.lab import drills
from labenv.lab.drills import Drill

_PATIENCE = 120  # seconds that putting a fault in, taking it out or looking for the symptom may take


class Misfit(UsageError):
    """A fault that cannot be put into what is there, or that breaks nothing there."""


def type_(engine: Engine, environment: Environment, drill: Drill, text: str) -> None:
    """Type a drill's commands as root on its machines; the first that fails ends it with a `Misfit`.

    They go down a shell that keeps no history, and stand in no file and no argument of a process that stays. What a
    command that was killed has left running there ends first.
    """
    script = f"set -e\nexec 9</etc\nflock -w {_PATIENCE // 2} 9\n{drills.filled(text, environment.student)}"
    for name in drill.machines:
        with engine.shell(environment.machine(name)) as shell:
            done = shell.run(script, _PATIENCE)
        if done.rc:
            raise Misfit(f"The drill's commands did not work on {name} (status {done.rc}): {done.complaint}")


def is_seen(engine: Engine, environment: Environment, drill: Drill) -> bool:
    """Whether the symptom shows; to find that out can take a message that is sent. Raises EngineError."""
    machine, command = drill.seen
    with engine.shell(environment.machine(machine)) as shell:
        return shell.run(drills.filled(command, environment.student), _PATIENCE).rc == 0


def take_out(engine: Engine, environment: Environment, found: Running, listen: Listener) -> bool:
    """Take the fault out; whether that worked. If not, the way back is told."""
    try:
        type_(engine, environment, found.drill, found.drill.fix)
    except LabenvError as error:  # such as a file that the student has removed; no reason to keep the drill for ever
        listen(Event("drill", f"{error} {way_back(environment, found)}", "warn"))
        return False
    return True


def undo(engine: Engine, environment: Environment, found: Running, listen: Listener) -> None:
    """Undo what a start has done; the save goes last, and stays if the fault could not be taken out."""
    mended = take_out(engine, environment, found, listen)
    forget(engine, environment, found, keep=not mended)


def forget(engine: Engine, environment: Environment, found: Running, *, keep: bool = False) -> None:
    """Forget a start, and remove its save unless it is to be kept."""
    who = environment.student.id
    drill_records.forget(engine, who)
    if not keep:
        for save in save_store.found(engine, who):
            if save.name == found.saved:
                save_store.remove(engine, save)


def way_back(environment: Environment, found: Running) -> str:
    """How to get back to what was there before the drill, as a sentence."""
    return f"The environment as it was before the drill: labenv restore {found.saved} -s {environment.student.id}"


def at_rest(environment: Environment, drill: Drill) -> str:
    """The machines of a drill that do not run."""
    return " and ".join(name for name in drill.machines if environment.machine(name).state != "running")


def recover(engine: Engine, student_id: str, listen: Listener) -> None:
    """Undo a start of a drill that was interrupted; for a command that holds the student's lock. Raises EngineError.

    While a machine does not run it is left for later.
    """
    found = drill_records.running(engine, student_id)
    if found and found.begun:
        if any(result.begun == found.begun for result in drill_records.over(engine, student_id)):
            drill_records.forget(engine, student_id)  # its end was interrupted
    elif found:
        for environment in engine.environments(student_id):
            if at_rest(environment, found.drill):
                return
            listen(Event("drill", "a start of a drill was interrupted; its fault is taken out", "note"))
            undo(engine, environment, found, listen)
