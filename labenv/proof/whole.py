"""What only all rows of a lab together show: a check that never fails, a step that no fault is about."""

from collections.abc import Iterable

from labenv.lab import marks, mutations
from labenv.lab.model import Lab
from labenv.proof.rows import Outcome


def never_failing(lab: Lab, outcomes: Iterable[Outcome]) -> list[str]:
    """Sentences about checks that passed everywhere: at each stage, before each solution, with each fault and drill.

    One that no fault must trip is of use if it warns in a variant.
    """
    failed = {check for one in outcomes for check in one.failed}
    warns = _warned(lab)
    return [
        f"step {step}: the check {name} never fails: it passed at every stage, before its solution and with every fault. "
        "Make it look at what the step does, or write a fault that it must notice (a variant, if it only warns)."
        for step, name in _checks(lab)
        if f"{step}/{name}" not in failed and (_is_tripped(lab, step, name) or f"{step}/{name}" not in warns)
    ]


def without_fault(lab: Lab) -> list[str]:
    """Notes about checks that no fault names, nor a variant: only stages and solutions show that they can fail."""
    warns = _warned(lab)
    found: dict[str, list[str]] = {}
    for step, name in _checks(lab):
        if not _is_tripped(lab, step, name) and f"{step}/{name}" not in warns:
            found.setdefault(step, []).append(name)
    return [f"step {step}: no fault in mutations.yaml trips {' or '.join(names)}" for step, names in found.items()]


def _is_tripped(lab: Lab, step: str, check: str) -> bool:
    """Whether a fault says that it trips a check."""
    trips = {wanted.partition("@")[0] for fault in mutations.faults(lab) for wanted in fault.trips}
    return bool({step, f"{step}/{check}"} & trips)


def _warned(lab: Lab) -> set[str]:
    """The checks that a variant says to warn."""
    return {wanted.partition("@")[0] for variant in mutations.variants(lab) for wanted in variant.warns}


def _checks(lab: Lab) -> list[tuple[str, str]]:
    """The checks of the steps that are not for a person, in the order of the sheet."""
    bound = marks.checks(lab.folder)
    steps = [step.id for step in lab.steps.values() if not step.is_for_a_person]
    return [(step, name) for step in steps for name in sorted(bound.get(step, ()))]
