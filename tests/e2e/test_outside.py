"""The world outside: a reference account, other domains, and addresses that behave as the real world does."""

import imaplib
import re
import smtplib
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from labenv.checks.machine import Site
from labenv.computer import slowness
from labenv.engine import Engine
from labenv.engine.dial import dial
from labenv.engine.labels import LABEL
from tests.e2e.conftest import Cli

SERVER = "outlook.office365.com"
_WAIT = 90  # seconds, for a machine that is five times slower
_AUTHORITY = "rm -r /etc/pki/labenv; find /etc/ssl/certs /etc/pki/tls /usr/local/share/ca-certificates -type l -delete; /usr/lib/labenv/authority"


class World:
    """An environment with the world outside, and clients that connect from its host."""

    def __init__(self, cli: Cli, engine: Engine, made: dict[str, Any]) -> None:
        self.cli, self.engine = cli, engine
        self.student, self.domain, self.password = made["student"], made["domain"], made["password"]
        self.x = made["network"].split(".")[2]
        self.account = f"{self.student}@myseneca.ca"
        self.site = Site(engine, engine.environments(self.student)[0])
        self.tls = ssl.create_default_context(cadata=self.run("host", "cat /etc/pki/labenv/ca.crt"))

    def run(self, machine: str, script: str, rc: int = 0) -> str:
        done = self.site[machine].run(script)
        assert done.rc == rc, f"{machine}: {script} → {done.rc}\n{done.stdout}{done.stderr}"
        return str(done.stdout)

    def connect(self, port: int, host: str = SERVER) -> socket.socket:
        return dial(self.engine.api, f"labenv-{self.student}-host", host, port, timeout=30)

    def imap(self, password: str | None = None) -> imaplib.IMAP4:
        session = _Imap(self)
        session.login(self.account, self.password if password is None else password)
        return session

    def submission(self) -> smtplib.SMTP:
        session = _Smtp(self)
        session.starttls(context=self.tls)
        session.login(self.account, self.password)
        return session

    def log(self, machine: str, pattern: str) -> str:
        """The first line of a machine's maillog that matches, once there is one."""
        deadline = time.monotonic() + _WAIT
        while not (found := re.search(f"^.*(?:{pattern}).*$", self.run(machine, "cat /var/log/maillog"), re.MULTILINE)):
            assert time.monotonic() < deadline, f"no line fits {pattern} on {machine}"
        return found[0]

    def send(self, to: str, *, sender: str | None = None) -> str:
        """Send a message from vm2 with the command line; returns what happens to it on vm3, from the log."""
        sender = sender or f"{self.student}@{self.domain}"
        before = self.run("vm3", "wc -l </var/log/maillog").strip()
        self.run("vm2", f"echo hello | mail -s greetings -r {sender} {to}")
        deadline = time.monotonic() + _WAIT
        while not (lines := [li for li in self.since("vm3", before) if "postfix/smtp[" in li and f"to=<{to}>" in li]):
            assert time.monotonic() < deadline, f"vm3 has not tried to send to {to}"
        return lines[0]

    def since(self, machine: str, lines: str) -> list[str]:
        return self.run(machine, f"tail -n +{int(lines) + 1} /var/log/maillog").splitlines()


class _Imap(imaplib.IMAP4):
    def __init__(self, world: World) -> None:
        self._world = world
        super().__init__(SERVER, 993, timeout=30)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        return self._world.tls.wrap_socket(self._world.connect(993), server_hostname=SERVER)


class _Smtp(smtplib.SMTP):
    def __init__(self, world: World) -> None:
        self._world = world
        super().__init__(SERVER, 587, local_hostname="client", timeout=30)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return self._world.connect(port)


@pytest.fixture(scope="module")
def world(cli: Cli, engine: Engine, new_student: Callable[[], str]) -> Iterator[World]:
    """A finished lab with the world outside, shared by the tests that leave it as it is."""
    name = new_student()
    made = cli.json("up", name, "--outside")
    assert made["check"]["summary"]["failed"] == 0
    assert made["check"]["summary"]["passed"] > 40
    world = World(cli, engine, made)
    yield world
    world.site.close()
    cli("down", "-s", name)


