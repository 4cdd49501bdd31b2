"""What a lab's checks are held against: single faults that must trip them, and right variants that must not.

They are data (labs/<lab>/mutations.yaml). tests/e2e/test_mutations.py puts each into real machines; `python -m
labenv.mutations` prints the table that docs/mutations.md holds.
"""

import sys
from dataclasses import dataclass
from typing import Any

from labenv import lab as labs
from labenv import resources
from labenv.checks.results import CheckResult
from labenv.lab import Lab
from labenv.student import Student


@dataclass(frozen=True)
class Mutation:
    """A change to a finished environment: what is typed as root on each of the `machines`, and the checks that must `trip`.

    Checks are named "17/vm2_has_a_relay_host", or "9/origin_is_the_domain@vm2" where one runs on several machines; a
    bare step number stands for any check of that step. A right variant trips none and says which checks `warn`.
    """

    id: str
    title: str
    step: str
    machines: tuple[str, ...]
    do: str
    trips: tuple[str, ...]
    warns: tuple[str, ...]

    def script(self, student: Student) -> str:
        """What is typed, for that student; the first command that fails ends it."""
        import jinja2

        context = {"student": student, "domain": student.domain, "network": student.prefix}
        text: str = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(self.do).render(context)
        return f"set -e\n{text}"

    def disagreement(self, results: tuple[CheckResult, ...]) -> str:
        """Where the checks judge otherwise than they must, in lines with their evidence; empty if nowhere."""
        several = {(r.step, r.check) for r in results for other in results if _differ_by_machine(r, other)}
        named = {_name(r, (r.step, r.check) in several): r for r in results}
        failed = {name for name, result in named.items() if result.status == "fail"}
        lines = [f"{wanted} did not fail" for wanted in self.trips if not any(_means(wanted, n) for n in failed)]
        lines += [
            f"{name} failed: {named[name].evidence}"
            for name in sorted(failed)
            if not any(_means(wanted, name) for wanted in self.trips)
        ]
        if not self.trips:
            warned = {name for name, result in named.items() if result.status == "warn"}
            lines += [f"{name} warned: {named[name].evidence}" for name in sorted(warned - set(self.warns))]
            lines += [f"{name} did not warn" for name in sorted(set(self.warns) - warned)]
        return "\n".join(lines)


def faults(lab: Lab) -> tuple[Mutation, ...]:
    """The single faults of a lab."""
    return _read(lab, "faults")


def variants(lab: Lab) -> tuple[Mutation, ...]:
    """The right variants of a lab."""
    return _read(lab, "variants")


def markdown(lab: Lab) -> str:
    """The page that tells what the checks refuse and what they accept."""
    wrong, right = faults(lab), variants(lab)
    lines = [
        f"# What the checks of {lab.id} refuse, and what they accept",
        "",
        f"Made by `python -m labenv.mutations {lab.id}` from labenv/labs/{lab.id}/mutations.yaml, which also has the commands.",
        "tests/e2e/test_mutations.py puts each line into a finished environment of its own and runs all checks.",
        "",
        f"## {len(wrong)} single faults",
        "",
        "The checks named fail. Those that wait for them are skipped; all others pass.",
        "",
        "| Step | Fault | On | Fails |",
        "| --- | --- | --- | --- |",
        *(f"| {m.step} | {m.title} | {', '.join(m.machines)} | {', '.join(m.trips)} |" for m in wrong),
        "",
        f"## {len(right)} right variants",
        "",
        "No check fails. Some say that the course's own marker looks for it elsewhere.",
        "",
        "| Step | Variant | On | With a note by |",
        "| --- | --- | --- | --- |",
        *(f"| {m.step} | {m.title} | {', '.join(m.machines)} | {', '.join(m.warns)} |" for m in right),
    ]
    return "\n".join(lines) + "\n"


def _read(lab: Lab, kind: str) -> tuple[Mutation, ...]:
    tree = resources.read_yaml(lab.folder / "mutations.yaml")
    return tuple(map(_mutation, tree[kind]))


def _mutation(entry: dict[str, Any]) -> Mutation:
    return Mutation(
        id=entry["id"],
        title=entry["title"],
        step=entry["step"],
        machines=tuple(entry["machines"]),
        do=entry["do"],
        trips=tuple(entry.get("trips", ())),
        warns=tuple(entry.get("warns", ())),
    )


def _differ_by_machine(one: CheckResult, other: CheckResult) -> bool:
    return (one.step, one.check) == (other.step, other.check) and one.machine != other.machine


def _name(result: CheckResult, on_several: bool) -> str:
    return f"{result.step}/{result.check}" + (f"@{result.machine}" if on_several else "")


def _means(wanted: str, name: str) -> bool:
    return wanted in (name, name.partition("/")[0])


if __name__ == "__main__":
    sys.stdout.write(markdown(labs.load(sys.argv[1] if len(sys.argv) > 1 else labs.names()[0])))
