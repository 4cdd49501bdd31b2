"""A copy of an environment on its way between a node and the keeper: it arrives as it was, or not at all."""

import io
import json
import os
import stat
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labenv.engine import kept
from labenv.errors import UsageError

STAMP, OTHER = "20261129T120000000000-00000001", "20261129T120100000000-00000002"
ONCE = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "labenv"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Goes to another computer: a state folder with nothing in it."""
    numbers = iter(range(1000))
    return lambda: monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / f"elsewhere-{next(numbers)}"))


def manifest(stamp: str = STAMP, parent: str = "", **more: Any) -> dict[str, Any]:
    facts = {"labels": {"labenv.lab": "a"}, "image": "labenv/mail:1", "id": "sha256:1", "parent": parent}
    told = {"student": "anna", "name": "pushed", "stamp": stamp, "engine": "e", "machines": {"vm3": facts}}
    return told | more


def sent(stamp: str = STAMP) -> bytes:
    """A copy as the keeper gets it from a node."""
    return kept.packed("anna", stamp) or pytest.fail("there is no such copy")


def archive(parts: Mapping[str, bytes] | list[tuple[str, bytes]], kind: bytes = tarfile.REGTYPE) -> bytes:
    """An archive as anybody could make one."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in parts.items() if isinstance(parts, Mapping) else parts:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "/etc/passwd"
            entry.size = len(content) if kind == tarfile.REGTYPE else 0
            tar.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def whole(**more: Any) -> dict[str, Any]:
    """A manifest that is in order, with its files."""
    told = manifest(format=1)
    told["machines"]["vm3"]["layers"] = ["vm3.0"]
    return told | more


def everything_under(folder: Path) -> Iterator[str]:
    return (str(path.relative_to(folder)) for path in sorted(folder.rglob("*")))


@ONCE
@given(
    contents=st.lists(st.binary(max_size=2000), min_size=1, max_size=3), records=st.dictionaries(st.text(), st.text())
)
def test_a_copy_arrives_as_it_was_packed(
    contents: list[bytes], records: dict[str, str], elsewhere: Callable[[], None]
) -> None:
    elsewhere()
    stamps = [f"20261129T12{number:02}00000000-00000001" for number in range(len(contents))]
    parent = ""
    for stamp, content in zip(stamps, contents, strict=True):
        kept.store(manifest(stamp, parent, records=records), {"vm3": content})
        parent = stamp
    data = sent(parent)
    elsewhere()
    told = kept.unpack("anna", parent, data)
    assert told == kept.manifest_of("anna", parent)
    assert told["records"] == records
    assert kept.size(told, "vm3") == sum(map(len, contents))
    assert sent(parent) == data


def test_what_arrives_is_for_its_user_alone(state: Path, elsewhere: Callable[[], None], tmp_path: Path) -> None:
    kept.store(manifest(), {"vm3": b"first"})
    data = sent()
    elsewhere()
    before = os.umask(0)
    try:
        kept.unpack("anna", STAMP, data)
    finally:
        os.umask(before)
    there = Path(os.environ["XDG_STATE_HOME"]) / "labenv" / "saves"
    assert stat.S_IMODE(there.stat().st_mode) == 0o700
    assert stat.S_IMODE((there / "anna" / STAMP).stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (there / "anna" / STAMP).iterdir()} == {0o600}


def test_what_is_there_already_stays(elsewhere: Callable[[], None]) -> None:
    kept.store(manifest(), {"vm3": b"first"})
    data = sent()
    elsewhere()
    kept.store(manifest(), {"vm3": b"another"})
    kept.unpack("anna", STAMP, data)
    assert b"another" in sent()


def test_a_copy_on_which_only_machines_stand_is_sent_as_well() -> None:
    kept.store(manifest(), {"vm3": b"first"})
    data = sent()
    kept.drop("anna", STAMP, needed=True)
    assert sent() == data
    kept.drop_unneeded("anna", {STAMP})
    assert kept.stamps("anna") == {STAMP}
    kept.drop_unneeded("anna", ())
    assert kept.packed("anna", STAMP) is None
    assert kept.stamps("anna") == set()


@pytest.mark.parametrize("student", ["..", "../anna", "", "Anna", "anna\n", "a" * 41, "/etc"])
def test_an_id_is_never_a_path(state: Path, student: str) -> None:
    assert kept.packed(student, STAMP) is None
    with pytest.raises(UsageError, match="has the id of a student"):
        kept.unpack(student, STAMP, b"")
    assert not state.exists()


@pytest.mark.parametrize("stamp", ["..", "", "x", STAMP + ".parent", STAMP + "\n", "../" + STAMP])
def test_a_stamp_is_never_a_path(state: Path, stamp: str) -> None:
    assert kept.packed("anna", stamp) is None
    with pytest.raises(UsageError, match="and a stamp"):
        kept.unpack("anna", stamp, b"")
    assert not state.exists()