@pytest.fixture
def inbox(world: World) -> Callable[[str], list[bytes]]:
    """Reads the student's mailbox outside: the messages that contain a word, once there is one."""

    def look(word: str) -> list[bytes]:
        deadline = time.monotonic() + _WAIT
        while True:
            session = world.imap()
            session.select("INBOX", readonly=True)
            found = session.search(None, "TEXT", f'"{word}"')[1][0].split()
            fetched = [part for number in found for part in session.fetch(number.decode(), "(BODY.PEEK[])")[1]]
            messages = [part[1] for part in fetched if isinstance(part, tuple)]
            session.logout()
            if messages:
                return messages
            assert time.monotonic() < deadline, f"no message with {word} in the mailbox"

    return look


def test_the_reference_account_is_as_on_the_sheet_and_has_mail_in_it(world: World) -> None:
    session = world.imap()
    assert int(session.select("INBOX", readonly=True)[1][0] or b"") >= 3
    folders = b" ".join(line for line in session.list()[1] if isinstance(line, bytes))
    assert b'\\Trash) "/" "Deleted Items"' in folders
    session.logout()
    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
        world.imap("wrong")
    assert f"user=<{world.account}>" in world.log("outside", "imap-login: Login: ")


@pytest.mark.parametrize("machine", ["host", "vm2", "vm3"])
def test_every_machine_trusts_the_certificate(world: World, machine: str) -> None:
    verify = f"-verify_return_error -verify_hostname {SERVER}"
    world.run(machine, f"echo | openssl s_client -connect {SERVER}:993 {verify} >/dev/null")
    world.run(machine, f"echo | openssl s_client -connect {SERVER}:587 -starttls smtp {verify} >/dev/null")


def test_the_authority_has_no_key_and_can_vouch_for_the_labs_domains_only(world: World) -> None:
    assert "PRIVATE" not in world.run("host", "cat /etc/pki/labenv/ca.*")
    said = world.run("host", "openssl x509 -in /etc/pki/labenv/ca.crt -noout -ext nameConstraints")
    assert "critical" in said
    assert set(re.findall(r"DNS:(\S+)", said)) == {
        "office365.com", "outlook.com", "myseneca.ca", "example.com", "example.net", "example.org",
        "roundcube.net", "github.com",
    }  # fmt: skip


def test_submission_wants_tls_a_login_and_ones_own_name(world: World) -> None:
    with _Smtp(world) as session:
        session.ehlo()
        assert "starttls" in session.esmtp_features
        assert "auth" not in session.esmtp_features
        assert session.docmd("MAIL FROM:<>")[0] == 530
        session.starttls(context=world.tls)
        assert session.docmd("MAIL", f"FROM:<{world.account}>")[0] == 250
        assert session.docmd("RCPT", f"TO:<{world.student}@{world.domain}>")[0] == 554
    with world.submission() as session:
        assert session.docmd("MAIL", "FROM:<somebody@example.com>")[0] == 250
        assert session.docmd("RCPT", "TO:<info@example.org>")[0] == 553


def test_mail_from_outside_comes_by_the_mx_into_the_maildir_on_vm3(world: World) -> None:
    with world.submission() as session:
        to = f"{world.student}@{world.domain}"
        session.sendmail(world.account, [to], f"Message-ID: <from-afar@myseneca.ca>\r\nTo: {to}\r\n\r\nhello\r\n")
    sent = world.log("outside", rf"postfix/smtp\[.*to=<{to}>")
    assert f"relay=vm3.{world.domain}[192.168.{world.x}.4]:25" in sent
    assert "status=sent" in sent
    assert f"client=unknown[198.18.{world.x}.2]" in world.log("vm3", r"client=unknown\[198")
    world.log("vm3", rf"lda\({world.student}\).*msgid=<from-afar@myseneca.ca>: saved mail to INBOX")
    world.run("vm3", f"grep -r 'from-afar@myseneca.ca' /home/{world.student}/Maildir/new")


