"""Solutions: typing them as `labenv solve` does leads from each stage to the next, and each is what its step's checks need."""

from collections.abc import Iterable, Sequence

from labenv.checks.results import CheckResult, needed
from labenv.environment import Environment
from labenv.errors import EngineError
from labenv.lab.model import Lab, Step
from labenv.lab.mutations import Mutation, faults
from labenv.proof import verdict
from labenv.proof.force import Facts, in_force
from labenv.proof.place import Place, Untypeable
from labenv.proof.rows import EVERYTHING, Row
from labenv.sheet import solve


def problems(place: Place, row: Row) -> list[str]:
    """Where the solutions of a stage, or of the whole sheet, lead elsewhere than they must. Raises LabenvError."""
    if row.name == EVERYTHING:
        return _whole_sheet(place)
    stages = [stage.id for stage in place.lab.stages]
    place_of = stages.index(row.name)
    if place_of == 0:
        return _first_stage(place, row.name)
    return _stage(place, stages[place_of - 1], row.name)


def _whole_sheet(place: Place) -> list[str]:
    """From the first stage to the end of the sheet; and then once more, which must change nothing."""
    lab = place.lab
    everything = solve.chosen(lab, None, everything=True)
    with place.at(lab.stages[0].id) as environment:
        _type(place, environment, everything)
        results = place.checked(environment)
        found = [f"at the end of the sheet: {said}" for said in verdict.failures(results)]
        before = in_force(place.engine, place.lab, environment)
        _type(place, environment, everything)
        again = place.checked(environment)
        found += [f"typed once more: {said}" for said in _differences(results, again)]
        found += [
            f"typed once more: {said}" for said in before.differences(in_force(place.engine, place.lab, environment))
        ]
    return found + _unlike_up(place, lab.last_stage, environment, before)


def _first_stage(place: Place, stage: str) -> list[str]:
    """No state comes before the first stage: each solution must change nothing there, and should repair a fault of its step."""
    steps = _of_stage(place.lab, stage)
    with place.at(stage) as environment:
        before = place.checked(environment)
        _type(place, environment, steps)
        found = _differences(before, place.checked(environment))
    for step in steps:
        own = ", ".join(_faults(place, step))
        if own and not _repairs(place, step):
            place.notes.append(f"step {step.id}: its solution repairs none of the step's faults ({own})")
    return found


def _repairs(place: Place, step: Step) -> bool:
    """Whether a step's solution repairs one of the step's faults in a finished environment."""
    for fault in _faults(place, step).values():
        environment = place.finished()
        place.typed_into({*fault.machines, *_machines(step)})
        place.type(environment, fault.machines, fault.script(environment.student))
        if not _passes(step, place.checked(environment, [step.id])):
            try:
                _type(place, environment, [step])
            except Untypeable:
                continue
            if _passes(step, place.checked(environment, [step.id])):
                return True
    return False


def _faults(place: Place, step: Step) -> dict[str, Mutation]:
    return {fault.id: fault for fault in faults(place.lab) if fault.step == step.id}


def _stage(place: Place, before: str, stage: str) -> list[str]:
    """From the stage before: each solution flips its step's checks, itself or together with the stage's others."""
    steps = _of_stage(place.lab, stage)
    with place.at(before) as environment:
        results = place.checked(environment)
        early = [step for step in steps if _passes(step, results)]
        found = [
            f"step {step.id} passes before any solution of its stage is typed: its checks do not notice what is missing"
            for step in early
        ]
        late: list[Step] = []  # those that do not pass right after their own solution
        for number, step in enumerate(steps):
            if step not in early and _passes(step, results) and not _waits_for(place.lab, step, steps[:number]):
                found.append(
                    f"step {step.id} passes before its own solution is typed. If an earlier step of the stage is what it "
                    "looks at, name that in its needs; else its solution changes nothing, or another one does its work"
                )
            _type(place, environment, [step])
            results = place.checked(environment, [one.id for one in steps[number : number + 2]])
            late += [] if _passes(step, results) else [step]
        end = verdict.of_stage(place.lab, stage, place.checked(environment))
        found += [f"once all solutions of the stage are typed: {said}" for said in end]
        facts = in_force(place.engine, place.lab, environment)
    found += _unlike_up(place, stage, environment, facts)
    for step in () if end else late:
        # The cheaper question first: most solutions repair the first fault of their step.
        if not _repairs(place, step) and _passes_without(place, before, steps, step):
            found.append(
                f"step {step.id}: its solution changes nothing: its checks pass without it, and it repairs no fault of its step"
            )
    return found


def _waits_for(lab: Lab, step: Step, others: Iterable[Step]) -> bool:
    """Whether the lab says that a step needs one of these others."""
    return bool(needed(step.id, lab, {}) & {other.id for other in others})


def _unlike_up(place: Place, stage: str, solved: Environment, facts: Facts) -> list[str]:
    """Where what is in force after typing differs from what `up` makes at that stage, if the lab can tell."""
    if not facts.is_known:
        return []
    with place.at(stage, like=solved) as made:
        return [
            f"unlike `up --at {stage}`: {said}" for said in in_force(place.engine, place.lab, made).differences(facts)
        ]


def _passes_without(place: Place, before: str, steps: Sequence[Step], left_out: Step) -> bool:
    """Whether a step passes although its solution was the only one of the stage that was not typed."""
    with place.at(before) as environment:
        try:
            _type(place, environment, [step for step in steps if step is not left_out])
        except Untypeable:
            return False  # another solution needs this one
        return _passes(left_out, place.checked(environment, [left_out.id]))


def _type(place: Place, environment: Environment, steps: Iterable[Step]) -> None:
    """Type the solutions of steps. Raises `Untypeable` for a line that fails."""
    lines = [line for step in steps for line in solve.lines(step, place.lab, environment)]
    for typed in solve.typed(place.engine, environment, lines, lambda line: None):
        if typed.rc:
            said = " ".join(typed.output.split())[-400:]
            line = typed.line
            raise Untypeable(
                f"step {line.step}: on {line.machine} `{line.command}` failed with status {typed.rc}: {said}"
            )


def _of_stage(lab: Lab, stage: str) -> list[Step]:
    return [step for step in lab.steps.values() if step.stage == stage and not step.is_for_a_person]


def _machines(step: Step) -> set[str]:
    return {name for action in step.solution for name in action.machines}


def _passes(step: Step, results: Iterable[CheckResult]) -> bool:
    own = [result for result in results if result.step == step.id]
    if not own:
        raise EngineError(f"Step {step.id} has no result.")
    return not verdict.open_(own)


def _differences(before: Iterable[CheckResult], after: Iterable[CheckResult]) -> list[str]:
    """The checks that say something else than before."""
    then, now = verdict.statuses(before), verdict.statuses(after)
    return [f"{name} was {then.get(name)}, and is {status}" for name, status in now.items() if then.get(name) != status]
