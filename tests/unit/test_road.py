"""The road to an engine over ssh: addresses, what ssh is asked for, and what it says. Real ones are in tests/e2e/test_ssh_engine.py."""

import os
import pickle
from pathlib import Path

import pytest

from labenv.engine.endpoint import Endpoint
from labenv.engine.no_road import NoRoadError, of_engine, of_ssh
from labenv.engine.road import Road, keyed
from tests.unit.made_up import program

CHANGED = """\
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
Offending ED25519 key in /home/me/.ssh/known_hosts:3
Host key for [there]:2222 has changed and you have requested strict checking.
Host key verification failed.
"""
OPEN_KEY = """\
Permissions 0644 for '/home/me/.ssh/id_ed25519' are too open.
Load key "/home/me/.ssh/id_ed25519": bad permissions
me@there: Permission denied (publickey).
"""


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of the command lines of ssh, which is one that says no."""
    said = tmp_path / "said"
    program(tmp_path / "bin/ssh", f'#!/bin/sh\nprintf "%s\\n" "$@" >{said}\necho "no such luck." >&2; exit 255\n')
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return said


def refused(url: str, *options: str) -> NoRoadError:
    with pytest.raises(NoRoadError) as caught:
        Road(url, options).opened()
    return caught.value


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ssh://there", ["--", "there"]),
        ("ssh://There/", ["--", "There"]),  # a Host of ~/.ssh/config may be written so
        ("ssh://me@there:2222", ["-l", "me", "-p", "2222", "--", "there"]),
        ("ssh://me%40work@[fe80::1%eth0]:22/run/docker.sock", ["-l", "me@work", "-p", "22", "--", "fe80::1%eth0"]),
    ],
)
def test_an_address_becomes_words_of_ssh(said: Path, url: str, words: list[str]) -> None:
    assert refused(url, "ControlPersist=5").detail == "cannot be reached over ssh: no such luck"
    asked = said.read_text().splitlines()
    assert asked[-len(words) :] == words
    assert asked.index("-oControlPersist=5") < asked.index("-oControlPersist=600"), "ssh takes the first"
    assert "-oBatchMode=yes" in asked


@pytest.mark.parametrize(
    "url", ["ssh://", "ssh://-oProxyCommand=x", "ssh://a:b@there", "ssh://a b", "ssh://there:port"]
)
def test_what_is_no_address_reaches_no_ssh(said: Path, url: str) -> None:
    assert refused(url).detail == "is no address that labenv knows"
    assert not said.exists()


def test_without_ssh_there_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert refused("ssh://there").mend == "Install OpenSSH's client."


def test_sockets_have_a_short_path_of_plain_letters(
    said: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("a" * 80, "100%h"):
        (tmp_path / folder).mkdir()
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / folder))
        refused("ssh://there")
        asked = said.read_text().splitlines()
        control = asked[asked.index("-S") + 1]
        assert control.startswith(f"/tmp/labenv-ssh-{os.geteuid()}/")
        Path(control).with_suffix(".said").unlink()
        Path(control).with_suffix(".lock").unlink()


@pytest.mark.parametrize(
    ("text", "detail", "mend"),
    [
        (CHANGED, "has another host key than before", "ssh-keygen -R '[there]:2222' -f /home/me/.ssh/known_hosts"),
        ("Host key verification failed.", "has a host key that this computer does not know", "Log in once"),
        (
            "me@there: Permission denied (publickey).",
            "does not let you in with an SSH key of yours",
            "ssh-copy-id me@x",
        ),
        (OPEN_KEY, "does not let you in with an SSH key of yours", "chmod 600 /home/me/.ssh/id_ed25519"),
        (
            "ssh: Could not resolve hostname x: Name or service not known",
            "has a name for which no address is known",
            "This has to work: ssh -o BatchMode=yes me@x true",
        ),
        (
            "ssh: connect to host x port 22: Connection refused",
            "runs no SSH server on that port: connection refused",
            "true",
        ),
        (
            "ssh: connect to host x port 22: No route to host",
            "cannot be reached over ssh: no route to host",
            "true",
        ),
        ("Connection to x port 22 timed out", "cannot be reached over ssh: it does not answer", "switched on"),
        (
            "Connection timed out during banner exchange",
            "cannot be reached over ssh: it does not answer",
            "switched on",
        ),
        ("", "cannot be reached over ssh: ssh says no reason", "true"),
    ],
)
def test_what_ssh_says_becomes_a_sentence_with_a_way_out(text: str, detail: str, mend: str) -> None:
    found = of_ssh(text, "me@x", users=True)
    assert found.detail == detail
    assert mend in found.mend


def test_an_engine_that_does_not_answer_there_is_told_apart() -> None:
    assert of_engine("absent", "/s", "x").detail == "has no engine's socket /s"
    assert "usermod -aG docker" in of_engine("denied", "/s", "x").mend
    assert "AllowStreamLocalForwarding" in of_engine("what a forced command says", "/s", "x").mend


def test_an_endpoint_over_ssh_is_elsewhere_and_goes_to_another_process(tmp_path: Path) -> None:
    endpoint = Endpoint("ssh://10.0.0.2", "the node n2", chosen=True, ssh=keyed(tmp_path))
    assert endpoint.socket is None
    assert pickle.loads(pickle.dumps(endpoint)) == endpoint
    others = ("unix:///x", "tcp://localhost:2375", "tcp://127.0.0.1", "tcp://[::1]:1", "tcp://127.0.0.1.example.org:1")
    assert [Endpoint(url, "").is_elsewhere for url in (endpoint.url, "tcp://docker:2375", *others)] == [
        *(True, True),
        *(False, False, False, False, True),
    ]