def test_mail_to_the_account_goes_through_vm3_and_carries_the_domain(
    world: World, inbox: Callable[[str], list[bytes]]
) -> None:
    assert "relay=myseneca-ca.mail.protection.outlook.com[198.51.100.25]:25" in (sent := world.send(world.account))
    assert "status=sent" in sent
    [message] = inbox("greetings")
    assert message.startswith(f"Return-Path: <{world.student}@{world.domain}>".encode())
    assert f"from vm3.{world.domain}".encode() in message
    assert f"by vm3.{world.domain}".encode() in message
    [message_id] = re.findall(rb"^Message-Id: <(.*)>", message, re.MULTILINE | re.IGNORECASE)
    story = world.cli("trace", "-s", world.student, message_id.decode()).stdout
    assert "vm3 sends it to outside" in story
    assert f"delivered to /var/spool/mail/myseneca.ca/{world.student}/new/" in story


def test_greylisted_mail_waits_and_is_taken_when_it_comes_again(world: World) -> None:
    assert "450 4.7.1 <greylist@example.net>: Recipient address rejected: Greylisted" in (
        first := world.send("greylist@example.net")
    )
    assert "status=deferred" in first
    deadline = time.monotonic() + _WAIT
    while "status=sent" not in world.run("vm3", "postqueue -f; grep 'to=<greylist@' /var/log/maillog"):
        assert time.monotonic() < deadline, "it was never taken"


def test_unknown_senders_are_rejected_where_that_is_asked(world: World) -> None:
    assert "status=sent" in world.send("strict@example.net")
    assert re.search(
        r"550 5\.1\.[78] .*Sender address rejected.*User unknown",
        world.send("strict@example.net", sender=f"nobody-of-us@{world.domain}"),
    )
    assert "550 5.1.8" in world.send("strict@example.net", sender="somebody@nowhere.example.com")


def test_a_full_mailbox_an_unknown_user_and_an_unknown_domain_bounce(world: World) -> None:
    assert "552 5.2.2 <full@example.net>: Recipient address rejected: Mailbox is full" in world.send("full@example.net")
    assert "550 5.1.1 <nobody@example.org>: Recipient address rejected: User unknown" in world.send(
        "nobody@example.org"
    )
    assert "status=sent" in world.send("whoever@example.com")
    bounced = world.send("somebody@nowhere.test")
    assert "Host or domain name not found" in bounced
    assert "status=bounced" in bounced


def test_a_slow_server_takes_its_time(world: World) -> None:
    sent = world.send("slow@example.net")
    assert "status=sent" in sent
    assert float(re.search(r"delay=([\d.]+)", sent)[1]) >= 10  # type: ignore[index]


def test_the_forwarder_is_the_root_of_the_little_world(world: World) -> None:
    assert world.run("vm2", "dig +short @208.67.222.222 NS .") == "a.root-servers.net.\n"
    delegation = world.run("vm2", f"dig +norecurse @198.51.100.53 NS {world.domain}")
    assert re.search(rf"^{world.domain}\.\s.*\sNS\s+host\.{world.domain}\.$", delegation, re.MULTILINE)
    assert world.run("vm2", "dig +short MX myseneca.ca") == "0 myseneca-ca.mail.protection.outlook.com.\n"
    assert "status: NXDOMAIN" in world.run("vm2", "dig nowhere.test")
    seen = world.run("outside", f"dig +short MX {world.domain}")
    assert seen == f"10 vm3.{world.domain}.\n"
    conf = world.run("host", "cat /etc/named.conf")
    assert "dnssec" not in conf, "the sheet's file believes a signed root only"
    assert f"allow-query {{ 127.0.0.1; 192.168.{world.x}.0/24; }};" in conf, "and answers the LAN only"
    assert "; flags: qr rd ra ad;" not in world.run("vm2", "dig myseneca.ca"), "what the root delegates is not signed"
    assert re.search(r"flags: qr rd ra ad;", world.run("vm2", "dig . SOA"))


def test_a_web_site_outside_opens_by_its_name(world: World) -> None:
    for name in ("google.ca", "www.example.com"):
        assert "The world outside" in world.run("vm2", f"host {name} >/dev/null && lynx -dump http://{name}/")


