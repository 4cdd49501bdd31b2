"""A wheel of the tree works anywhere: code, images, topologies and labs are in it."""

import json
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

from labenv.engine.image_sources import usual, wanted
from tests.e2e import wheels
from tests.e2e.conftest import Cli


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Runs the command line of the wheel, in a Python of its own and from another folder; returns its output."""
    run = wheels.installed(tmp_path_factory.mktemp("wheel"))
    return lambda *arguments: run(*arguments).stdout


def test_it_says_its_version(installed: Callable[..., str]) -> None:
    built = runpy.run_path(str(wheels.TREE / "labenv/_version.py"))["__version__"]  # building it has written it again
    assert installed("--version") == f"labenv {built}\n"


def test_its_images_are_those_of_the_tree(cli: Cli, installed: Callable[..., str]) -> None:
    document = json.loads(installed("images", "list", "--json"))
    assert {i["tag"] for i in document["images"] if i["current"]} >= {wanted()[name].tag for name in usual()}
    assert document["missing"] == []


def test_it_renders_what_the_tree_renders(
    cli: Cli, installed: Callable[..., str], student: str, tmp_path: Path
) -> None:
    installed("render", str(tmp_path / "wheel"), "-s", student)
    cli("render", str(tmp_path / "tree"), "-s", student)
    names = {
        folder: {str(p.relative_to(tmp_path / folder)) for p in (tmp_path / folder).rglob("*")}
        for folder in ("wheel", "tree")
    }
    assert names["wheel"] == names["tree"]
    assert "host/etc/named.conf" in names["wheel"]


def test_it_brings_a_lab_up_and_down(cli: Cli, installed: Callable[..., str], student: str) -> None:
    assert json.loads(installed("up", student, "--at", "lab4a", "--no-check", "--json"))["stage"] == "lab4a"
    assert cli.json("status", "-s", student)["environments"][0]["stage"] == "lab4a"
    installed("down", "-s", student)
    assert cli.json("status", "-s", student)["environments"] == []
