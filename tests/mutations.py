"""Where the checks of a lab judge a mutation differently from what its row says."""

from labenv.checks.results import CheckResult
from labenv.lab.mutations import Mutation


def disagreement(mutation: Mutation, results: tuple[CheckResult, ...]) -> str:
    """Where the checks judge differently from what they must, in lines with their evidence; empty if nowhere."""
    several = {(r.step, r.check) for r in results for other in results if _differ_by_machine(r, other)}
    named = {_name(r, (r.step, r.check) in several): r for r in results}
    failed = {name for name, result in named.items() if result.status == "fail"}
    lines = [f"{wanted} did not fail" for wanted in mutation.trips if not any(_means(wanted, n) for n in failed)]
    lines += [
        f"{name} failed: {named[name].evidence}"
        for name in sorted(failed)
        if not any(_means(wanted, name) for wanted in mutation.trips)
    ]
    if not mutation.trips:
        warned = {name for name, result in named.items() if result.status == "warn"}
        lines += [f"{name} warned: {named[name].evidence}" for name in sorted(warned - set(mutation.warns))]
        lines += [f"{name} did not warn" for name in sorted(set(mutation.warns) - warned)]
    read = " ".join(result.evidence for result in results if result.status in ("fail", "warn"))
    lines += [f"nothing says {words!r}: {read}" for words in mutation.says if words not in read]
    return "\n".join(lines)


def _differ_by_machine(one: CheckResult, other: CheckResult) -> bool:
    return (one.step, one.check) == (other.step, other.check) and one.machine != other.machine


def _name(result: CheckResult, on_several: bool) -> str:
    return f"{result.step}/{result.check}" + (f"@{result.machine}" if on_several else "")


def _means(wanted: str, name: str) -> bool:
    return wanted in (name, name.partition("/")[0])
