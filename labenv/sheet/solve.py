"""Does steps of the sheet as a student would: types their solutions line by line in the machines."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from labenv.engine import Engine
from labenv.engine.channel import Channel
from labenv.environment import Environment
from labenv.environments import history, saves
from labenv.environments.changing import changing
from labenv.errors import EngineError, UsageError
from labenv.events import Listener
from labenv.lab.model import Lab, Step
from labenv.lab.solution import commands

_PATIENCE = 300  # seconds that a line may take: installing a package on a busy computer takes longest


@dataclass(frozen=True)
class Line:
    """A line of a step's solution: what is typed, as root, on a machine."""

    step: str
    machine: str
    command: str


@dataclass(frozen=True)
class Typed:
    """A line that was typed: its exit status, and what a terminal would have shown."""

    line: Line
    rc: int
    output: str


def chosen(lab: Lab, target: str | None, *, everything: bool) -> list[Step]:
    """The chosen steps, in the order of the sheet: one, those of a stage, or all.

    Steps that only a person can do are left out. Raises UsageError if `target` is such a step or neither a step nor a
    stage, and unless there is either a target or `everything`.
    """
    if everything and target:
        raise UsageError(f"{target} and --all cannot be combined.")
    if everything:
        return _typeable(lab.steps.values())
    if target is None:
        raise UsageError("Name what to solve: a step (labenv solve 17), a stage (labenv solve relay), or --all.")
    if step := lab.steps.get(target):
        if not step.solution:
            raise UsageError(
                f"Step {step.id} ({step.title}) is for you: only a person can do it, so there is nothing to type."
            )
        return [step]
    if target in (stage.id for stage in lab.stages):
        return _typeable(step for step in lab.steps.values() if step.stage == target)
    stages = ", ".join(stage.id for stage in lab.stages)
    raise UsageError(
        f"{lab.id} has no step or stage {target!a}. Its steps are: {', '.join(lab.steps)}; its stages: {stages}."
    )


def lines(step: Step, lab: Lab, environment: Environment) -> list[Line]:
    """What is typed to do a step, in order. Raises UsageError for a machine that the environment does not have."""
    return [
        Line(step.id, name, command)
        for action in step.solution
        for name in action.machines
        for command in commands(action, lab, environment.student, environment.machine(name), environment.machines)
    ]


def typed(
    engine: Engine, environment: Environment, what: Sequence[Line], about_to: Callable[[Line], None]
) -> Iterator[Typed]:
    """Type the lines, each when its result is asked for, up to and including the first that fails.

    `about_to` is called before each line. Raises EngineError, before anything is typed, if a machine is not running; also
    if one stops or a line does not end.
    """
    for name in dict.fromkeys(line.machine for line in what):
        if (state := environment.machine(name).state) != "running":
            raise EngineError(
                f"{name} is {state}, so nothing was typed. Bring it back with: labenv up {environment.student.id}"
            )
    with ExitStack() as stack:
        channels: dict[str, Channel] = {}
        for line in what:
            if line.machine not in channels:
                channels[line.machine] = engine.shell(environment.machine(line.machine))
                stack.callback(channels[line.machine].close)
            about_to(line)
            result = channels[line.machine].run(f"exec 2>&1\n{line.command}", _PATIENCE)
            yield Typed(line, result.rc, result.text)
            if result.rc:
                return


def solve(
    engine: Engine,
    environment: Environment,
    what: Sequence[Line],
    listen: Listener,
    *,
    said: str,
    about_to: Callable[[Line], None],
    answered: Callable[[Typed], None],
) -> list[Typed]:
    """Type the lines as `typed` does; the history records them under the command `said`. Returns what was typed.

    `answered` is called after each line. Raises UsageError while a drill is running, EngineError.
    """
    done: list[Typed] = []
    with changing(engine, environment.student.id, listen) as change:
        saves.refuse_drill(engine, environment.student.id)
        with history.told(engine, change.environment, listen, said):
            for outcome in typed(engine, change.environment, what, about_to):
                answered(outcome)
                done.append(outcome)
    return done


def _typeable(steps: Iterable[Step]) -> list[Step]:
    return [step for step in steps if not step.is_for_a_person]