def test_from_outside_only_the_mail_server_and_the_name_server_are_reached(world: World) -> None:
    x = world.x

    def reached(address: str, port: int) -> bool:
        return world.run("outside", f"timeout 5 nc -z {address} {port} 2>/dev/null; echo $?").strip() == "0"

    assert reached(f"192.168.{x}.4", 25)
    assert reached(f"192.168.{x}.1", 53)
    assert not reached(f"192.168.{x}.4", 143)
    assert not reached(f"192.168.{x}.1", 22)
    # Any target on the LAN stands for host's public address, behind which there is only the one mail server.
    assert f"vm3.{world.domain}" in world.run("outside", f"echo QUIT | timeout 5 nc 192.168.{x}.3 25")


@pytest.mark.parametrize("machine", ["host", "vm3", "outside"])
def test_no_packet_finds_a_way_to_the_real_world(world: World, machine: str) -> None:
    for address in ("8.8.8.8", "203.0.113.9"):
        began = time.monotonic()
        assert world.run(machine, f"nc -z -w 90 {address} 53", rc=1) == ""
        assert time.monotonic() - began < 15 * slowness(), "it is refused at once, not after a silence"


def test_a_firewall_that_is_loaded_anew_or_saved_keeps_the_road(world: World) -> None:
    world.run("host", "service iptables save; systemctl restart iptables; systemctl reload iptables")
    assert world.run("host", "iptables -S FORWARD | grep -c UPLINK").strip() == "1"
    assert "status=sent" in world.send("info@example.org")


def test_logs_and_status_know_outside(world: World) -> None:
    assert "postfix/smtpd" in world.cli("logs", "-s", world.student, "outside", "-n", "100").stdout
    [there] = world.cli.json("status", "-s", world.student)["environments"]
    outside = there["machines"][-1]
    assert (outside["name"], outside["address"], outside["state"]) == ("outside", f"198.18.{world.x}.2", "running")
    assert set(outside["published"]) == {"587"}


def test_it_joins_an_environment_that_runs_outlives_reboots_and_leaves_with_it(
    cli: Cli, engine: Engine, student: str
) -> None:
    cli("up", student, "--at", "lab4a", "--no-check")
    began = time.monotonic()
    assert "status: SERVFAIL" in cli.inside(student, "vm2", "dig outlook.office365.com")
    cli.inside(student, "vm2", "nc -z -w 90 198.51.100.40 993", rc=1)
    assert time.monotonic() - began < 10 * slowness(), "without a world outside, nobody waits for it"
    typed = cli.inside(student, "vm2", "echo my work >/root/mine; ls /root/mine")
    cli.inside(student, "host", _AUTHORITY)  # as if host were made from an image that was built another time

    changes = cli.json("up", student, "--outside")["changes"]
    assert changes == ["made the network wan", "attached host to the network wan", "made outside"]
    cli.inside(student, "host", "cmp /etc/hosts /etc/labenv/hosts")  # the engine adds a line for each network
    assert cli.json("up", student)["changes"] == []
    look = "getent hosts outlook.office365.com >/dev/null && nc -z -w 20 outlook.office365.com 993"
    cli.inside(student, "vm2", look)
    cli.inside(student, "host", f"echo | openssl s_client -connect {SERVER}:993 -verify_return_error >/dev/null")

    cli("history", "-s", student)
    cli("reboot", "-s", student, "host")
    cli.inside(student, "vm2", look)
    told = cli("history", "host", "-s", student, rc=None).stdout
    assert "labenv reboot" not in told, "interfaces may have other numbers now; that is no edit"
    cli("reboot", "-s", student, "outside")
    cli.inside(student, "vm2", look)

    engine.api.stop(f"labenv-{student}-outside")
    assert cli.json("up", student)["changes"] == ["started outside"]
    engine.api.remove_container(f"labenv-{student}-outside", force=True)
    assert "made outside" in cli.json("up", student, "--outside")["changes"]
    cli.inside(student, "vm2", look)
    assert cli.inside(student, "vm2", "ls /root/mine") == typed

    cli("down", "-s", student)
    wanted = {"label": f"{LABEL}={student}"}
    assert not engine.api.containers(all=True, filters=wanted)
    assert not engine.api.networks(filters=wanted)
