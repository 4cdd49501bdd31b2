"""What is in force on the machines of an environment, as a lab's own script tells it: to compare two environments.

A lab may have a file in-force.sh: a template like a solution's, which root runs on each machine. Each line that it prints is a fact.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from labenv.engine import Engine
from labenv.environment import Environment
from labenv.lab import templates
from labenv.lab.model import Lab
from labenv.proof.place import Untypeable

FILE = "in-force.sh"
_PATIENCE = 60
_SHOWN = 5  # differences on a machine


@dataclass(frozen=True)
class Facts:
    """The lines of each machine, in order of the alphabet. Without a script nothing is known."""

    of: Mapping[str, tuple[str, ...]]

    @property
    def is_known(self) -> bool:
        """Whether the lab has a script."""
        return bool(self.of)

    def differences(self, other: "Facts") -> list[str]:
        """Sentences about what this one has and the other has not, and the other way round."""
        found = []
        for machine, lines in self.of.items():
            there = other.of.get(machine, ())
            sides = (("is missing", set(lines) - set(there)), ("is too much", set(there) - set(lines)))
            told = [f"on {machine} {word}: {line}" for word, which in sides for line in sorted(which)]
            more = len(told) - _SHOWN
            found += told[:_SHOWN] + ([f"on {machine} {more} more lines differ"] if more > 0 else [])
            if not told and lines != there:
                found.append(f"on {machine} some lines are there more often than in the other")
        return found


def in_force(engine: Engine, lab: Lab, environment: Environment) -> Facts:
    """What the lab's script prints on each machine. Raises `Untypeable` if it fails or prints nothing, EngineError."""
    file = lab.folder / FILE
    if not file.exists():
        return Facts({})
    found = {}
    for machine in environment.regular:
        script = templates.for_student(file.read_text(encoding="utf-8"), environment.student, machine=machine)
        with engine.shell(machine) as shell:
            done = shell.run(script, timeout=_PATIENCE)
        if done.rc or not done.text.strip():
            raise Untypeable(f"{FILE} failed on {machine.name} (status {done.rc}): {done.complaint or 'no output'}")
        found[machine.name] = tuple(sorted(" ".join(line.split()) for line in done.text.splitlines()))
    return Facts(found)
