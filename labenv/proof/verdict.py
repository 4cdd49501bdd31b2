"""Where checks judge differently from what a lab says: sentences about their results."""

from collections import defaultdict
from collections.abc import Iterable

from labenv.checks.results import WAITS, CheckResult
from labenv.lab.model import Lab
from labenv.lab.mutations import Mutation


def of_mutation(mutation: Mutation, results: tuple[CheckResult, ...]) -> list[str]:
    """Where the checks judge a fault or a variant differently from what its entry says, with their evidence."""
    several = {(r.step, r.check) for r in results for other in results if _differ_by_machine(r, other)}
    named = {_name(r, (r.step, r.check) in several): r for r in results}
    failed = {name for name, result in named.items() if result.status == "fail"}
    found = [f"{wanted} did not fail" for wanted in mutation.trips if not any(_means(wanted, n) for n in failed)]
    found += [
        f"{name} failed: {named[name].evidence}"
        for name in sorted(failed)
        if not any(_means(wanted, name) for wanted in mutation.trips)
    ]
    waiting = {name for name, result in named.items() if result.status == "skip"}
    found += [f"{name} did not wait" for name in mutation.waits if not any(_means(name, each) for each in waiting)]
    if not mutation.trips:
        warned = {name for name, result in named.items() if result.status == "warn"}
        found += [f"{name} warned: {named[name].evidence}" for name in sorted(warned - set(mutation.warns))]
        found += [f"{name} did not warn" for name in sorted(set(mutation.warns) - warned)]
    read = " ".join(result.evidence for result in results if result.status in ("fail", "warn"))
    return found + [f"nothing says {words!r}: {read}" for words in mutation.says if words not in read]


def of_stage(lab: Lab, stage: str, results: tuple[CheckResult, ...]) -> list[str]:
    """Where the checks judge an environment at a stage differently from what the stages of the steps say.

    Exactly the steps of later stages do not pass: a check of theirs fails, or waits for a step that fails itself. What is
    for a person passes, or is left to the person. Each result has evidence.
    """
    steps: dict[str, list[CheckResult]] = defaultdict(list)
    for result in results:
        steps[result.step].append(result)
    failing = {name for name, there in steps.items() if any(result.status == "fail" for result in there)}
    found = [f"step {name} has no result" for name in lab.steps if name not in steps]
    for name, step in lab.steps.items():
        there = steps[name]
        if step.is_for_a_person:
            wrong = [result for result in there if result.status not in ("pass", "skip")]
            found += [f"{_told(result)}, but only a person can judge this step" for result in wrong]
        elif lab.reached(step.stage, stage):
            wrong = [result for result in there if result.status in ("fail", "skip")]
            found += [f"{_told(result)}, but stage {stage} has step {name}" for result in wrong]
        elif there and all(result.status in ("pass", "warn") for result in there):
            open_needs = [need for need in step.needs if need in failing]
            found.append(
                f"step {name} passes already, but it belongs to the later stage {step.stage}{_not_yet(open_needs)}"
            )
        elif name not in failing:
            found += [
                f"{_told(result)}, and that step does not fail itself"
                for result in there
                if result.status == "skip" and _awaited(result) not in failing
            ]
    return found + untold(results)


def _not_yet(needs: list[str]) -> str:
    """What to do about a step that passes although steps that it needs fail: what is not set up does not let anybody in, either."""
    if not needs:
        return ""
    return (
        f", and step {needs[0]}, which it needs, fails. Does a check of it see that something is not possible? "
        f'While nothing is, it must wait: raise Waits("{needs[0]}")'
    )


def untold(results: Iterable[CheckResult]) -> list[str]:
    """Checks that crashed, or say nothing about what they saw."""
    found = []
    for result in results:
        if not result.evidence:
            found.append(f"{_name(result, True)} says nothing about what it saw")
        elif "Traceback" in result.evidence or "The check itself" in result.evidence:
            found.append(f"{_name(result, True)} crashed: {result.evidence}")
    return found


def failures(results: Iterable[CheckResult]) -> list[str]:
    """The checks that fail, with their evidence."""
    return [_told(result) for result in results if result.status == "fail"]


def open_(results: Iterable[CheckResult]) -> list[CheckResult]:
    """Those of the results that fail or wait, without what is left to a person."""
    return [r for r in results if r.status == "fail" or (r.status == "skip" and r.evidence.startswith(WAITS))]


def names(results: Iterable[CheckResult]) -> set[str]:
    """The results' checks, as "step/check"."""
    return {f"{result.step}/{result.check}" for result in results}


def statuses(results: Iterable[CheckResult]) -> dict[str, str]:
    """What each check says, by its name and machine."""
    return {_name(result, True): result.status for result in results}


def _told(result: CheckResult) -> str:
    word = "waits" if result.status == "skip" else f"{result.status}s"
    return f"{_name(result, True)} {word} ({result.evidence})"


def _awaited(result: CheckResult) -> str:
    return result.evidence.removeprefix(WAITS).partition(":")[0]


def _differ_by_machine(one: CheckResult, other: CheckResult) -> bool:
    return (one.step, one.check) == (other.step, other.check) and one.machine != other.machine


def _name(result: CheckResult, on_several: bool) -> str:
    return f"{result.step}/{result.check}" + (f"@{result.machine}" if on_several else "")


def _means(wanted: str, name: str) -> bool:
    return wanted in (name, name.partition("/")[0])
