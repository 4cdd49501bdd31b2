"""handin.yaml, if the lab has one: the machines, the step and the regular expressions in it."""

import re

from labenv.lab.lint.found import Found
from labenv.lab.model import Lab, parsed
from labenv.lab.positions import Place
from labenv.lab.topology import Topology

FILE = "handin.yaml"


def handin(found: Found, lab: Lab, plan: Topology) -> None:
    """What the file names, and whether its expressions can be used."""
    if not (path := lab.folder / FILE).exists():
        return
    tree = parsed(path)
    machines: list[tuple[str, Place]] = [(name, ["machines", i]) for i, name in enumerate(tree.get("machines", ()))]
    machines += [(name, ["files", name]) for name in tree.get("files", {})]
    machines += [(name, ["replay", key, name]) for key, those in tree.get("replay", {}).items() for name in those]
    for i, entry in enumerate(tree.get("evidence", ())):
        machines += [(name, ["evidence", i, "machines", j]) for j, name in enumerate(entry.get("machines", ()))]
    found.unknown(FILE, "machine", machines, [node.name for node in plan.nodes])
    if "step" in tree:
        found.unknown(FILE, "step", [(tree["step"], ["step"])], lab.steps)
    for i, entry in enumerate(tree.get("ids", ())):
        for key, groups in (("logged", 1), ("quoted", 0)):
            try:
                has = re.compile(entry[key]).groups
            except re.error as error:
                found.add(FILE, f"this is no regular expression: {error}. Fix it.", ["ids", i, key])
                continue
            if has != groups:
                said = f"this expression has {has} groups (…), and needs {groups}: (?:…) groups without counting."
                found.add(FILE, said, ["ids", i, key])
