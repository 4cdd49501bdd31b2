"""The keeper of a swarm, as a real server, and its client: who may say what, and what is on the disk after it."""

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
import requests

from labenv.engine import kept
from labenv.errors import EngineError, LabenvError, UsageError
from labenv.swarm import client, keeper, leases, setup, words
from labenv.swarm.leases import Gone

HERE = "127.0.0.1"


def stamp(number: int) -> str:
    return f"20261129T12{number:02}00000000-{number:08x}"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    setup.prepare(HERE)
    return tmp_path / "labenv"


def listening(port: int = 0) -> keeper.Server:
    there = setup.folder()
    token = setup.content(words.TOKEN).decode()
    server = keeper.Server((HERE, port), there / words.CERTIFICATE, there / words.KEY, token, keeper.Keeper())
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


@pytest.fixture
def server() -> Iterator[keeper.Server]:
    there = listening()
    yield there
    there.shutdown()
    there.server_close()


def asking(port: int, token: str = "", certificate: Path | None = None) -> client.Keeper:
    own = setup.folder() / words.CERTIFICATE
    return client.Keeper(
        f"https://{HERE}:{port}", certificate or own, token or setup.content(words.TOKEN).decode().strip()
    )


@pytest.fixture
def asked(server: keeper.Server) -> client.Keeper:
    return asking(server.server_port)


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., bytes]:
    """Makes a copy on a node, unless it is there, and packs it."""

    def made(
        number: int, parent: str = "", name: str = words.PUSHED, student: str = "anna", content: bytes = b"x"
    ) -> bytes:
        facts = {"labels": {}, "image": "labenv/mail:1", "id": "sha256:1", "parent": parent}
        told = {"student": student, "name": name, "stamp": stamp(number), "engine": "e", "records": {}}
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_STATE_HOME", str(tmp_path / "node"))
            if not kept.has(student, stamp(number)):
                kept.store(told | {"machines": {"vm3": facts}}, {"vm3": content})
            return kept.packed(student, stamp(number)) or pytest.fail("there is no copy")

    return made


def begin(asked: client.Keeper, node: str = "id1", student: str = "anna", of: str = "ops") -> dict[str, Any]:
    return asked.say("begin", student=student, node=node, name=node.replace("id", "n"), **{"class": of})


def files(state: Path) -> dict[str, bytes]:
    """All that is kept, and leases."""
    there = [path for top in ("saves", "swarm/leases") for path in (state / top).rglob("*") if path.is_file()]
    return {str(path.relative_to(state)): path.read_bytes() for path in there}


def test_what_is_pushed_comes_back_on_the_next_node(asked: client.Keeper, packed: Callable[..., bytes]) -> None:
    assert begin(asked) == {"generation": 1, "stale": False, "stamp": ""}
    assert asked.say("up", student="anna", generation=1, parts={"up": 1.5}) == {}
    data = packed(1)
    asked.push("anna", stamp(1), data, 1)
    assert asked.say("end", student="anna", generation=1) == {}
    assert begin(asked, "id2") == {"generation": 2, "stale": True, "stamp": stamp(1)}
    assert asked.copy("anna", stamp(1)) == data


