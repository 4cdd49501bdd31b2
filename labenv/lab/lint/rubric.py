"""A rubric: the names of steps and stages in it, and whether points go where they are meant to."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from labenv.lab.lint.found import Found
from labenv.lab.model import Lab, parsed
from labenv.lab.positions import Place

FILE = "rubric.yaml"


def rubric(found: Found, path: Path, lab: Lab) -> None:
    """What a rubric that has the form of its schema names."""
    tree = parsed(path) or {}
    file = path.name
    for place in _not_numbers(tree, []):
        found.add(file, "this is no number. Write one, such as 2 or 0.5.", place)
    points = tree.get("points", {})
    own = {str(name) for name in points.get("steps", {})}  # YAML reads 17 without quotes as a number
    steps: list[tuple[str, Place]] = [(name, ["points", "steps", name]) for name in own]
    persons = [(str(name), ["persons", "steps", str(name)]) for name in tree.get("persons", {}).get("steps", {})]
    for number, entry in enumerate(tree.get("deductions", ())):
        here: list[str | int] = ["deductions", number, "if", "steps"]
        steps += [(name, [*here, place]) for place, name in enumerate(entry["if"].get("steps", ()))]
        if "steps" in entry["if"] and "hints more than" not in entry["if"]:
            found.add(file, "`steps` belongs to `hints more than`. Remove it here.", here)
    stages = [(name, ["points", "stages", name]) for name in points.get("stages", {})]
    found.unknown(file, "step", [*steps, *persons], lab.steps)
    found.unknown(file, "stage", stages, [stage.id for stage in lab.stages])
    for name, place in persons:
        if name in lab.steps and not lab.steps[name].is_for_a_person:
            said = "a check judges this step, so nobody needs to say so. Remove it here."
            found.add(file, said, place, step=name)
    for name, place in stages:
        there = [s for s in lab.steps.values() if s.stage == name and not s.is_for_a_person]
        if name in {stage.id for stage in lab.stages} and all(s.id in own for s in there):
            said = "no step of this stage is left to share its points. Remove it, or the points of a step."
            found.add(file, said, place)


def _not_numbers(tree: Any, place: list[str | int]) -> Iterator[Place]:
    """Where YAML's `.nan` stands: it is a number for a schema, and greater or less than none."""
    if isinstance(tree, float) and math.isnan(tree):
        yield place
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in pairs:
        yield from _not_numbers(value, [*place, key])
