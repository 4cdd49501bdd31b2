"""What labenv does with cgroups past the engine, where it may and where the engine has to."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from labenv.engine import cgroups
from labenv.lab.topology import Limits

pytestmark = pytest.mark.usefixtures("as_root")
CAPS = {"0123456789ab": Limits(memory=1 << 28, pids=100, cpu_shares=1024)}


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The scripts that a container of the engine is asked to run."""
    scripts: list[str] = []

    def run(_engine: object, script: str, _environment: dict[str, str]) -> bool:
        scripts.append(script)
        return True

    monkeypatch.setattr(cgroups, "_run", run)
    return scripts


def engine(driver: str = "cgroupfs", tags: tuple[str, ...] = ()) -> Any:
    images = [{"RepoTags": [tag]} for tag in tags]
    return SimpleNamespace(
        is_local=True, facts=SimpleNamespace(driver=driver), api=SimpleNamespace(images=lambda: images)
    )


def test_root_sets_limits_itself_where_it_can_write_them(
    asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroups, "_ROOT", tmp_path)
    machine = tmp_path / "labenv" / "0123456789ab"
    machine.mkdir(parents=True)
    (machine / "pids.max").write_text("max\n")
    assert cgroups.cap(engine(), CAPS)
    assert (machine / "pids.max").read_text() == "100\n"
    assert not asked


def test_in_a_container_that_does_not_see_them_the_engine_sets_them(
    asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroups, "_ROOT", tmp_path)
    assert cgroups.cap(engine(), CAPS)
    assert asked == [cgroups._CAP]


def test_in_a_container_that_sees_them_read_only_the_engine_removes_them(
    asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroups, "_ROOT", tmp_path)
    (tmp_path / "labenv" / "0123456789ab").mkdir(parents=True)
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    cgroups.remove(["0123456789ab"], engine())
    assert asked == [cgroups._SWEEP]


def test_the_image_that_helps_is_one_with_systemd() -> None:
    helper = SimpleNamespace(start=lambda: None, wait=lambda: {"StatusCode": 0}, remove=lambda force: None)
    used: list[str] = []

    def create(image: str, *_: object, **__: object) -> object:
        used.append(image)
        return helper

    for tags in (("labenv/labenv:1", "labenv/machine:2"), ("other:1", "localhost/labenv/tools:3")):
        there = engine(tags=tags)
        there.client = SimpleNamespace(containers=SimpleNamespace(create=create))
        assert cgroups._run(there, "true", {})
    assert used == ["labenv/machine:2", "labenv/tools:3"]
