"""The settings of `labenv client`, used by the clients that they are for, over the ports on 127.0.0.1.

The clients run in a container of their own on this computer's network, so that none of them has to be installed.
"""

import secrets
import shlex
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from labenv.engine import Engine
from labenv.engine.image_sources import wanted
from tests.e2e.conftest import Cli

_IMAGE = "labenv-test/clients:latest"


@dataclass(frozen=True)
class Seat:
    """A computer with mail clients; `folder` has the files of `labenv client --write`, `told` is that command's output."""

    engine: Engine
    container: str
    folder: Path
    told: dict[str, Any]

    @property
    def own(self) -> dict[str, Any]:
        """The account on the student's own machines."""
        account: dict[str, Any] = self.told["account"]
        return account

    def __call__(self, script: str, rc: int | None = 0) -> str:
        """The output of a script there."""
        api = self.engine.api
        made = api.exec_create(self.container, ["bash", "-c", f"cd {shlex.quote(str(self.folder))}\n{script}"])
        said: str = api.exec_start(made["Id"]).decode()
        status = api.exec_inspect(made["Id"])["ExitCode"]
        assert rc is None or status == rc, f"{script} → {status}\n{said}"
        return said


@pytest.fixture(scope="module")
def seat(cli: Cli, engine: Engine, finished: dict[str, Any]) -> Iterator[Seat]:
    """The clients with the files written for that environment, in a container that is removed with the tests."""
    base = {"BASE": wanted()["base"].tag}
    engine.client.images.build(
        path=str(Path(__file__).parent / "clients"), tag=_IMAGE, buildargs=base, network_mode="host", rm=True
    )
    folder = Path("/tmp") / f"labenv-{secrets.token_hex(4)}"
    told = cli.json("client", "-s", finished["student"], "--write", str(folder))
    container = engine.client.containers.run(
        _IMAGE,
        ["sleep", "infinity"],
        detach=True,
        network_mode="host",
        init=True,
        volumes={str(folder): {"bind": str(folder)}},
    )
    yield Seat(engine, str(container.id), folder, told)
    container.remove(force=True)
    engine.client.images.remove(_IMAGE)
    subprocess.run(["rm", "-r", folder], check=True)


def arrived(cli: Cli, student: str, machine: str, maildir: str, token: str) -> str:
    """The message with that token in a Maildir, once it is there."""
    find = f"timeout 60 sh -c 'until grep -rl {token} {maildir} 2>/dev/null; do sleep 0.2; done' | head -n 1"
    return cli.inside(student, machine, f"cat $({find})")


def test_only_the_owner_can_read_a_file_with_the_password(seat: Seat) -> None:
    files = [Path(file) for file in seat.told["files"]]
    assert {file.name for file in files} == {f"{seat.told['student']}.ops.xml", "muttrc", "mbsyncrc", "msmtprc"}
    secret = {file for file in files if seat.own["password"] in file.read_text()}
    assert {file.name for file in secret} == {"muttrc", "mbsyncrc"}
    assert {file for file in files if file.stat().st_mode & 0o077 == 0} == secret


def test_msmtp_sends_through_vm2_and_the_message_is_delivered_on_vm3(seat: Seat, cli: Cli) -> None:
    student, token = seat.told["student"], secrets.token_hex(8)
    seat(f"printf 'Subject: {token}\\n\\nHello.\\n' | msmtp -C msmtprc {seat.own['address']}")
    message = arrived(cli, student, "vm3", f"/home/{student}/Maildir/new", token)
    assert f"by vm2.{student}.ops" in message
    assert f"by vm3.{student}.ops" in message
    assert f"Return-Path: <{seat.own['address']}>" in message


def test_mbsync_brings_the_mail_here(seat: Seat, cli: Cli) -> None:
    student, token = seat.told["student"], secrets.token_hex(8)
    cli.inside(student, "vm3", f"echo Hello | mail -s {token} {student}")
    arrived(cli, student, "vm3", f"/home/{student}/Maildir/new", token)
    seat("mbsync -c mbsyncrc -a")
    assert token in seat("cat Mail/INBOX/*/*")


def test_mutt_reads_the_inbox_and_sends(seat: Seat, cli: Cli) -> None:
    student, token = seat.told["student"], secrets.token_hex(8)
    seat(f"echo Hello | mutt -F muttrc -s {token} {seat.own['address']}")
    arrived(cli, student, "vm3", f"/home/{student}/Maildir/new", token)
    seat(f"echo \"set wait_key=no quit=yes; push '<limit>{token}<enter><pipe-message>cat >seen<enter><quit>'\" >keys")
    # Standard input stays open, as a terminal's does.
    typed = "TERM=xterm timeout 60 script -qec \"mutt -F muttrc -e 'source keys'\" screen"
    seat(f"mkfifo keyboard; {typed} <>keyboard >/dev/null; true")
    assert f"Subject: {token}" in seat("cat seen")


def test_thunderbirds_file_says_what_answers(seat: Seat) -> None:
    provider = ET.parse(seat.folder / f"{seat.told['student']}.ops.xml").getroot()[0]
    assert provider.findtext("domain") == f"{seat.told['student']}.ops"
    for server, scheme in (("incomingServer", "imap"), ("outgoingServer", "smtp")):
        host, port = (provider.findtext(f"{server}/{key}") for key in ("hostname", "port"))
        assert (host, port) == (seat.own[scheme]["host"], str(seat.own[scheme]["port"]))
        assert provider.findtext(f"{server}/socketType") == "plain"
    assert provider.findtext("incomingServer/username") == seat.own["user"]


def test_curl_reads_over_imap_and_swaks_sends_over_smtp(seat: Seat, cli: Cli) -> None:
    student, token = seat.told["student"], secrets.token_hex(8)
    imap, smtp = seat.own["imap"], seat.own["smtp"]
    seat(
        f"swaks --server {smtp['host']}:{smtp['port']} --from {seat.own['address']} --to {seat.own['address']} "
        f"--header 'Subject: {token}'"
    )
    arrived(cli, student, "vm3", f"/home/{student}/Maildir/new", token)
    url = f"imap://{imap['host']}:{imap['port']}/INBOX?SUBJECT%20{token}"
    assert seat(
        f"curl -sS --user {seat.own['user']}:{seat.own['password']} --login-options AUTH=PLAIN '{url}'"
    ).startswith("* SEARCH ")


def test_bad_use_gets_a_sentence(cli: Cli, finished: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = cli("client", "-s", finished["student"], "--write", str(tmp_path / "file"), rc=2).stderr
    assert "cannot be written" in said
