"""What a shell offers after an option depends on the options before it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import typer

from labenv.cli import common


def after(**options: Any) -> typer.Context:
    return cast(typer.Context, SimpleNamespace(params=options))


def test_profiles_are_those_of_the_topology_that_is_named(tmp_path: Path) -> None:
    assert common.complete_profile(after(lab=None, topology=None), "") == ["outside"]
    assert common.complete_profile(after(lab="lab4b", topology=None), "x") == []
    assert common.complete_profile(after(lab="none", topology=None), "") == []
    assert common.complete_profile(after(lab=None, topology=str(tmp_path / "none.yaml")), "") == []


def test_stages_are_those_of_the_lab_that_is_named() -> None:
    assert common.complete_stage(after(lab="lab4b"), "l") == ["lab4a", "lda"]
    assert common.complete_stage(after(lab="none"), "l") == []
