"""What the parts of a swarm trust each other by: made once, whole whenever it is interrupted, and for its user alone."""

import multiprocessing
import os
import ssl
import stat
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography import x509

from labenv.errors import EngineError, UsageError
from labenv.swarm import client, leases, setup, wishes, words
from labenv.swarm.wishes import Wish

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJlQ5qGJQ3Hn0m0M2a5yQpS0cVvJ2nD6n5b1cDxW4Q9u labenv"
ADDRESS = "192.0.2.11"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def everything() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in setup.folder().iterdir()}


def fit_together() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(setup.folder() / words.CERTIFICATE, setup.folder() / words.KEY)


def addresses() -> list[str]:
    there = x509.load_pem_x509_certificate(setup.content(words.CERTIFICATE))
    names = there.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in names]


def test_what_is_made_once_stays_and_is_for_its_user_alone(home: Path) -> None:
    before = os.umask(0)
    try:
        setup.prepare(ADDRESS)
    finally:
        os.umask(before)
    made = everything()
    assert set(made) == {words.TOKEN, words.CERTIFICATE, words.KEY, "address", "id_ed25519", "id_ed25519.pub"}
    assert stat.S_IMODE(setup.folder().stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in setup.folder().iterdir()}
    assert modes.pop("id_ed25519.pub") & 0o022 == 0
    assert set(modes.values()) == {0o600}
    setup.prepare(ADDRESS)
    assert everything() == made
    fit_together()
    assert addresses() == [ADDRESS]
    assert setup.public_key().startswith("ssh-ed25519 ")
    assert setup.keeper_url() == f"https://{ADDRESS}:{words.PORT}"


@pytest.mark.parametrize("now", ["192.0.2.1", "92.0.2.11", "2001:db8::1", "manager.example.org"])
def test_another_address_gets_another_certificate_and_keeps_the_token(now: str) -> None:
    setup.prepare(ADDRESS)
    before = everything()
    setup.prepare(now)
    assert addresses() == [now]
    fit_together()
    after = everything()
    assert after[words.TOKEN] == before[words.TOKEN]
    assert after["id_ed25519"] == before["id_ed25519"]
    assert setup.keeper_url() == f"https://{f'[{now}]' if ':' in now else now}:{words.PORT}"


