"""What a shell offers after an option depends on the options before it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import typer

from labenv.cli import common
from labenv.cli.solve import _complete_target


def after(**options: Any) -> typer.Context:
    return cast(typer.Context, SimpleNamespace(params=options))


def test_profiles_are_those_of_the_topology_that_is_named(tmp_path: Path) -> None:
    assert common.complete_profile(after(lab=None, topology=None), "") == ["outside", "term"]
    assert common.complete_profile(after(lab="lab4b", topology=None), "x") == []
    assert common.complete_profile(after(lab="none", topology=None), "") == []
    assert common.complete_profile(after(lab=None, topology=str(tmp_path / "none.yaml")), "") == []


def test_stages_are_those_of_the_lab_that_is_named() -> None:
    assert common.complete_stage(after(lab="lab4b"), "l") == ["lab4a", "lda"]
    assert common.complete_stage(after(lab="none"), "l") == []


def test_stages_and_steps_are_those_that_can_be_typed() -> None:
    nobody = after(student="nobody-here")  # then the default lab's
    assert _complete_target(nobody, "1") == ["10", "11", "11b", "12", "13", "14", "15", "16", "17", "18", "19"]
    assert _complete_target(nobody, "l") == ["lab4a", "lda"]
    assert "5" not in _complete_target(nobody, "")
