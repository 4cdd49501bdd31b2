"""A YAML file is read the same whether it was cached or not; a cache may be damaged, foreign or impossible."""

import json
import os
import pwd
from pathlib import Path

import pytest
import yaml

from labenv import places, resources


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "some.yaml"


def kept() -> list[Path]:
    folder = places.cache("yaml")
    return sorted(folder.iterdir()) if folder else []


def test_it_is_kept_and_read_again(file: Path) -> None:
    file.write_text("a: &a [1, x, null]\nb: *a\n")
    first = resources.read_yaml(file)
    [one] = kept()
    assert (
        resources.read_yaml(file) == first == json.loads(one.read_text()) == {"a": [1, "x", None], "b": [1, "x", None]}
    )


def test_an_edit_is_seen(file: Path) -> None:
    for text in ("a: 1", "a: 2"):
        file.write_text(text)
        assert resources.read_yaml(file) == {"a": int(text[-1])}


@pytest.mark.parametrize("damage", [b"", b'{"a":', b"\xff\xfe", b"[" * 100_000])
def test_what_is_damaged_is_read_anew_and_mended(file: Path, damage: bytes) -> None:
    file.write_text("a: 1")
    resources.read_yaml(file)
    [one] = kept()
    one.write_bytes(damage)
    assert resources.read_yaml(file) == {"a": 1}
    assert json.loads(one.read_text()) == {"a": 1}


@pytest.mark.parametrize(
    "text",
    ["a: 2026-11-28", "1: one", "a: .nan", "a: &a [*a]", "a: !!set {x, y}"],
    ids=["date", "number as key", "not a number", "itself", "set"],
)
def test_what_json_cannot_say_is_read_and_not_kept(file: Path, text: str) -> None:
    file.write_text(text)
    assert repr(resources.read_yaml(file)) == repr(yaml.load(text, yaml.CSafeLoader))
    assert not kept()


def test_without_a_home_nothing_is_kept(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    file.write_text("a: 1")
    assert resources.read_yaml(file) == {"a": 1}
    assert not kept()


def test_in_somebody_elses_home_nothing_is_made(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    file.write_text("a: 1")
    assert resources.read_yaml(file) == {"a": 1}
    assert not (file.parent / "cache").exists()


def test_a_folder_in_the_place_of_what_is_kept_leaves_no_draft(file: Path) -> None:
    file.write_text("a: 1")
    resources.read_yaml(file)
    [one] = kept()
    one.unlink()
    one.mkdir()
    assert resources.read_yaml(file) == {"a": 1}
    assert kept() == [one]


def test_what_is_vast_by_its_references_is_not_kept(file: Path) -> None:
    file.write_text("\n".join(["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40))]))
    assert len(resources.read_yaml(file)) == 40
    assert not kept()


def test_what_is_no_yaml_is_told_with_its_place(file: Path) -> None:
    file.write_text("a: [1,\nb: 2")
    for _ in range(2):
        with pytest.raises(ValueError, match="line 1, column 4"):
            resources.read_yaml(file)
    assert not kept()


@pytest.mark.parametrize("place", ["/dev/null", "/proc/none"])
def test_without_a_place_to_keep_it_one_does_without(file: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", place)
    file.write_text("a: 1")
    assert places.cache("yaml") is None
    assert resources.read_yaml(file) == {"a": 1}


def test_what_others_may_write_is_not_read(file: Path) -> None:
    file.write_text("a: 1")
    resources.read_yaml(file)
    folder = places.cache("yaml")
    assert folder
    folder.chmod(0o777)
    assert places.cache("yaml") is None
    if os.geteuid() == 0:
        folder.chmod(0o700)
        os.chown(folder, 12345, 12345)
        assert places.cache("yaml") is None


def test_a_file_that_is_no_plain_file_or_too_large_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large.yaml").write_text("a: " + "x" * 1_000_001)
    for path, reason in (
        (tmp_path / "pipe", "not a regular file"),
        (Path("/dev/zero"), "not a regular file"),
        (tmp_path / "large.yaml", "larger than 1000000 bytes"),
    ):
        with pytest.raises(ValueError, match=reason):
            resources.read_yaml(path)
