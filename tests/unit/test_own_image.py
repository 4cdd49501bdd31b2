"""The image with labenv itself: its tag stands for labenv's files, and its packages are got for its own Python."""

import os
import re
import shutil
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from labenv import resources
from labenv.engine import own_image, wheels
from labenv.engine.image_sources import OWN, context, current, named, usual, wanted
from labenv.engine.own_image import beside, own
from labenv.errors import EngineError
from labenv.events import Event, silent

TREE = Path(__file__).parents[2]
LIST = TREE / "images" / own_image.PACKAGES / "requirements.txt"


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of labenv's files as a wheel has them, which labenv takes for its own."""
    made = tmp_path / "labenv"
    shutil.copytree(resources.package(), made, ignore=shutil.ignore_patterns("__pycache__", "_version.py"))
    shutil.copytree(resources.images(), made / "_data" / "images", symlinks=True)
    shutil.copytree(resources.topologies(), made / "_data" / "compose")
    monkeypatch.setattr(resources, "package", lambda: made)
    monkeypatch.setattr(resources, "images", lambda: made / "_data" / "images")
    monkeypatch.setattr(resources, "topologies", lambda: made / "_data" / "compose")
    wanted.cache_clear()
    own.cache_clear()
    yield made
    wanted.cache_clear()
    own.cache_clear()


def tag() -> str:
    own.cache_clear()
    return own().tag


def test_only_who_asks_for_it_finds_out_its_tag() -> None:
    assert OWN not in wanted()
    assert OWN not in usual()
    assert own().tag not in current()
    assert own_image.current()[own().tag] is own()
    assert named([OWN, own_image.PACKAGES], own_image.known()) == [OWN, own_image.PACKAGES]
    assert own().below is wanted()[own_image.PACKAGES]


def test_a_labs_own_image_of_that_name_is_the_labs() -> None:
    theirs = replace(own(), lab="router")
    assert own_image.known({OWN: theirs})[OWN] is theirs
    with beside(theirs, "amd64", silent) as more:
        assert not more


def test_a_checkout_and_a_wheel_of_the_same_files_have_the_same_tag(copy: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resources, "package", lambda: TREE / "labenv")
        patch.setattr(resources, "images", lambda: TREE / "images")
        patch.setattr(resources, "topologies", lambda: TREE / "compose")
        here = tag()
    assert tag() == here


def test_what_is_made_by_running_or_installing_labenv_makes_no_other_tag(copy: Path) -> None:
    before = tag()
    (copy / "__pycache__").mkdir()
    (copy / "__pycache__" / "errors.pyc").touch()
    (copy / "_version.py").write_text('__version__ = "1"\n')
    os.utime(copy / "errors.py", (1, 1))
    assert tag() == before


@pytest.mark.parametrize("name", ["errors.py", "labs/lab.schema.json", "_data/images/python/requirements.txt"])
def test_any_of_its_files_makes_another_tag(copy: Path, name: str) -> None:
    before = tag()
    with (copy / name).open("a") as file:
        file.write("\n")
    wanted.cache_clear()
    assert tag() != before


def test_it_is_built_from_all_that_labenv_needs(copy: Path) -> None:
    (copy / "_version.py").write_text('__version__ = "1"\n')
    with beside(own(), "amd64", silent) as more, tarfile.open(fileobj=context(own().folder, more)) as archive:
        names = archive.getnames()
    for needed in ("__main__.py", "_version.py", "engine/wall.nft", "_data/compose/templates", "_data/images/base"):
        assert any(name.startswith(f"labenv/{needed}") for name in names), needed
    assert not [name for name in names if "__pycache__" in name]
    assert len(names) == len(set(names))


def test_the_packages_are_those_that_labenv_asks_for_in_the_pinned_versions() -> None:
    project = tomllib.loads((TREE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["swarm"]]

    def pinned(file: Path) -> dict[str, str]:
        return dict(re.findall(r"^([a-z0-9.-]+)==([^ ;]+)", file.read_text(encoding="utf-8"), re.MULTILINE))

    there, all_ = pinned(LIST), pinned(TREE / "requirements-dev.txt")
    assert {re.split(r"[><=,]", each)[0] for each in asked} <= set(there)
    assert {name: all_[name] for name in there} == there
    assert ";" not in re.sub(r"#.*", "", LIST.read_text(encoding="utf-8")), "a condition is for another Python"


@pytest.fixture
def pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in the place of Python, whose pip says what is written to it."""
    program = tmp_path / "python"
    monkeypatch.setattr(sys, "executable", str(program))
    return program


def say(program: Path, script: str) -> None:
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_pip_is_asked_for_wheels_of_the_images_python(pip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    say(pip, 'printf "%s\\n" "$@"; echo "target ${PIP_TARGET-is not set}, index $PIP_INDEX_URL"')
    monkeypatch.setenv("PIP_TARGET", "/elsewhere")
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple")
    said: list[Event] = []
    with wheels.unpacked(LIST, "arm64", "image python", said.append) as folder:
        assert folder.is_dir()
    assert not folder.exists()
    words = [event.message for event in said]
    assert {event.step for event in said} == {"image python"}
    assert words[-1] == "target is not set, index https://index.example/simple"
    expected = ("--require-hashes", "--only-binary=:all:", "--no-deps", "--python-version=3.11", f"--target={folder}")
    assert {*expected, "--platform=manylinux_2_36_aarch64", "--platform=manylinux2014_aarch64"} <= set(words)


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        (
            "echo 'python: No module named pip' >&2; exit 1",
            r"has no pip .*Install it: \S+/python -m ensurepip\. Or export",
        ),
        (
            "echo \"ERROR: Could not install packages: [Errno 28] No space left on device: 'x'\"; exit 1",
            "The disk is full where temporary files are .*set TMPDIR",
        ),
        (
            "seq 20; echo 'ERROR: No matching distribution found for rich'; exit 1",
            r"could not get .*\(status 1\)(?s:.*)    20\n    ERROR: No matching(?s:.*)import them here: labenv images export FILE --with labenv",
        ),
    ],
)
def test_packages_that_cannot_be_had_are_an_error_with_a_way_out(pip: Path, script: str, sentence: str) -> None:
    say(pip, script)
    with pytest.raises(EngineError, match=sentence) as failure, wheels.unpacked(LIST, "amd64", "x", silent):
        pass
    assert "    3\n" not in str(failure.value), "the last lines, not all"


def test_no_temporary_folder_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with (
        pytest.raises(EngineError, match=r"No temporary folder can be made: No such file.* Set TMPDIR"),
        wheels.unpacked(LIST, "amd64", "x", silent),
    ):
        pass
