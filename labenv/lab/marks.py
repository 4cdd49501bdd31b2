"""Which checks a lab has, read from its tests without running them."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path


@cache
def checks(folder: Path) -> dict[str, frozenset[str]]:
    """The names of the checks of each step of the lab in a folder, as results name them.

    Raises SyntaxError for a test that is not Python.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for path in sorted((folder / "checks").glob("test_*.py")):
        for test, step, _ in of(ast.parse(path.read_bytes(), str(path))):
            found[step].add(test.removeprefix("test_"))
    return {step: frozenset(names) for step, names in found.items()}


def of(tree: ast.Module) -> Iterator[tuple[str, str, list[str]]]:
    """The name, the step and the machines of each marked test of a module."""
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for test in (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")):
        for mark in (node for node in test.decorator_list if isinstance(node, ast.Call)):
            if getattr(mark.func, "id", getattr(mark.func, "attr", "")) == "step" and mark.args:
                values = [keyword.value for keyword in mark.keywords if keyword.arg == "machine"]
                values = [constants.get(value.id, value) if isinstance(value, ast.Name) else value for value in values]
                words = [n.value for value in values for n in ast.walk(value) if isinstance(n, ast.Constant)]
                yield test.name, str(getattr(mark.args[0], "value", "")), [str(word) for word in words]
