"""Each YAML file by itself: whether it is one, and has the form of its schema."""

from collections import Counter
from pathlib import Path
from typing import Any

from labenv.errors import UsageError
from labenv.lab import positions, translation
from labenv.lab.lint.found import Found
from labenv.lab.model import parsed
from labenv.lab.schema import faults

_LARGEST = 200_000  # entries of a file, with each repetition by a reference


def form(found: Found, path: Path, schema: Any) -> None:
    """Whether a file is YAML and matches its schema."""
    try:
        tree = parsed(path)
    except UsageError as error:
        if broken := positions.fault(path):
            line, column, said = broken
            found.add_at(path.name, f"this is not valid YAML: {said}. Fix that place.", line, column)
        else:
            found.add_at(path.name, str(error), 1, 1)
        return
    twice(found, path.name)
    if _size(tree) > _LARGEST:
        found.add_at(path.name, f"its references repeat so much that it has more than {_LARGEST} entries.", 1, 1)
        return
    for place, sentence, at in faults(tree, schema):
        entry = tree["steps"][place[1]] if place[:1] == ["steps"] and len(place) > 1 else None
        step = str(entry.get("id", "")) if isinstance(entry, dict) else ""
        rest = " ".join(f"number {part + 1}" if isinstance(part, int) else part for part in place[2 if step else 0 :])
        found.add(path.name, f"{rest}: {sentence}" if rest else sentence, at, step=step)


def twice(found: Found, file: str) -> None:
    """Keys that stand in their mapping a second time, in a YAML file of the lab that can be parsed."""
    for key, line, column in found.positions(file).twice():
        found.add_at(file, f"the key '{key}' is here a second time. Remove one.", line, column)


def _size(tree: Any) -> int:
    """How many entries there are, each counted as often as it is referred to; a reference to itself makes it endless."""
    sizes: dict[int, int] = {}

    def size(node: Any) -> int:
        below = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        if not below:
            return 1
        if id(node) not in sizes:
            sizes[id(node)] = _LARGEST + 1  # for a reference to itself, until the size is known
            sizes[id(node)] = 1 + sum(map(size, below))
        return sizes[id(node)]

    return size(tree)


def names(found: Found, steps: Path) -> None:
    """Repeated ids and unknown headings, which are lost once the lab is read; what a translation has and its original has not."""
    tree = parsed(steps)
    _repeated(found, steps, tree)
    for number, entry in enumerate(tree["steps"]):
        place: list[str | int] = ["steps", number, "heading"]
        found.unknown(steps.name, "heading", [(entry["heading"], place)], tree["headings"], step=entry["id"])
    originals = {entry["id"]: entry for entry in tree["steps"]}
    for path in translation.files(steps).values():
        texts = parsed(path)
        _repeated(found, path, texts)
        named = [(name, ["headings", name]) for name in texts.get("headings", {})]
        found.unknown(path.name, "heading", named, tree["headings"])
        for number, entry in enumerate(texts["steps"]):
            here: list[str | int] = ["steps", number]
            if entry["id"] not in originals:
                found.add(path.name, f"{steps.name} has no such step. Remove it here.", here, step=entry["id"])
            for key in translation.STEP:
                if key in entry and key not in originals.get(entry["id"], entry):
                    said = f"this step has no '{key}' in {steps.name}. Remove it here."
                    found.add(path.name, said, [*here, key], step=entry["id"])


def _repeated(found: Found, path: Path, tree: Any) -> None:
    ids = [entry["id"] for entry in tree["steps"]]
    for name, count in Counter(ids).items():
        if count > 1:
            last = len(ids) - 1 - ids[::-1].index(name)
            found.add(path.name, f"{count} steps have this id. Give each its own.", ["steps", last, "id"], step=name)
