"""The further place of a swarm's copies: a folder, or a store with the interface of S3; and what is kept there."""

import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from moto.server import ThreadedMotoServer

from labenv.engine import kept
from labenv.errors import LabenvError, UsageError
from labenv.swarm import leases, setup
from labenv.swarm.leases import Leases
from labenv.swarm.mirror import Mirror
from labenv.swarm.place import Place, Unusable, packed, settings

OLD, FIRST, SECOND = (
    "20201129T120000000000-00000001",
    "20991129T120100000000-00000002",
    "20991129T120200000000-00000003",
)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    return tmp_path / "state" / "labenv"


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of a server with the interface of S3, and a bucket `class`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_S3_CUSTOM_ENDPOINTS", "")
        server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        server.start()
        address = "http://{}:{}".format(*server.get_host_and_port())
        requests.put(f"{address}/class", timeout=5)
        yield address
        server.stop()


def of_s3(address: str) -> dict[str, Any]:
    """The settings as a class has them in a file."""
    text = json.dumps(
        {
            "endpoint": address,
            "region": "us-east-1",
            "access_key_id": "id",
            "secret_access_key": "secret",
            "client_options": {"allow_http": True},
        }
    )
    return settings(text)


@pytest.fixture(params=["a folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path, s3: str) -> Place:
    if request.param == "s3":
        return Place(f"s3://class/{tmp_path.name}/labenv/", of_s3(s3))
    (tmp_path / "there, too").mkdir()
    return Place(f"file://{tmp_path}/there, too", {})


def test_what_is_put_is_there_until_it_is_dropped(place: Place) -> None:
    assert place.get("anna/lease.json") is None
    assert place.names("anna/copies") == set()
    content = os.urandom(300_000)
    place.put("anna/copies/1.tar", content)
    place.put("anna/copies/2.tar", b"")
    place.put("anna/lease.json", b"{}")
    assert place.names("anna/copies") == {"1.tar", "2.tar"}
    assert place.names("anna") == {"copies", "lease.json"}
    assert place.get("anna/copies/1.tar") == content
    assert place.get("anna/copies/2.tar") == b""
    place.put("anna/lease.json", b"[]")
    assert place.get("anna/lease.json") == b"[]"
    place.drop("anna/copies/1.tar")
    place.drop("anna/copies/1.tar")
    assert place.names("anna/copies") == {"2.tar"}


def test_a_folder_is_where_it_is_said_to_be_and_has_whole_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "50% of it #1"
    there.mkdir()
    place = Place(f"file://{there}", {})
    place.put("anna/lease.json", b"{}")
    assert (there / "anna" / "lease.json").read_bytes() == b"{}"

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(place._files, "mv", killed)
    with pytest.raises(KeyboardInterrupt):
        place.put("anna/lease.json", b"[1, 2]")
    assert (there / "anna" / "lease.json").read_bytes() == b"{}"


@pytest.mark.parametrize(
    ("url", "given"),
    [("nonsense://x", {}), ("s3://class/x", {"key": "id", "secret": "x"})],
)
def test_what_is_no_place_is_said(url: str, given: dict[str, Any]) -> None:
    with pytest.raises(LabenvError, match=f"{url} (is no place for copies|cannot be written)"):
        Place(url, given).put("x", b"")


@pytest.mark.parametrize("text", ["", "{", "[]", "1", '"x"'])
def test_settings_that_are_none_show_how_they_look(text: str) -> None:
    with pytest.raises(UsageError, match="The settings of the place are no") as error:
        settings(text)
    if text not in ("", "{"):
        assert '"endpoint": "https://s3.example.org"' in str(error.value)


def test_a_store_that_does_not_answer_or_refuses_is_named(s3: str) -> None:
    away = Place("s3://class/x", of_s3("http://127.0.0.1:9"))
    with pytest.raises(Unusable, match="s3://class/x cannot be written: "):
        away.put("y", b"")
    with pytest.raises(Unusable, match="s3://class/x cannot be read: "):
        away.names("y")
    with pytest.raises(Unusable, match=r"s3://nobucket/x cannot be written: .*NoSuchBucket"):
        Place("s3://nobucket/x", of_s3(s3)).put("y", b"")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unusable, match=f"file://{tmp_path}/file cannot be written"):
        Place(f"file://{tmp_path}/file", {}).put("y/z", b"")


# The mirror.


def keep(stamp: str, name: str = "pushed") -> None:
    facts = {"labels": {}, "image": "labenv/mail:1", "id": "sha256:1", "parent": ""}
    told = {"student": "anna", "name": name, "stamp": stamp, "engine": "e", "machines": {"vm3": facts}}
    kept.store(told, {"vm3": stamp.encode()})


@pytest.fixture
def held() -> Leases:
    setup.prepare("127.0.0.1")
    there = Leases()
    there.begin("anna", "ops", "id1", "n1")
    return there


def status(state: Path) -> Any:
    return json.loads((state / "swarm" / "place.json").read_text())


class Counted(Place):
    """A place that counts what is written into it."""

    def __init__(self, place: Place) -> None:
        self.__dict__ |= place.__dict__
        self.written: list[str] = []

    def put(self, name: str, content: bytes) -> None:
        super().put(name, content)
        self.written.append(name)


def test_new_copies_go_there_and_gone_ones_are_dropped(place: Place, held: Leases, state: Path) -> None:
    counted = Counted(place)
    mirror = Mirror(counted)
    keep(FIRST)
    mirror.go()
    assert place.names("anna/copies") == {f"{FIRST}.tar"}
    assert place.get(f"anna/copies/{FIRST}.tar") == kept.packed("anna", FIRST)
    assert json.loads(place.get("anna/lease.json") or b"")["generation"] == 1
    assert status(state) == {"url": place.url, "failed": ""}
    mirror.go()
    assert counted.written == [f"anna/copies/{FIRST}.tar", "anna/lease.json"], "nothing is written twice"
    keep(SECOND)
    kept.drop("anna", FIRST, needed=False)
    held.pushed("anna", 1, SECOND)
    mirror.go()
    assert place.names("anna/copies") == {f"{SECOND}.tar"}
    assert json.loads(place.get("anna/lease.json") or b"")["stamp"] == SECOND
    keep(FIRST, "good")
    Mirror(counted).go()  # as after a restart of the keeper
    assert place.names("anna/copies") == {f"{FIRST}.tar", f"{SECOND}.tar"}
    held.forget("anna")
    kept.drop("anna", SECOND, needed=False)
    Mirror(counted).go()
    assert place.names("anna/copies") == {f"{FIRST}.tar"}


def test_what_an_earlier_swarm_left_there_stays(place: Place, held: Leases) -> None:
    place.put(f"anna/copies/{OLD}.tar", b"all that is left")
    place.put(f"anna/copies/{SECOND}.tar", b"of this swarm")
    keep(FIRST)
    mirror = Mirror(place)
    mirror.go()
    assert place.names("anna/copies") == {f"{OLD}.tar", f"{FIRST}.tar"}
    assert place.get(f"anna/copies/{OLD}.tar") == b"all that is left"


def test_a_copy_that_comes_back_packed_can_be_unpacked(
    place: Place, held: Leases, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keep(FIRST)
    Mirror(place).go()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "new"))
    kept.unpack("anna", FIRST, place.get(f"anna/copies/{FIRST}.tar") or b"")
    assert kept.stamps("anna") == {FIRST}


