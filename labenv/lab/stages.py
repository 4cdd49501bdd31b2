"""What a lab's files say about stages that it does not have."""

from collections.abc import Iterator
from dataclasses import dataclass

from labenv.errors import UsageError
from labenv.lab.model import Lab, parsed
from labenv.lab.positions import Place, Positions


@dataclass(frozen=True)
class Named:
    """A stage that a file names at a place, perhaps for a step."""

    file: str
    place: Place
    stage: str
    step: str = ""


def check(lab: Lab) -> None:
    """Raise UsageError, with the place, for the first stage that a file names and the lab does not have.

    Else that would be found when half of an environment is made.
    """
    there = [stage.id for stage in lab.stages]
    for named in everywhere(lab):
        if named.stage not in there:
            path = lab.folder / named.file
            line, column = Positions(path).of(named.place)
            step = f"step {named.step}: " if named.step else ""
            raise UsageError(
                f"{path}:{line}:{column}: {step}the stage '{named.stage}' is unknown. The stages are: {', '.join(there)}. "
                f"To see all errors: labenv lab lint {lab.folder}"
            )


def everywhere(lab: Lab) -> Iterator[Named]:
    """Every stage that lab.yaml and steps.yaml name, in their order. Raises UsageError for a file that is not valid."""
    tree = parsed(lab.folder / "lab.yaml")
    for part in ("files", "images"):
        for machine, entries in tree.get(part, {}).items():
            for number, entry in enumerate(entries):
                for key in ("since", "until"):
                    if key in entry:
                        yield Named("lab.yaml", [part, machine, number, key], entry[key])
    for number, entry in enumerate(tree.get("answers", ())):
        if "since" in entry:
            yield Named("lab.yaml", ["answers", number, "since"], entry["since"])
    for number, step in enumerate(lab.steps.values()):
        yield Named("steps.yaml", ["steps", number, "stage"], step.stage, step.id)
