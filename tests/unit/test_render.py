"""An overlay is the same whether its templates were cached or not; a cache may be damaged."""

from pathlib import Path

import pytest

from labenv import places
from labenv.environments import plan
from labenv.lab import overlay, templates


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def overlays() -> list[list[overlay.Item]]:
    """All overlays, rendered as by a new process."""
    templates._sandbox.cache_clear()
    made = plan._plan_at(plan.Request("asmith15"), 90, "secret")
    return [made.overlay(node) for node in made.topology.nodes]


def kept() -> list[Path]:
    folder = places.cache(templates.kept_as())
    assert folder
    return sorted(folder.iterdir())


def test_templates_are_kept_and_give_the_same() -> None:
    first = overlays()
    before = [file.stat().st_mtime_ns for file in kept()]
    assert before
    assert overlays() == first
    assert [file.stat().st_mtime_ns for file in kept()] == before


@pytest.mark.parametrize("length", [0, 10, 40, 60, 200])
def test_what_is_damaged_is_compiled_anew(length: int) -> None:
    first = overlays()
    whole = {file: file.read_bytes() for file in kept()}
    for file, code in whole.items():
        file.write_bytes(code[:length])
    assert overlays() == first
    assert {file: file.read_bytes() for file in kept()} == whole


def test_without_a_place_to_keep_them_one_does_without(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = overlays()
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    assert overlays() == first


def test_what_another_sandbox_compiled_is_not_used(tmp_path: Path) -> None:
    changed = tmp_path / "sandbox.py"
    changed.write_text("# with other filters\n")
    assert templates.kept_as(changed) != templates.kept_as()