def test_a_node_that_is_still_pushing_is_waited_for(
    asked: client.Keeper, packed: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(asked)
    assert asked.say("leaving", student="anna", generation=1) == {}
    assert begin(asked, "id2") == {"wait": "n1 has not given up the environment of anna yet."}
    asked.push("anna", stamp(1), packed(1), 1)
    asked.say("end", student="anna", generation=1)
    assert begin(asked, "id2") == {"generation": 2, "stale": True, "stamp": stamp(1)}
    with pytest.raises(Gone):
        asked.say("leaving", student="anna", generation=1)
    asked.say("leaving", student="anna", generation=2)
    assert begin(asked, "id2")["generation"] == 3, "it is that node's own"
    asked.say("leaving", student="anna", generation=3)
    monkeypatch.setattr(words, "GRACE", 0)
    assert begin(asked, "id3")["generation"] == 4, "Swarm has ended the task by now"


def test_a_wrong_token_gets_a_sentence_and_nothing_else(
    server: keeper.Server, state: Path, packed: Callable[..., bytes]
) -> None:
    wrong = asking(server.server_port, "x" * 43)
    for ask in (
        lambda: begin(wrong),
        lambda: wrong.copy("anna", stamp(1)),
        lambda: wrong.push("anna", stamp(1), packed(1), 1),
    ):
        with pytest.raises(UsageError, match="That is not the token of this swarm"):
            ask()
    assert files(state) == {}


def test_without_a_token_there_is_no_answer(server: keeper.Server) -> None:
    for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer \xff"}):
        url = f"https://{HERE}:{server.server_port}/leases"
        answer = requests.get(url, headers=headers, verify=str(setup.folder() / words.CERTIFICATE), timeout=5)
        assert answer.status_code == 403


def test_another_certificate_is_not_trusted(
    server: keeper.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, own = asking(server.server_port), setup.folder()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other"))
    setup.prepare(HERE)
    with pytest.raises(EngineError, match=r"does not answer \(SSLError\)"):
        begin(asking(server.server_port, "t"))
    setup.forget()
    setup.prepare("192.0.2.1")  # the right one must be for the keeper's address, too
    other = keeper.Server(
        (HERE, 0), setup.folder() / words.CERTIFICATE, setup.folder() / words.KEY, "t", keeper.Keeper()
    )
    threading.Thread(target=other.serve_forever, args=(0.01,), daemon=True).start()
    with pytest.raises(EngineError, match=r"does not answer \(SSLError\)"):
        begin(asking(other.server_port, "t"))
    other.shutdown()
    other.server_close()
    assert begin(there)["generation"] == 1
    with pytest.raises(EngineError, match="does not answer"):
        begin(asking(server.server_port, certificate=own / "no such file"))


def test_no_proxy_of_the_users_is_asked(asked: client.Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/dev/null")
    assert begin(asked)["generation"] == 1


def test_what_is_too_large_is_refused_before_it_is_read(
    asked: client.Keeper, monkeypatch: pytest.MonkeyPatch, state: Path
) -> None:
    begin(asked)
    before = files(state)
    monkeypatch.setattr(words, "LARGEST", 1_000_000)
    with pytest.raises(
        UsageError, match="anna's machines have changed so much that a copy has 2 MB; the keeper takes 1"
    ):
        asked.push("anna", stamp(1), b"x" * 2_000_000, 1)
    with pytest.raises(UsageError, match="More than 1000000 bytes are not taken"):
        asked._ask("PUT", f"/copies/anna/{stamp(1)}", data=b"x" * 1_000_001)
    with pytest.raises(LabenvError):  # who sends more may not hear why
        asked._ask("PUT", f"/copies/anna/{stamp(1)}", data=b"x" * 50_000_000)
    with pytest.raises(UsageError, match="More than 1000000 bytes are not taken"):
        asked.say("failed", student="anna", generation=1, sentence="x" * 1_000_000)
    assert files(state) == before
    assert begin(asked)["generation"] == 2


@pytest.mark.parametrize("length", ["", "-1", "1e3", "999999999999", "٣"])
def test_a_length_that_is_none_is_refused(server: keeper.Server, length: str) -> None:
    with talking(server) as speaker:
        token = setup.content(words.TOKEN).decode()
        head = f"POST /begin HTTP/1.1\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n"
        speaker.sendall(head.encode())
        assert b" 413 " in speaker.recv(1000)


def talking(server: keeper.Server) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(setup.folder() / words.CERTIFICATE))
    plain = socket.create_connection((HERE, server.server_port), 5)
    return context.wrap_socket(plain, server_hostname=HERE)


def test_whoever_hangs_or_speaks_something_else_stops_nobody(asked: client.Keeper, server: keeper.Server) -> None:
    silent = [socket.create_connection((HERE, server.server_port)) for _ in range(20)]
    loud = socket.create_connection((HERE, server.server_port))
    loud.sendall(b"GET / HTTP/1.1\r\n\r\n")
    slow = talking(server)
    slow.sendall(b"PUT /copies/anna/x HTTP/1.1\r\nContent-Length: 100\r\n")
    gone = talking(server)
    gone.sendall(b"GET")
    gone.close()
    began = time.monotonic()
    assert begin(asked)["generation"] == 1
    assert time.monotonic() - began < 3
    for each in (*silent, loud, slow):
        each.close()


def test_whoever_hangs_is_let_go(server: keeper.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.RequestHandlerClass, "timeout", 0.2)
    hanging = socket.create_connection((HERE, server.server_port), 5)
    assert hanging.recv(1) == b""
    hanging.close()


def test_who_does_not_speak_tls_is_no_news_and_a_fault_of_ours_is(
    asked: client.Keeper, server: keeper.Server, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_connection((HERE, server.server_port), 5) as loud:
        loud.sendall(b"GET / HTTP/1.1\r\n\r\n")
        loud.recv(100)
    assert begin(asked)["generation"] == 1
    assert capfd.readouterr().err == ""

    def broken(*_: object) -> None:
        raise AssertionError("a fault")

    monkeypatch.setattr(keeper.Keeper, "seen", broken)
    with pytest.raises(EngineError):
        asked.say("seen", node="id1", name="n1", holds={})
    deadline = time.monotonic() + 5
    said = ""
    while "AssertionError: a fault" not in said and time.monotonic() < deadline:
        said += capfd.readouterr().err
    assert "AssertionError: a fault" in said


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("begin", {}),
        ("begin", {"student": "../x", "node": "", "name": "", "class": ""}),
        ("begin", {"student": None, "node": "", "name": "", "class": ""}),
        ("up", {"student": "anna", "generation": "x", "parts": {}}),
        ("up", {"student": "anna", "generation": 1, "parts": []}),
        ("up", {"student": "anna", "generation": 1, "parts": {"up": "soon"}}),
        ("end", {"student": "anna"}),
        ("forget", {"student": "../../etc/passwd"}),
        ("seen", {"node": "id1", "name": "n1"}),
        ("seen", {"node": "id1", "name": "n1", "holds": 1}),
        ("seen", {"node": "id1", "name": "n1", "holds": ["anna"]}),
        ("nothing", {}),
        ("../begin", {}),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    asked: client.Keeper, state: Path, path: str, told: dict[str, Any]
) -> None:
    begin(asked)
    before = files(state)
    with pytest.raises(UsageError):
        asked.say(path, **told)
    assert files(state) == before
    assert begin(asked)["generation"] == 2


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"[]", b"1"])
def test_a_body_that_is_no_object_is_refused(server: keeper.Server, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {setup.content(words.TOKEN).decode()}"}
    url = f"https://{HERE}:{server.server_port}/begin"
    answer = requests.post(url, data=body, headers=headers, verify=str(setup.folder() / words.CERTIFICATE), timeout=5)
    assert answer.status_code == 400
    assert "error" in answer.json()


@pytest.mark.parametrize(
    "what", ["../x/" + stamp(1), "anna/..", "anna/" + stamp(1) + ".parent", "Anna/" + stamp(1), "anna/x", "a%2fb/x"]
)
def test_a_path_leads_to_copies_only(
    asked: client.Keeper, state: Path, packed: Callable[..., bytes], what: str
) -> None:
    begin(asked)
    before = files(state)
    student, _, name = what.partition("/")
    with pytest.raises(UsageError):
        asked.copy(student, name)
    with pytest.raises(UsageError):
        asked.push(student, name, packed(1), 1)
    assert files(state) == before


def test_a_copy_that_is_none_changes_nothing(asked: client.Keeper, state: Path, packed: Callable[..., bytes]) -> None:
    begin(asked)
    asked.push("anna", stamp(1), packed(1), 1)
    before = files(state)
    for data in (b"", b"no archive", packed(2)[:700], packed(3), packed(2, student="bob")):
        with pytest.raises(UsageError) as error:
            asked.push("anna", stamp(2), data, 1)
        assert not isinstance(error.value, Gone), "nobody else has it"
    with pytest.raises(UsageError, match="makes no sense"):
        asked._ask("PUT", f"/copies/anna/{stamp(2)}", data=packed(2))
    with pytest.raises(UsageError, match="makes no sense"):
        asked._ask("PUT", f"/copies/anna/{stamp(2)}", params={"generation": "x"}, data=packed(2))
    assert files(state) == before


def test_whoever_lost_it_pushes_nothing(asked: client.Keeper, state: Path, packed: Callable[..., bytes]) -> None:
    begin(asked)
    asked.push("anna", stamp(1), packed(1), 1)
    begin(asked, "id2")
    before = files(state)
    for generation in (0, 1, 3):
        with pytest.raises(Gone, match="is on n2 now"):
            asked.push("anna", stamp(2), packed(2), generation)
    with pytest.raises(Gone):
        asked.push("bob", stamp(2), packed(2, student="bob"), 1)
    assert files(state) == before
    asked.push("anna", stamp(2), packed(2), 2)
    assert kept.stamps("anna") == {stamp(1), stamp(2)}, "machines on n1 may stand on the first"


def test_another_node_that_begins_while_a_copy_arrives_leaves_nothing_of_it(
    asked: client.Keeper, state: Path, packed: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(asked)
    asked.push("anna", stamp(1), packed(1), 1)
    unpack = kept.unpack

    def slow(*what: Any) -> Any:
        done = unpack(*what)
        begin(asking_again, "id2")
        return done

    asking_again = asking(int(asked._url.rpartition(":")[2]))
    monkeypatch.setattr(kept, "unpack", slow)
    with pytest.raises(Gone):
        asked.push("anna", stamp(2), packed(2), 1)
    assert kept.stamps("anna") == {stamp(1)}
    assert leases.read("anna").stamp == stamp(1)  # type: ignore[union-attr]


def test_a_wardens_push_that_is_overtaken_by_the_last_one_does_not_count(
    asked: client.Keeper, packed: Callable[..., bytes]
) -> None:
    begin(asked)
    asked.push("anna", stamp(2), packed(2), 1)
    asked.push("anna", stamp(1), packed(1), 1)
    assert kept.stamps("anna") == {stamp(2)}
    asked.say("end", student="anna", generation=1)
    with pytest.raises(Gone, match="was ended"):
        asked.push("anna", stamp(3), packed(3), 1)
    assert begin(asked, "id2")["stamp"] == stamp(2)
    assert kept.stamps("anna") == {stamp(2)}


def test_a_push_whose_answer_was_lost_is_sent_again(asked: client.Keeper, packed: Callable[..., bytes]) -> None:
    begin(asked)
    for _ in range(2):
        asked.push("anna", stamp(1), packed(1), 1)
    assert kept.stamps("anna") == {stamp(1)}
    assert begin(asked, "id2")["stamp"] == stamp(1)


def test_only_the_newest_copy_stays_and_what_machines_stand_on(
    asked: client.Keeper, state: Path, packed: Callable[..., bytes]
) -> None:
    begin(asked)
    for number in range(1, 4):
        asked.push("anna", stamp(number), packed(number), 1)
        assert kept.stamps("anna") == {stamp(number)}
    asked.say("end", student="anna", generation=1)
    begin(asked, "id2")  # whose machines come out of the third
    asked.push("anna", stamp(4), packed(4, parent=stamp(3)), 2)
    asked.push("anna", stamp(5), packed(5, parent=stamp(3)), 2)
    assert sorted(path.name for path in (state / "saves" / "anna").iterdir()) == [stamp(3) + ".parent", stamp(5)]
    assert [manifest["stamp"] for manifest in kept.manifests("anna")] == [stamp(5)]
    assert asked.copy("anna", stamp(3)) == packed(3)
    asked.say("end", student="anna", generation=2)
    begin(asked, "id3")
    asked.push("anna", stamp(6), packed(6), 3)
    assert kept.stamps("anna") == {stamp(6)}


def test_saves_of_a_persons_own_stay(asked: client.Keeper, packed: Callable[..., bytes]) -> None:
    facts = {"labels": {}, "image": "labenv/mail:1", "id": "sha256:1", "parent": ""}
    own = {"student": "anna", "stamp": stamp(1), "engine": "e", "machines": {"vm3": facts}}
    kept.store(own | {"name": words.PUSHED}, {"vm3": b"own"})
    kept.store(json.loads(json.dumps(own)) | {"name": "good", "stamp": stamp(2)}, {"vm3": b"own"})
    begin(asked)
    asked.push("anna", stamp(3), packed(3), 1)
    asked.push("anna", stamp(4), packed(4), 1)
    assert kept.stamps("anna") == {stamp(1), stamp(2), stamp(4)}
    asked.say("forget", student="anna")
    assert kept.stamps("anna") == {stamp(1), stamp(2)}


def test_what_a_killed_keeper_left_goes_with_the_next_push(
    asked: client.Keeper, state: Path, packed: Callable[..., bytes]
) -> None:
    begin(asked)
    asked.push("anna", stamp(1), packed(1), 1)
    kept.unpack("anna", stamp(2), packed(2))  # killed before the lease was written
    assert begin(asked)["stamp"] == stamp(1)
    asked.push("anna", stamp(3), packed(3), 2)
    assert kept.stamps("anna") == {stamp(3)}


def test_a_copy_that_is_gone_or_damaged_is_not_gone_on_from(
    asked: client.Keeper, state: Path, packed: Callable[..., bytes]
) -> None:
    begin(asked)
    asked.push("anna", stamp(1), packed(1), 1)
    (state / "saves" / "anna" / stamp(1) / "vm3.0").unlink()
    assert begin(asked, "id2")["stamp"] == ""
    said = " ".join(leases.told(leases.read("anna")))  # type: ignore[arg-type]
    assert "It began again from the start" in said
    with pytest.raises(UsageError, match="There is no such copy"):
        asked.copy("anna", stamp(1))


def test_what_was_removed_for_good_leaves_no_copy(
    asked: client.Keeper, state: Path, packed: Callable[..., bytes]
) -> None:
    begin(asked)
    asked.push("anna", stamp(1), packed(1), 1)
    asked.say("forget", student="anna")
    assert not (state / "saves").exists()
    with pytest.raises(Gone):
        asked.push("anna", stamp(2), packed(2), 1)
    assert asked.say("seen", node="id1", name="n1", holds={"anna": "ops"}) == {
        "stale": ["anna"],
        "current": {},
        "coming": {},
    }
    assert begin(asked) == {"generation": 3, "stale": True, "stamp": ""}
    asked.say("forget", student="zoe")


def test_a_warden_learns_what_is_stale(asked: client.Keeper) -> None:
    begin(asked)

    def seen(node: str, **holds: str) -> dict[str, Any]:
        return asked.say("seen", node=node, name=node.replace("id", "n"), holds=holds)

    assert seen("id1", anna="ops") == {"stale": [], "current": {"anna": 1}, "coming": {}}
    assert seen("id2", anna="ops") == {"stale": ["anna"], "current": {}, "coming": {}}
    assert seen("id2", anna="other", bob="ops") == {"stale": [], "current": {}, "coming": {}}, (
        "no environment of this swarm's"
    )
    asked.say("end", student="anna", generation=1)
    assert seen("id1", anna="ops") == {"stale": [], "current": {}, "coming": {}}, "it is just being removed"
    assert seen("id2", anna="ops") == {"stale": ["anna"], "current": {}, "coming": {}}
    begin(asked, "id2")
    assert seen("id1", anna="ops") == {"stale": ["anna"], "current": {}, "coming": {}}


def test_what_was_not_kept_aside_stays_stale_until_its_supervisor_brings_up_what_it_was_given(
    asked: client.Keeper, packed: Callable[..., bytes]
) -> None:
    begin(asked)
    asked.push("anna", stamp(1), packed(1), 1)
    begin(asked, "id2")
    for generation in (3, 4):  # it fails, or the answer is lost
        assert begin(asked) == {"generation": generation, "stale": True, "stamp": stamp(1)}
    holds = {"anna": "ops"}
    seen = asked.say("seen", node="id1", name="n1", holds=holds)
    assert seen == {"stale": [], "current": {}, "coming": {"anna": 4}}, "a warden pushes nothing of it"
    asked.say("up", student="anna", generation=4, parts={})
    assert asked.say("seen", node="id1", name="n1", holds=holds)["current"] == {"anna": 4}
    assert not begin(asked)["stale"], "as after a restart of the node"


def test_what_is_found_on_a_lost_node_is_kept_as_a_save(asked: client.Keeper, packed: Callable[..., bytes]) -> None:
    begin(asked)
    asked.push("anna", stamp(1), packed(1), 1)
    begin(asked, "id2")
    asked.push_aside("anna", stamp(2), packed(2, name="aside-n1"), "n1")
    lease = leases.read("anna")
    assert lease
    assert lease.moves[-1].aside == "aside-n1"
    assert lease.stamp == stamp(1)
    asked.push("anna", stamp(3), packed(3), 2)
    assert {manifest["name"]: manifest["stamp"] for manifest in kept.manifests("anna")} == {
        "aside-n1": stamp(2),
        words.PUSHED: stamp(3),
    }
    with pytest.raises(UsageError, match="incomplete"):
        asked.push_aside("anna", stamp(4), packed(4, name="a\x1b[2Jb"), "n1")


def test_many_students_push_at_once(server: keeper.Server, packed: Callable[..., bytes]) -> None:
    students = [f"s{number}" for number in range(12)]
    sent = {who: [packed(number, student=who, content=os.urandom(3000)) for number in (1, 2, 3)] for who in students}
    failed: list[Exception] = []

    def one(who: str, number: int) -> None:
        try:
            asking(server.server_port).push(who, stamp(number), sent[who][number - 1], 1)
        except Exception as error:
            failed.append(error)

    for who in students:
        begin(asking(server.server_port), student=who)
    threads = [threading.Thread(target=one, args=(who, number)) for who in students for number in (3, 1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert {who: kept.stamps(who) for who in students} == {who: {stamp(3)} for who in students}
    assert all(kept.packed(who, stamp(3)) == sent[who][2] for who in students)


def test_a_disk_that_takes_nothing_is_told_and_the_copy_before_stays(
    asked: client.Keeper, state: Path, packed: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(asked)
    asked.push("anna", stamp(1), packed(1), 1)
    before, second = files(state), packed(2)

    def full(*_: object) -> NoReturn:
        raise OSError(28, "No space left on device")

    rename = Path.rename

    def full_for_leases(path: Path, target: Path) -> Path:
        return rename(path, target) if path.suffix != ".part" or path.is_dir() else full()

    with monkeypatch.context() as patch:
        patch.setattr(kept, "_write", full)
        with pytest.raises(LabenvError, match="cannot be written: No space left on device") as error:
            asked.push("anna", stamp(2), second, 1)
    assert not isinstance(error.value, UsageError | EngineError)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", full_for_leases)
        with pytest.raises(LabenvError, match="cannot be written: No space left on device"):
            asked.push("anna", stamp(2), second, 1)
    assert kept.stamps("anna") == {stamp(1)}
    assert leases.read("anna").stamp == stamp(1)  # type: ignore[union-attr]
    asked.push("anna", stamp(3), packed(3), 1)
    assert set(files(state)) == {name.replace(stamp(1), stamp(3)) for name in before}


def test_a_keeper_that_is_away_is_asked_again_until_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_PAUSE", 0.05)
    first = listening()
    port = first.server_port
    there = asking(port)
    begin(there)
    first.shutdown()
    first.server_close()
    with pytest.raises(EngineError, match=f"The keeper at https://{HERE}:{port} does not answer"):
        asking(port).say("seen", node="id1", name="n1", holds={})
    back: list[keeper.Server] = []
    later = threading.Timer(0.5, lambda: back.append(listening(port)))
    later.start()
    assert client.patiently(lambda: begin(asking(port)), 20)["generation"] == 2
    later.join()
    back[0].shutdown()
    back[0].server_close()
    began = time.monotonic()
    with pytest.raises(EngineError):
        client.patiently(lambda: begin(asking(port)), 0.2)
    assert time.monotonic() - began < 5


def test_what_is_refused_is_not_asked_again(asked: client.Keeper) -> None:
    asks: list[int] = []

    def ask() -> None:
        asks.append(1)
        asked.push("anna", stamp(1), b"", 1)

    with pytest.raises(Gone):
        client.patiently(ask, 20)
    assert len(asks) == 1


def test_a_port_that_is_taken_is_an_error_that_leaves_no_socket(server: keeper.Server) -> None:
    with pytest.raises(OSError, match="in use"):
        listening(server.server_port)


def test_a_keeper_that_does_not_see_the_managers_state_does_not_run(tmp_path: Path) -> None:
    code = "import sys; from labenv.swarm import keeper, words; words.SECRETS = sys.argv[1]; keeper.main()"
    secrets, env = setup.folder(), {**os.environ, "XDG_STATE_HOME": str(tmp_path / "elsewhere")}
    done = subprocess.run(
        [sys.executable, "-c", code, str(secrets)], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "does not see the state of the manager's user" in done.stderr


def test_the_keepers_program_serves_until_it_is_ended(tmp_path: Path, state: Path) -> None:
    with socket.create_server((HERE, 0)) as free:
        port = free.getsockname()[1]
    code = "import sys; from labenv.swarm import keeper, words; words.SECRETS = sys.argv[1]; keeper.main()"
    place = tmp_path / "a place"
    env = {**os.environ, words.KEEPER_PORT: str(port), words.PLACES: json.dumps([f"file://{place}", "nonsense://x"])}
    running = subprocess.Popen(
        [sys.executable, "-c", code, str(setup.folder())],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert client.patiently(lambda: begin(asking(port)), 60)["generation"] == 1
        running.terminate()
        said, complaints = running.communicate(timeout=20)
    finally:
        running.kill()
    assert (running.returncode, said) == (0, f"The keeper listens on port {port}.\n")
    assert "nonsense://x is no place for copies" in complaints


def test_what_machines_on_a_lost_node_stand_on_is_kept_until_they_were_kept_aside(
    state: Path, asked: client.Keeper, packed: Callable[..., bytes]
) -> None:
    def there() -> set[str]:
        return {path.name.removesuffix(".parent") for path in (state / "saves" / "anna").iterdir()}

    begin(asked)
    asked.push("anna", stamp(1), packed(1), 1)
    asked.say("end", student="anna", generation=1)
    begin(asked, "id2")  # drained: its machines on n2 came out of the first copy
    asked.push("anna", stamp(2), packed(2, parent=stamp(1)), 2)
    begin(asked, "id3")  # n2 is lost: those on n3 come out of the second one
    asked.push("anna", stamp(3), packed(3, parent=stamp(2)), 3)
    asked.say("end", student="anna", generation=3)
    begin(asked, "id1")
    asked.push("anna", stamp(4), packed(4, parent=stamp(3)), 4)
    asked.push("anna", stamp(5), packed(5, parent=stamp(3)), 4)
    assert there() == {stamp(1), stamp(2), stamp(3), stamp(5)}
    asked.push_aside("anna", stamp(6), packed(6, parent=stamp(1), name="aside-n2"), "n2")
    asked.push("anna", stamp(7), packed(7, parent=stamp(3)), 4)
    assert there() == {stamp(3), stamp(6), stamp(7)}
