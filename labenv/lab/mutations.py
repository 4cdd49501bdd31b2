"""What a lab's checks are tested against: single faults that must trip them, and right variants that must not.

They are data (labs/<lab>/mutations.yaml). `labenv lab test` puts each into real machines; tools/mutations prints docs/mutations.md
from them.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from labenv.lab import templates
from labenv.lab.model import Lab, parsed
from labenv.student import Student


@dataclass(frozen=True)
class Mutation:
    """A change to a finished environment: what is typed as root on each of the `machines`, and the checks that must `trip`.

    Checks are named "17/vm2_has_a_relay_host", or "9/origin_is_the_domain@vm2" where one runs on several machines; a
    bare step number stands for any check of that step. Those of `waits` can neither pass nor fail then. A right variant trips none and says which checks `warn`. What a student
    reads about it must have each of the words in `says`, which are templates like `do`.
    """

    id: str
    title: str
    step: str
    machines: tuple[str, ...]
    do: str
    trips: tuple[str, ...]
    warns: tuple[str, ...]
    says: tuple[str, ...] = ()
    waits: tuple[str, ...] = ()

    def script(self, student: Student) -> str:
        """What is typed, for that student; the first command that fails ends it. Raises templates.Unrenderable."""
        return f"set -e\n{templates.for_student(self.do, student)}"

    def words(self, student: Student) -> tuple[str, ...]:
        """What must be read about it, for that student. Raises templates.Unrenderable."""
        return tuple(templates.for_student(text, student) for text in self.says)


def faults(lab: Lab) -> tuple[Mutation, ...]:
    """The single faults of a lab; none if it has no mutations.yaml. Raises UsageError for a file that cannot be read."""
    return _read(lab, "faults")


def variants(lab: Lab) -> tuple[Mutation, ...]:
    """The right variants of a lab, likewise."""
    return _read(lab, "variants")


def _read(lab: Lab, kind: str) -> tuple[Mutation, ...]:
    path = lab.folder / "mutations.yaml"
    return tuple(map(_mutation, _tree(path)[kind])) if path.exists() else ()


@cache
def _tree(path: Path) -> Any:
    return parsed(path)


def _mutation(entry: dict[str, Any]) -> Mutation:
    return Mutation(
        id=entry["id"],
        title=entry["title"],
        step=entry["step"],
        machines=tuple(entry["machines"]),
        do=entry["do"],
        trips=tuple(entry.get("trips", ())),
        warns=tuple(entry.get("warns", ())),
        says=tuple(entry.get("says", ())),
        waits=tuple(entry.get("waits", ())),
    )
