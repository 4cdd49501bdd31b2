"""The machines that the checks ask for by name, which the lab's conftest.py must make fixtures of."""

import ast
from collections.abc import Iterator
from pathlib import Path

from labenv.lab.lint.found import Found
from labenv.lab.model import Lab
from labenv.lab.topology import Topology

_MAKER = "machine_fixture"


def fixtures(found: Found, lab: Lab, plan: Topology) -> None:
    """Note each machine that a test asks for and that neither its module nor conftest.py has under that name."""
    folder = lab.folder / "checks"
    shared = _tree(folder / "conftest.py")
    everywhere = set(_bound(shared)) if shared else set()
    if shared and (_is_computed(shared) or "*" in everywhere):
        return
    machines = {node.name for node in plan.nodes}
    for path in sorted(folder.glob("test_*.py")):
        if not (tree := _tree(path)):
            continue  # reported already
        missing = machines - everywhere - set(_bound(tree))
        for test in tree.body:
            if isinstance(test, ast.FunctionDef) and test.name.startswith("test_"):
                for argument in test.args.args:
                    if argument.arg in missing:
                        missing.remove(argument.arg)
                        said = f'checks/conftest.py has no {argument.arg} = {_MAKER}("{argument.arg}"). Add it.'
                        found.add_at(f"checks/{path.name}", said, argument.lineno, argument.col_offset + 1)


def _tree(path: Path) -> ast.Module | None:
    try:
        return ast.parse(path.read_bytes(), str(path))
    except (OSError, SyntaxError, ValueError):
        return None


def _is_computed(tree: ast.Module) -> bool:
    """Whether machines are named there by something that only running it would show."""
    return any(
        isinstance(node, ast.Call)
        and getattr(node.func, "id", getattr(node.func, "attr", "")) == _MAKER
        and not all(isinstance(word, ast.Constant) for word in node.args)
        for node in ast.walk(tree)
    )


def _bound(tree: ast.Module) -> Iterator[str]:
    """The names that a module has, and those that it gives to machines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.alias):
            yield node.asname or node.name
        elif isinstance(node, ast.Call):
            yield from (
                word.value for word in node.args if isinstance(word, ast.Constant) and isinstance(word.value, str)
            )
