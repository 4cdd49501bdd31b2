"""mutations.yaml, if there is one: the names in it, and whether its templates can be rendered."""

import ast
from collections import Counter, defaultdict
from contextlib import suppress
from typing import Any

from labenv.lab import marks
from labenv.lab.lint.found import Found
from labenv.lab.lint.student import STUDENT
from labenv.lab.model import Lab, parsed
from labenv.lab.positions import Place
from labenv.lab.templates import Unrenderable, for_student
from labenv.lab.topology import Topology

_FILE = "mutations.yaml"


def mutations(found: Found, lab: Lab, plan: Topology) -> None:
    """The names of steps, checks and machines, and the templates."""
    if not (lab.folder / _FILE).exists():
        return
    tree = parsed(lab.folder / _FILE)
    entries = [(kind, number, entry) for kind in ("faults", "variants") for number, entry in enumerate(tree[kind])]
    last: dict[str, Place] = {entry["id"]: [kind, number, "id"] for kind, number, entry in entries}
    for name, count in Counter(entry["id"] for _, _, entry in entries).items():
        if count > 1:
            found.add(_FILE, f"{count} mutations are called '{name}'. Give each its own name.", last[name])
    steps: list[tuple[str, Place]] = [(entry["step"], [kind, number, "step"]) for kind, number, entry in entries]
    machines: list[tuple[str, Place]] = []
    checks: dict[str, list[tuple[str, Place]]] = defaultdict(list)
    for kind, number, entry in entries:
        here: list[str | int] = [kind, number]
        machines += [(name, [*here, "machines", place]) for place, name in enumerate(entry["machines"])]
        for key in ("trips", "waits", "warns"):
            for place, check in enumerate(entry.get(key, ())):
                step, slash, _ = check.partition("/")
                steps.append((step, [*here, key, place]))
                if slash and step in lab.steps:
                    checks[step].append((check.partition("@")[0], [*here, key, place]))
        _templates(found, entry, here)
    found.unknown(_FILE, "step", steps, lab.steps)
    found.unknown(_FILE, "machine", machines, [node.name for node in plan.nodes])
    with suppress(SyntaxError, ValueError):  # a test that is not Python is said elsewhere
        known = _checks(lab)
        for step, named in checks.items():
            found.unknown(_FILE, "check", named, known[step])


def _checks(lab: Lab) -> dict[str, list[str]]:
    """The checks of each step, as "step/check"; read now, because `marks.checks` remembers what was there before."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted((lab.folder / "checks").glob("test_*.py")):
        for test, step, _ in marks.of(ast.parse(path.read_bytes(), str(path))):
            found[step].append(f"{step}/{test.removeprefix('test_')}")
    return found


def _templates(found: Found, entry: dict[str, Any], here: Place) -> None:
    texts: list[tuple[str, Place]] = [(entry["do"], [*here, "do"])]
    texts += [(text, [*here, "says", number]) for number, text in enumerate(entry.get("says", ()))]
    for text, place in texts:
        try:
            for_student(text, STUDENT)
        except Unrenderable as error:
            said = f"this template cannot be rendered: {error.words}. It can use student, domain and network."
            found.add(_FILE, said, place, text_line=error.line)