def test_a_history_goes_there_once_a_change(place: Place, held: Leases, state: Path) -> None:
    history = state / "history" / "anna.git"
    (history / "refs" / "heads").mkdir(parents=True)
    (history / "HEAD").write_text("ref: refs/heads/work")
    counted = Counted(place)
    mirror = Mirror(counted)
    mirror.go()
    mirror.go()
    assert counted.written == ["anna/lease.json", "anna/history.tar"]
    with tarfile.open(fileobj=io.BytesIO(place.get("anna/history.tar") or b"")) as tar:
        assert "anna.git/HEAD" in tar.getnames()
    (history / "refs" / "heads" / "work").write_text("0" * 40)
    mirror.go()
    assert counted.written[2:] == ["anna/history.tar"]


def test_what_fails_is_noted_and_tried_again(
    tmp_path: Path, held: Leases, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = tmp_path / "there"
    there.write_text("not mounted")
    mirror = Mirror(Place(f"file://{there}", {}))
    keep(FIRST)
    for _ in range(3):
        mirror.go()
    assert f"file://{there} cannot be " in status(state)["failed"]
    assert capsys.readouterr().err.count("cannot be") == 1, "it is logged once"
    there.unlink()
    there.mkdir()
    mirror.go()
    assert status(state)["failed"] == ""
    assert (there / "anna" / "copies" / f"{FIRST}.tar").exists()


def test_one_whose_files_cannot_be_read_stops_nobody_else(place: Place, held: Leases, state: Path) -> None:
    held.begin("zoe", "ops", "id1", "n1")
    history = state / "history" / "anna.git"
    history.mkdir(parents=True)

    def gone(folder: Path) -> bytes:
        raise LabenvError(f"{folder} cannot be read: it went.")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("labenv.swarm.mirror.packed", gone)
        Mirror(place).go()
    assert place.names("zoe") == {"lease.json"}
    assert "anna.git cannot be read" in status(state)["failed"]


def test_a_folder_that_goes_while_it_is_packed_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LabenvError, match=r"anna\.git cannot be read"):
        packed(tmp_path / "anna.git")


def test_a_status_that_cannot_be_written_stops_nothing(place: Place, held: Leases, state: Path) -> None:
    keep(FIRST)
    mirror = Mirror(place)
    (state / "swarm" / "place.json").mkdir()
    mirror.go()
    assert place.names("anna/copies") == {f"{FIRST}.tar"}


def test_nothing_is_there_without_leases(place: Place, state: Path) -> None:
    setup.prepare("127.0.0.1")
    Mirror(place).go()
    assert leases.everything() == {}
    assert place.names("") == set()