def laid(told: object, **parts: bytes) -> bytes:
    files = {"vm3.0": b"x"} | {name.replace("__", "/"): content for name, content in parts.items()}
    return archive({kept.MANIFEST: json.dumps(told).encode(), **files})


def with_layers(*layers: str) -> dict[str, Any]:
    told = whole()
    told["machines"]["vm3"]["layers"] = list(layers)
    return told


def with_facts(**facts: Any) -> dict[str, Any]:
    told = whole()
    told["machines"]["vm3"] |= facts
    return told


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no archive",
        b"\0" * 1024,
        laid(whole())[:700],
        archive({kept.MANIFEST: b"{", "vm3.0": b""}),
        archive({kept.MANIFEST: b"[" * 100_000, "vm3.0": b""}),
        archive({kept.MANIFEST: b"\xff", "vm3.0": b""}),
        archive({"vm3.0": b""}),
        laid([]),
        laid(whole(format=2)),
        laid(whole(student="bob")),
        laid(whole(stamp=OTHER)),
        laid(whole(name="a\x1b[2J")),
        laid(whole(name="../x")),
        laid(whole(name=1)),
        laid(whole(engine=None)),
        laid(whole(machines={})),
        laid(whole(machines=[])),
        laid(whole(records=[])),
        laid(with_layers()),
        laid(with_layers("../../../../etc/passwd")),
        laid(with_layers("/etc/passwd")),
        laid(with_layers("vm3.0", "vm3.0")),
        laid(with_layers("vm3.0", "vm3.1")),
        laid(with_layers("vm2.0"), **{"vm2.0": b""}),
        laid(with_facts(labels={"a": 1})),
        laid(with_facts(labels=None)),
        laid(with_facts(image=1)),
        laid(with_facts(parent="../../x")),
        laid(with_facts(layers="vm3.0")),
        laid(whole(machines={"../vm3": whole()["machines"]["vm3"]})),
        laid(whole(), **{"vm3.1": b"what no machine has"}),
        laid(whole(), **{"..__..__x": b""}),
        laid(whole(), __etc__x=b""),
        archive({kept.MANIFEST: b""}, tarfile.SYMTYPE),
        archive({kept.MANIFEST: b""}, tarfile.LNKTYPE),
        archive({"vm3.0": b""}, tarfile.DIRTYPE),
        archive({"vm3.0": b""}, tarfile.FIFOTYPE),
        archive([(kept.MANIFEST, json.dumps(whole()).encode()), ("vm3.0", b"1"), ("vm3.0", b"2")]),
        archive({f"vm{number}.0": b"" for number in range(401)}),
    ],
)
def test_what_is_no_copy_is_refused_and_leaves_nothing(state: Path, data: bytes) -> None:
    with pytest.raises(UsageError, match="What was sent as a copy of anna's machines"):
        kept.unpack("anna", STAMP, data)
    assert not (state / "saves").exists()


@ONCE
@given(data=st.binary(max_size=3000))
def test_any_bytes_are_refused_or_stored_whole(data: bytes, elsewhere: Callable[[], None]) -> None:
    elsewhere()
    with pytest.raises(UsageError):
        kept.unpack("anna", STAMP, data)
    assert list(everything_under(Path(os.environ["XDG_STATE_HOME"]))) in ([], ["labenv"])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.sampled_from(["vm3.0", "vm3", STAMP, "anna"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


@ONCE
@given(
    key=st.sampled_from([*whole(), "records"]),
    value=JSON,
    inner=st.sampled_from([*whole()["machines"]["vm3"]]),
    other=JSON,
)
def test_a_manifest_that_says_anything_breaks_nothing_later(
    key: str, value: Any, inner: str, other: Any, elsewhere: Callable[[], None]
) -> None:
    elsewhere()
    told = with_facts(**{inner: other})
    told[key] = value
    try:
        kept.unpack("anna", STAMP, laid(told))
    except UsageError:
        assert kept.manifests() == []
    else:
        [found] = kept.manifests("anna")
        assert kept.size(found, "vm3") == 1
        assert kept.stands_on(found) <= {STAMP}
        assert sent()


def test_a_copy_that_was_begun_before_a_power_cut_is_received_again(state: Path, elsewhere: Callable[[], None]) -> None:
    kept.store(manifest(), {"vm3": b"first"})
    data = sent()
    elsewhere()
    draft = Path(os.environ["XDG_STATE_HOME"]) / "labenv" / "saves" / "anna" / f"{STAMP}.part"
    draft.mkdir(parents=True)
    (draft / "vm3.0").write_bytes(b"fir")
    assert kept.stamps("anna") == set()
    kept.unpack("anna", STAMP, data)
    assert sent() == data
    assert not draft.exists()
