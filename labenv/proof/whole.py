"""What only all rows of a lab together show: a check that never fails, a step that no fault is about."""

from collections.abc import Iterable

from labenv.lab import marks, mutations
from labenv.lab.model import Lab
from labenv.proof.rows import Outcome


def never_failing(lab: Lab, outcomes: Iterable[Outcome]) -> list[str]:
    """Sentences about checks that passed everywhere: at each stage, before each solution, with each fault and drill."""
    failed = {check for one in outcomes for check in one.failed}
    return [
        f"step {step}: the check {name} never fails: it passed at every stage, before its solution and with every fault. "
        "Make it look at what the step does, or write a fault that it must notice."
        for step, name in _checks(lab)
        if f"{step}/{name}" not in failed
    ]


def without_fault(lab: Lab) -> list[str]:
    """Notes about checks that no fault names: only stages and solutions show that they can fail."""
    trips = [wanted.partition("@")[0] for fault in mutations.faults(lab) for wanted in fault.trips]
    named, steps = set(trips), {wanted for wanted in trips if "/" not in wanted}
    found: dict[str, list[str]] = {}
    for step, name in _checks(lab):
        if f"{step}/{name}" not in named and step not in steps:
            found.setdefault(step, []).append(name)
    return [f"step {step}: no fault in mutations.yaml trips {' or '.join(names)}" for step, names in found.items()]


def _checks(lab: Lab) -> list[tuple[str, str]]:
    """The checks of the steps that are not for a person, in the order of the sheet."""
    bound = marks.checks(lab.folder)
    steps = [step.id for step in lab.steps.values() if not step.is_for_a_person]
    return [(step, name) for step in steps for name in sorted(bound.get(step, ()))]
