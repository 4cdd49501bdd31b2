"""Copies of saves outside the engine: complete or not there at all, for their user alone, and read with doubt."""

import json
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from labenv.engine import Engine, kept
from labenv.errors import EngineError

FIRST, SECOND = "20261129T120000000000-00000001", "20261129T120100000000-00000002"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "labenv"


def told(stamp: str, parent: str = "") -> dict[str, Any]:
    facts = {"labels": {}, "image": "labenv/mail:1", "id": "sha256:1", "parent": parent}
    return {"student": "anna", "name": "one", "stamp": stamp, "machines": {"vm3": facts}}


def test_a_copy_stands_on_the_one_that_its_machine_came_out_of_and_outlives_it(state: Path) -> None:
    kept.store(told(FIRST), {"vm3": b"first"})
    second = told(SECOND, FIRST)
    second["machines"]["vm3"] |= {"image": "labenv-save:x", "id": "sha256:2"}
    kept.store(second, {"vm3": b"second"})
    kept.drop("anna", FIRST, needed=False)
    [manifest] = kept.manifests("anna")
    assert (manifest["stamp"], manifest["machines"]["vm3"]["image"]) == (SECOND, "labenv/mail:1")
    folder = state / "saves" / "anna" / SECOND
    assert [(folder / layer).read_bytes() for layer in manifest["machines"]["vm3"]["layers"]] == [b"first", b"second"]
    assert kept.size(manifest, "vm3") == 11
    assert stat.S_IMODE((state / "saves").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    kept.drop("anna", SECOND, needed=False)
    assert not (state / "saves").exists()


def test_a_removed_save_is_kept_for_the_machine_that_stands_on_it_until_that_is_gone(state: Path) -> None:
    kept.store(told(FIRST), {"vm3": b"first"})
    kept.drop("anna", FIRST, needed=True)
    assert kept.manifests() == []
    kept.store(told(SECOND, FIRST), {"vm3": b"second"})
    assert [len(m["machines"]["vm3"]["layers"]) for m in kept.manifests()] == [2]
    kept.drop("anna", SECOND, needed=False)
    kept.drop_parents("anna")
    assert not (state / "saves").exists()


def test_a_machine_out_of_a_save_without_a_copy_has_none_either(state: Path) -> None:
    with pytest.raises(EngineError, match="vm3 came out of a save that has none"):
        kept.store(told(SECOND, FIRST), {"vm3": b"second"})
    assert kept.manifests() == []
    assert not (state / "saves").exists()


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: (folder / "vm3.0").unlink(),
        lambda folder: (folder / kept.MANIFEST).write_bytes(b"{"),
        lambda folder: (folder / kept.MANIFEST).write_text(json.dumps(told(FIRST) | {"format": 1})),
        lambda folder: (folder / kept.MANIFEST).write_text("[]"),
        lambda folder: folder.rename(folder.with_name(SECOND)),
        lambda folder: folder.rename(folder.with_name("x")),
    ],
    ids=["a file missing", "no JSON", "no layers", "a list", "another's name", "no stamp"],
)
def test_what_is_damaged_is_no_copy(state: Path, harm: Any) -> None:
    kept.store(told(FIRST), {"vm3": b"first"})
    harm(state / "saves" / "anna" / FIRST)
    assert kept.manifests() == []


def test_a_folder_that_cannot_be_written_is_named(state: Path) -> None:
    state.mkdir()
    (state / "saves").write_text("a file")
    with pytest.raises(EngineError, match="saves/anna cannot be written"):
        kept.store(told(FIRST), {"vm3": b"first"})


def test_a_container_that_a_killed_restore_left_is_removed_once(state: Path) -> None:
    removed: list[str] = []
    api = SimpleNamespace(remove_container=lambda name, **_: removed.append(name))
    engine = cast(Engine, SimpleNamespace(api=api))
    kept.recover(engine, "anna")
    kept.store(told(FIRST), {"vm3": b"first"})
    (state / "saves" / "anna" / "laying").touch()
    assert len(kept.manifests("anna")) == 1
    kept.recover(engine, "anna")
    kept.recover(engine, "anna")
    assert removed == ["labenv-anna-copy"]
    kept.drop("anna", FIRST, needed=False)
    assert not (state / "saves").exists()


def test_only_down_forgets_that_a_student_has_machines(state: Path) -> None:
    this, other = (cast(Engine, SimpleNamespace(facts=SimpleNamespace(ident=name))) for name in ("this", "other"))
    assert kept.since(cast(Engine, None), "anna") is None, "an engine is not asked for nothing"
    kept.up(this, "anna")
    assert kept.since(this, "anna") is not None
    assert kept.since(other, "anna") is None
    kept.down("anna")
    assert kept.since(this, "anna") is None
    assert list(state.iterdir()) == []
