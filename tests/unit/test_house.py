"""The rules of the house that a tool can check (docs/contributor.md); import-linter checks the layers, in `make lint`."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from labenv.cli.app import CHAPTERS

HOUSE = Path(__file__).parents[2] / "labenv"
# pytest loads the checks of the labs; the commands are loaded when they are called.
CORE = [path for path in sorted(HOUSE.rglob("*.py")) if not {"labs", "cli"} & set(path.relative_to(HOUSE).parts)]


def imports(path: Path) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """The imports of a module that are executed, and whether each is inside a function."""
    tree = ast.parse(path.read_text())
    inside = {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for n in ast.walk(f)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node, id(node) in inside


def test_the_ground_floor_is_small() -> None:
    assert len(list(HOUSE.glob("*.py"))) <= 14


def test_one_guard_takes_the_lock() -> None:
    taken = re.compile(r"from labenv\.environments\.lock import .*\b(locked|student_lock)\b")
    users = [path.relative_to(HOUSE).as_posix() for path in HOUSE.rglob("*.py") if taken.search(path.read_text())]
    assert users == ["environments/changing.py"]


def test_all_containers_get_their_settings_at_one_place() -> None:
    users = [
        path.relative_to(HOUSE).as_posix() for path in HOUSE.rglob("*.py") if "create_host_config(" in path.read_text()
    ]
    assert users == ["engine/__init__.py"]


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.relative_to(HOUSE).as_posix())
def test_an_import_inside_a_function_has_a_reason_beside_it(path: Path) -> None:
    lines = path.read_text().splitlines()
    for node, inside in imports(path):
        if inside:
            near = lines[max(node.lineno - 3, 0) : node.end_lineno]
            assert any("#" in line for line in near), f"{path}:{node.lineno}: say why it is imported so late"


def test_a_commands_name_is_its_modules_name() -> None:
    for name, place in (pair for chapter in CHAPTERS.values() for pair in chapter.items()):
        assert re.sub(r"_$", "", place.partition(".")[0]) == name


def test_bytes_from_elsewhere_become_text_at_one_door() -> None:
    doors = {"text.py", "environments/history/repository.py"}  # git's output is cleaned once it is taken apart
    loose = re.compile(r"\.decode\([^)]*(errors|replace)")
    users = {path.relative_to(HOUSE).as_posix() for path in HOUSE.rglob("*.py") if loose.search(path.read_text())}
    assert users == doors


def test_files_are_utf_8_whatever_the_users_locale() -> None:
    loose = re.compile(r"(?<!common)\.(read|write)_text\((?!.*encoding=)")
    found = [
        f"{path}: {line.strip()}"
        for path in HOUSE.rglob("*.py")
        for line in path.read_text("utf-8").splitlines()
        if loose.search(line)
    ]
    assert not [line for line in found if "def write_text" not in line]


# What only a lab or its kit knows: machines, servers, a lab's name. Comments, docstrings and help may give examples.
OF_A_LAB = re.compile(r"\bvm\d|postfix|dovecot|\blab\d", re.IGNORECASE)
KITS = {path.parent.name for path in HOUSE.glob("*/kit.py")}


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in sorted(HOUSE.rglob("*"))
        if path.suffix in (".py", ".pl", ".sh", ".nft", ".j2")
        and not {"labs", *KITS} & set(path.relative_to(HOUSE).parts)
    ],
    ids=lambda path: path.relative_to(HOUSE).as_posix(),
)
def test_the_core_knows_no_lab(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        nodes = list(ast.walk(ast.parse(text)))
        docs = {id(node.value) for node in nodes if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)}
        words = [str(node.value) for node in nodes if isinstance(node, ast.Constant) and id(node) not in docs]
        words += [node.id for node in nodes if isinstance(node, ast.Name)]
    else:
        words = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    assert [word for word in words if OF_A_LAB.search(word)] == []


def test_the_help_loads_no_command_of_a_class() -> None:
    script = "import sys; from labenv.cli.app import app; app(['--help'], standalone_mode=False); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True)
    assert "Many students: from the roster" in done.stdout
    loaded = done.stderr.split()
    assert "labenv.cli.class_" in loaded
    assert not [name for name in loaded if name.startswith("labenv.cli.class_.")]
