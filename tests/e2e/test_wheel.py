"""A wheel of the tree works anywhere: code, images, topologies and labs are in it."""

import json
import os
import runpy
import site
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from labenv.engine.images import usual, wanted
from tests.e2e.conftest import Cli

TREE = Path(__file__).parents[2]
Run = Callable[..., str]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs the command line of the wheel, in a Python of its own and from another folder; returns its output."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", f"--wheel-dir={folder}", str(TREE)], check=True)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv")
    python = str(folder / "venv/bin/python")
    # The dependencies are this Python's; its own labenv comes after the wheel's, if at all.
    ours = sysconfig.get_path("purelib", "venv", vars={"base": str(folder / "venv")})
    Path(ours, "dependencies.pth").write_text("\n".join(site.getsitepackages()))
    subprocess.run([*pip, f"--python={python}", "install", "--no-deps", str(wheel)], check=True)

    def run(*arguments: str) -> str:
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        command = [str(folder / "venv/bin/labenv"), *arguments]
        done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"labenv {' '.join(arguments)} → {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    where = subprocess.run(
        [python, "-c", "import labenv; print(labenv.__file__)"], cwd=folder, capture_output=True, text=True, check=True
    )
    assert where.stdout.startswith(ours), "the wheel's labenv is the one that runs"
    return run


def test_it_says_its_version(installed: Run) -> None:
    built = runpy.run_path(str(TREE / "labenv/_version.py"))["__version__"]  # building it has written it again
    assert installed("--version") == f"labenv {built}\n"


def test_its_images_are_those_of_the_tree(cli: Cli, installed: Run) -> None:
    document = json.loads(installed("images", "list", "--json"))
    assert {i["tag"] for i in document["images"] if i["current"]} >= {wanted()[name].tag for name in usual()}
    assert document["missing"] == []


def test_it_renders_what_the_tree_renders(cli: Cli, installed: Run, student: str, tmp_path: Path) -> None:
    installed("render", str(tmp_path / "wheel"), "-s", student)
    cli("render", str(tmp_path / "tree"), "-s", student)
    names = {
        folder: {str(p.relative_to(tmp_path / folder)) for p in (tmp_path / folder).rglob("*")}
        for folder in ("wheel", "tree")
    }
    assert names["wheel"] == names["tree"]
    assert "host/etc/named.conf" in names["wheel"]


def test_it_brings_a_lab_up_and_down(cli: Cli, installed: Run, student: str) -> None:
    assert json.loads(installed("up", student, "--at", "lab4a", "--no-check", "--json"))["stage"] == "lab4a"
    assert cli.json("status", "-s", student)["environments"][0]["stage"] == "lab4a"
    installed("down", "-s", student)
    assert cli.json("status", "-s", student)["environments"] == []