@pytest.mark.parametrize("number", range(7))
@pytest.mark.parametrize("before", ["", "192.0.2.99"])
def test_interrupted_anywhere_it_is_repaired(number: int, before: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if before:
        setup.prepare(before)
    left = [number]
    rename, unlink = Path.rename, Path.unlink

    def interrupted() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt

    def renamed(path: Path, target: Path) -> Path:
        interrupted()
        return rename(path, target)

    def unlinked(path: Path, missing_ok: bool = False) -> None:
        interrupted()
        unlink(path, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", renamed)
        patch.setattr(Path, "unlink", unlinked)
        with suppress(KeyboardInterrupt):
            setup.prepare(ADDRESS)
    setup.prepare(ADDRESS)
    assert addresses() == [ADDRESS]
    fit_together()
    assert setup.public_key()
    assert setup.keeper_url() == f"https://{ADDRESS}:{words.PORT}"
    assert not [name for name in everything() if ".part" in name]


def _prepare(address: str) -> None:
    setup.prepare(address)


def test_two_at_once_make_what_fits_together() -> None:
    started = [multiprocessing.Process(target=_prepare, args=(ADDRESS,)) for _ in range(4)]
    for each in started:
        each.start()
    for each in started:
        each.join()
    assert {each.exitcode for each in started} == {0}
    fit_together()


def test_without_a_swarm_it_is_said_how_to_make_one() -> None:
    for asks in (setup.keeper_url, setup.public_key, setup.made, client.of_manager, lambda: setup.content(words.TOKEN)):
        with pytest.raises(EngineError, match=r"manages no swarm of labenv's.* Make one: labenv swarm init"):
            asks()
    assert not leases.is_kept()
    with pytest.raises(EngineError, match="This runs as a service of a swarm"):
        client.of_service()


def test_an_interrupted_certificate_is_no_address_yet() -> None:
    setup.prepare(ADDRESS)
    (setup.folder() / "address").unlink()
    with pytest.raises(EngineError, match="Make one: labenv swarm init"):
        setup.keeper_url()


def test_what_is_over_is_forgotten_but_the_key_that_nodes_know() -> None:
    setup.prepare(ADDRESS)
    assert leases.is_kept()
    key = setup.public_key()
    setup.forget()
    setup.forget()
    assert not leases.is_kept()
    assert set(everything()) == {"id_ed25519", "id_ed25519.pub"}
    setup.prepare(ADDRESS)
    assert setup.public_key() == key


def test_a_folder_that_cannot_be_written_is_named(home: Path) -> None:
    (home / "state").mkdir()
    (home / "state" / "labenv").write_text("a file")
    with pytest.raises(EngineError, match="labenv/swarm cannot be written"):
        setup.prepare(ADDRESS)


def test_without_ssh_keygen_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(EngineError, match="apt-get install openssh-client"):
        setup.prepare(ADDRESS)
    monkeypatch.undo()


def test_a_key_is_let_in_once_and_for_the_engine_alone(home: Path) -> None:
    path = setup.authorize(f" {KEY}\n")
    assert path == home / ".ssh" / "authorized_keys"
    assert path.read_text() == f'restrict,port-forwarding,command="/bin/false" {KEY}\n'
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    setup.authorize(KEY)
    assert len(path.read_text().splitlines()) == 1


@pytest.mark.parametrize("ends", ["", "\n", "\r\n"])
def test_what_others_may_do_stays(home: Path, ends: str) -> None:
    (home / ".ssh").mkdir()
    path = home / ".ssh" / "authorized_keys"
    theirs = b"# \xe9 in Latin-1\nssh-rsa AAAA them@there" + ends.encode()
    path.write_bytes(theirs)
    setup.authorize(KEY)
    lines = path.read_bytes().splitlines()
    assert lines[:2] == theirs.splitlines()
    assert lines[2].decode().endswith(KEY)
    assert len(lines) == 3
    setup.authorize(KEY)
    assert len(path.read_bytes().splitlines()) == 3


def test_a_key_in_a_comment_is_not_let_in(home: Path) -> None:
    path = setup.authorize(KEY)
    path.write_text(f"# {path.read_text()}")
    setup.authorize(KEY)
    assert len(path.read_text().splitlines()) == 2


@pytest.mark.parametrize(
    "key",
    [
        "",
        "labenv",
        KEY.replace("ssh-ed25519", "ssh-rsa"),
        f'command="sh" {KEY}',
        f"{KEY}\n{KEY}",
        f"{KEY}\nssh-rsa AAAA",
        KEY + " and more",
        KEY + "\0",
        "ssh-ed25519 " + "A" * 500,
        "ssh-ed25519 ÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄ",
    ],
)
def test_what_is_no_key_is_refused(home: Path, key: str) -> None:
    with pytest.raises(UsageError, match="--key takes what `labenv swarm init` has printed"):
        setup.authorize(key)
    assert not (home / ".ssh").exists()


def test_where_no_key_can_be_written_the_line_is_said(home: Path) -> None:
    (home / ".ssh").write_text("a file")
    with pytest.raises(
        EngineError, match='Add this line there yourself: restrict,port-forwarding,command="/bin/false" ssh-ed'
    ):
        setup.authorize(KEY)


def test_classes_keep_their_wishes_beside_each_other() -> None:
    assert wishes.everything() == {}
    wishes.keep("ops", Wish("file:///srv/labenv", "", 60))
    wishes.keep("sec", Wish("s3://bucket/labenv", "/root/s3.json"))
    wishes.keep("ops", Wish("file:///srv/other", "", 120))
    assert wishes.everything() == {
        "ops": Wish("file:///srv/other", "", 120),
        "sec": Wish("s3://bucket/labenv", "/root/s3.json", 300),
    }
    assert stat.S_IMODE((setup.folder() / "wishes.json").stat().st_mode) == 0o600
    wishes.keep("ops", None)
    wishes.keep("ops", None)
    assert set(wishes.everything()) == {"sec"}


def _wish(number: int) -> None:
    wishes.keep(f"class-{number}", Wish(f"file:///srv/{number}"))


def test_classes_that_wish_at_once_lose_none() -> None:
    started = [multiprocessing.Process(target=_wish, args=(number,)) for number in range(6)]
    for each in started:
        each.start()
    for each in started:
        each.join()
    assert len(wishes.everything()) == 6


@pytest.mark.parametrize("harm", ["", "{", "[]", "1", "null", '{"ops": 1}', '{"ops": {"where": "x"}}'])
def test_damaged_wishes_are_none(harm: str) -> None:
    wishes.keep("ops", Wish("file:///srv"))
    (setup.folder() / "wishes.json").write_text(harm)
    assert wishes.everything() == {}
    wishes.keep("sec", Wish())
    assert set(wishes.everything()) == {"sec"}


def test_wishes_of_another_version_leave_the_others(home: Path) -> None:
    wishes.keep("ops", Wish("file:///srv"))
    path = setup.folder() / "wishes.json"
    path.write_text(path.read_text().replace("{", '{"new": {"where": "x"}, ', 1))
    assert set(wishes.everything()) == {"ops"}


def test_wishes_that_cannot_be_written_are_an_error(home: Path) -> None:
    (home / "state").write_text("a file")
    with pytest.raises(EngineError, match=r"wishes\.json cannot be written"):
        wishes.keep("ops", Wish())
