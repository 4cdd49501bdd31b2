"""steps.yaml: what its steps name, whether solutions can be typed, what hints say, and in which languages."""

import re
from collections.abc import Mapping

from labenv.lab import translation
from labenv.lab.lint.found import Found
from labenv.lab.lint.student import STUDENT
from labenv.lab.model import Action, Lab, Step, read
from labenv.lab.positions import Place
from labenv.lab.solution import commands
from labenv.lab.templates import Unrenderable
from labenv.lab.topology import Node, Topology

_FILE = "steps.yaml"


def steps(found: Found, lab: Lab, plan: Topology) -> None:
    """Machines that the steps name, and whether their solutions can be typed and no hint gives them away."""
    nodes = {node.name: node for node in plan.nodes}
    spoken = _spoken(lab)
    for number, step in enumerate(lab.steps.values()):
        here: list[str | int] = ["steps", number]
        hints = {file: translated.steps[step.id].hints for file, translated in spoken.items()}
        named: list[tuple[str, Place]] = [(m, [*here, "machines", place]) for place, m in enumerate(step.machines)]
        for part, action in enumerate(step.solution):
            named += [(m, [*here, "solution", part, "machines", place]) for place, m in enumerate(action.machines)]
        found.unknown(_FILE, "machine", named, nodes, step=step.id)
        for part, action in enumerate(step.solution):
            for name in action.machines:
                if name in nodes:
                    _solution(found, lab, step, action, nodes[name], plan, hints, [*here, "solution", part, "type"])


def _solution(
    found: Found,
    lab: Lab,
    step: Step,
    action: Action,
    node: Node,
    plan: Topology,
    hints: Mapping[str, tuple[str, ...]],
    here: Place,
) -> None:
    try:
        typed = commands(action, lab, STUDENT, node, plan.nodes)
    except Unrenderable as error:
        said = (
            f"its solution cannot be rendered: {error.words}. It can use: student, network, machine, machines, reached."
        )
        found.add(_FILE, said, here, step=step.id, text_line=error.line)
        return
    if not typed:
        said = f"its solution types nothing on {node.name}. Write one command per line."
        found.add(_FILE, said, here, step=step.id)
    # A word such as `ls` is fine; a whole command, or what is in quotes in one, is the answer.
    answers = [part for line in typed for part in (line, *re.findall(r"'([^']+)'", line)) if " " in part]
    for file, sentences in hints.items():
        for number, hint in enumerate(sentences):
            for told in answers:
                if told in hint:
                    said = f"hint {number + 1} gives the answer away: {told}. Describe it in words."
                    place = [*here[:2], "hints", number] if file == _FILE else []
                    found.add(file, said, place, step=step.id)


def _spoken(lab: Lab) -> dict[str, Lab]:
    """The lab as it is and in each language that its steps are translated into, by the file that the texts are from."""
    translations = translation.files(lab.folder / _FILE)
    return {_FILE: lab} | {path.name: read(lab.folder, (name,)) for name, path in translations.items()}


def languages(found: Found, lab: Lab) -> None:
    """Whether the names of translations are those of languages."""
    for language, path in translation.files(lab.folder / _FILE).items():
        if not translation.is_language(language):
            found.add(path.name, translation.no_language(language, "steps"))


def needs(found: Found, lab: Lab) -> None:
    """What the steps wait for: it must exist, and pass at their stage."""
    told: set[str] = set()
    for number, step in enumerate(lab.steps.values()):
        here: list[str | int] = ["steps", number, "needs"]
        named: list[tuple[str, Place]] = [(name, [*here, place]) for place, name in enumerate(step.needs)]
        found.unknown(_FILE, "step", named, lab.steps, step=step.id)
        circle = _circle(lab, step.id)
        if circle and not told & set(circle):
            told |= set(circle)
            said = f"it waits for itself, through {', '.join(circle)}. Remove one of these needs."
            found.add(_FILE, said, here, step=step.id)
        for name, place in named:
            needed = lab.steps.get(name)
            if needed and not lab.reached(needed.stage, step.stage):
                said = f"it needs step {name}, which passes only from stage {needed.stage} on. Need an earlier one."
                found.add(_FILE, said, place, step=step.id)


def too_early(found: Found, lab: Lab, plan: Topology) -> None:
    """Steps on machines that exist only from a later stage on."""
    late = {node.name: node.since for node in plan.nodes if node.since}
    for number, step in enumerate(lab.steps.values()):
        named = [*step.machines, *(name for action in step.solution for name in action.machines)]
        for name in dict.fromkeys(name for name in named if name in late):
            if not lab.reached(late[name], step.stage):
                said = f"{name} exists only from stage {late[name]} on. Move the step to that stage, or to a later one."
                found.add(_FILE, said, ["steps", number, "stage"], step=step.id)


def _circle(lab: Lab, start: str) -> list[str]:
    """The steps on a path of needs from a step back to itself, beginning with it; none if there is no such path."""
    ways = [[start]]
    seen: set[str] = set()
    for way in ways:
        for name in lab.steps[way[-1]].needs:
            if name == start:
                return way
            if name in lab.steps and name not in seen:
                seen.add(name)
                ways.append([*way, name])
    return []
