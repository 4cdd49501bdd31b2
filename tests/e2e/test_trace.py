"""Following messages over real machines: each ends where it must, and the trace says so in one sentence."""

import json
import re
import smtplib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from labenv.checks.doors import OUTSIDE
from labenv.checks.machine import Site
from labenv.engine import Engine
from labenv.mail.sessions import smtp
from tests.e2e.conftest import Cli

NOT_ROOT = "Dovecot's delivery agent fails: it runs as nobody, not as root, and nobody may not enter /root"


@dataclass(frozen=True)
class Lab:
    """A student's machines at stage done, for sending messages."""

    cli: Cli
    student: str
    site: Site

    @property
    def domain(self) -> str:
        return f"{self.student}.ops"

    def on(self, machine: str, script: str) -> str:
        return str(self.site[machine].output(script))

    def mail(self, machine: str, recipient: str, user: str = "root", settled: str = "removed") -> str:
        """Send a message as a user's `mail` does; returns its id, once the log has a line with the word for its queue id."""
        size = self.on(machine, "stat -c %s /var/log/maillog")
        self.on(machine, f"su - {user} -c 'echo hello | mail -s trace {recipient}'")
        new = f"tail -c +$(({size} + 1)) /var/log/maillog"
        words = self.on(
            machine, f"timeout 20 sh -c 'until {new} | grep -om1 \"message-id=<[^>]*\"; do sleep 0.1; done'"
        )
        message_id = words.removeprefix("message-id=<")
        self.wait(machine, f"{message_id.split('.')[1].partition('@')[0]}: .*{settled}")
        return message_id

    def wait(self, machine: str, line: str) -> None:
        """Wait until a machine's log has a line."""
        self.on(machine, f"timeout 20 sh -c 'until grep -q \"{line}\" /var/log/maillog; do sleep 0.1; done'")

    def trace(self, *wanted: str) -> Any:
        return self.cli.json("trace", "-s", self.student, *wanted)

    def verdict(self, *wanted: str) -> str:
        return str(self.trace(*wanted)["verdict"])


@pytest.fixture(scope="module")
def lab(cli: Cli, engine: Engine, new_student: Callable[[], str]) -> Iterator[Lab]:
    student = new_student()
    cli("up", student, "--no-check")
    site = Site(engine, engine.environments(student)[0])
    yield Lab(cli, student, site)
    site.close()
    cli("down", "-s", student, rc=None)


def test_nothing_was_sent_yet(lab: Lab) -> None:
    done = lab.cli("trace", "-s", lab.student, rc=2)
    assert "No machine's log has a message yet. Send one and try again." in done.stderr


def test_a_message_that_is_delivered(lab: Lab) -> None:
    message_id = lab.mail("vm2", f"{lab.student}@{lab.domain}")
    lab.wait("vm3", f"msgid=<{message_id}>: saved mail")
    shown = lab.cli("trace", "-s", lab.student).stdout.splitlines()
    assert shown[0] == f"{message_id}, from root@{lab.domain} to {lab.student}@{lab.domain}"
    found = re.fullmatch(rf"delivered to (/home/{lab.student}/Maildir/new/\S+) on vm3", shown[-1])
    assert found, shown[-1]
    assert message_id in lab.on("vm3", f"cat {found[1]}")
    assert any("vm2   root submits it to Postfix on vm2" in line for line in shown)
    assert any(re.match(r" +\w+ +\d+ \S+ vm3 dovecot: lda\(.*saved mail to INBOX$", line) for line in shown)


def test_a_message_of_a_client_on_host_through_vm2(lab: Lab) -> None:
    with smtp(lab.site["host"], lab.site["vm2"]) as session:
        text = f"Message-ID: <client-1@{lab.domain}>\n\nhello\n"
        session.sendmail(f"{lab.student}@{lab.domain}", [f"{lab.student}@{lab.domain}"], text)
    lab.wait("vm3", f"msgid=<client-1@{lab.domain}>: saved mail")
    trace = lab.trace(f"<client-1@{lab.domain}>")
    assert trace["moments"][0]["words"].startswith("vm2 accepts it over SMTP from host; ")
    assert trace["verdict"].endswith(" on vm3")


def test_a_message_without_an_id_is_found_in_the_maildir_too(lab: Lab) -> None:
    with smtp(lab.site["host"], lab.site["vm2"]) as session:
        session.sendmail(f"{lab.student}@{lab.domain}", [f"{lab.student}@{lab.domain}"], "Subject: none\n\nhello\n")
    lab.wait("vm3", "msgid=unspecified: saved mail")
    assert re.fullmatch(rf"delivered to /home/{lab.student}/Maildir/new/\S+ on vm3", lab.verdict("latest"))


def test_an_attempt_that_is_refused(lab: Lab) -> None:
    with smtp(lab.site["host"], lab.site["vm2"], source=OUTSIDE) as session:
        session.ehlo("stranger")
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            session.sendmail("a@elsewhere.test", ["b@elsewhere.test"], "hello")
    lab.wait("vm2", "reject: .*to=<b@elsewhere.test>")
    assert lab.verdict("latest") == (
        "stopped on vm2: refused, because vm2 neither accepts mail for elsewhere.test as its own domain (mydestination) "
        f"nor relays mail from {OUTSIDE} (mynetworks)"
    )


def test_an_attempt_that_would_not_be_refused_any_more(lab: Lab) -> None:
    lab.on("vm2", "postconf -e mynetworks_style=host && systemctl restart postfix")
    with smtp(lab.site["host"], lab.site["vm2"]) as session:
        session.ehlo("thunderbird")
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            session.sendmail(f"{lab.student}@{lab.domain}", ["c@elsewhere.test"], "hello")
    lab.wait("vm2", "reject: .*to=<c@elsewhere.test>")
    assert lab.verdict("latest").endswith("nor relays mail from host (mynetworks)")
    lab.on("vm2", "postconf -e mynetworks_style=subnet && systemctl restart postfix")
    assert lab.verdict("latest").endswith("; that is fixed (vm2 accepts it now): send it again")


def test_a_relay_host_that_nobody_knows(lab: Lab) -> None:
    lab.on("vm2", f"postconf -e relayhost=vm33.{lab.domain} && systemctl restart postfix")
    message_id = lab.mail("vm2", f"{lab.student}@{lab.domain}", settled="status=deferred")
    unknown = f"stopped on vm2: deferred, because the DNS does not know its relay host vm33.{lab.domain}"
    assert re.fullmatch(rf"{re.escape(unknown)}; the next try is at \d\d:\d\d", lab.verdict(message_id))
    lab.on("vm2", f"postconf -e relayhost=vm3.{lab.domain}")
    found = f"its relay host is vm3.{lab.domain} now"
    assert lab.verdict(message_id) == (
        f"{unknown}; {found}, but Postfix on vm2 was not restarted since: systemctl restart postfix"
    )
    lab.on("vm2", "systemctl restart postfix")
    assert re.fullmatch(
        rf"{re.escape(unknown)}; that is fixed \({found}\): vm2 tries again at \d\d:\d\d, or at once after: postqueue -f",
        lab.verdict(message_id),
    )
    lab.on("vm2", "postqueue -f")
    lab.wait("vm3", f"msgid=<{message_id}>: saved mail")
    trace = lab.trace(message_id)
    assert trace["verdict"].startswith("delivered to /home/")
    assert any(moment["words"] == "vm2 tries again" for moment in trace["moments"])


def test_a_bounce_and_the_way_of_its_notice(lab: Lab) -> None:
    lab.mail("vm2", f"nobody9@{lab.domain}", user=lab.student)
    lab.wait("vm3", "from=<>.*queue active")
    lab.wait("vm3", f"lda({lab.student}).*saved mail")
    verdict = lab.verdict("latest")
    assert verdict.startswith(
        "stopped on vm2: bounced, because vm3 has no account nobody9; "
        f"a notice went back to {lab.student}@{lab.domain}: delivered to /home/{lab.student}/Maildir/new/"
    )


def test_roots_mail_stays_and_an_alias_takes_it(lab: Lab) -> None:
    stays = lab.mail("vm2", f"root@{lab.domain}")
    lab.wait("vm3", f"to=<root@{lab.domain}>, .*status=deferred")
    why = f"stopped on vm3: deferred, because {NOT_ROOT}"
    assert lab.verdict(stays).startswith(f"{why}; the next try is at ")
    lab.on("vm3", f"echo 'root: {lab.student}' >>/etc/aliases && newaliases")
    assert lab.verdict(stays).startswith(
        f"{why}; that is fixed (an alias sends mail for root to {lab.student} now): vm3"
    )
    goes = lab.mail("vm2", f"root@{lab.domain}")
    lab.wait("vm3", f"msgid=<{goes}>: saved mail")
    [end] = lab.trace(goes)["ends"]
    assert (end["recipient"], end["user"], end["state"]) == (f"root@{lab.domain}", lab.student, "delivered")
    assert end["file"].startswith(f"/home/{lab.student}/Maildir/new/")


def test_postfix_that_does_not_run_leaves_messages_unseen(lab: Lab) -> None:
    header = f"To: {lab.student}@{lab.domain}\\nMessage-ID: <waits@{lab.domain}>\\n"
    lab.on("vm2", f"systemctl stop postfix && printf '{header}\\nhello\\n' | sendmail -t")
    try:
        assert (
            "On vm2, 1 message waits for Postfix, which is not running there; no log shows this yet."
            in lab.trace()["notes"]
        )
    finally:
        lab.on("vm2", "systemctl start postfix")
    lab.wait("vm3", f"msgid=<waits@{lab.domain}>: saved mail")


def test_an_old_message_in_a_rotated_log(lab: Lab) -> None:
    old = lab.mail("vm2", f"{lab.student}@{lab.domain}")
    lab.on("vm2", "cd /var/log && mv maillog maillog-20261101 && systemctl restart rsyslog && gzip maillog-20261101")
    assert lab.verdict(old).startswith("delivered to /home/")


def test_an_unknown_message_is_answered_with_those_there_are(lab: Lab) -> None:
    done = lab.cli("trace", "nobody@nowhere.test", "-s", lab.student, rc=2)
    assert "No machine knows the message 'nobody@nowhere.test'. The newest are: " in done.stderr
    assert done.stderr.count("@vm2.") >= 3


def test_the_newest_ids_complete(lab: Lab) -> None:
    words = f"labenv trace -s {lab.student} "
    shell = {"_LABENV_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": "4"}
    offered = Cli(shell)(rc=None).stdout.split()
    assert offered[0] == "latest"
    assert any(word.endswith(f"@vm2.{lab.domain}") for word in offered[1:])


def test_the_checks_own_messages_are_not_the_latest(lab: Lab) -> None:
    before = lab.trace()["id"]
    lab.cli.json("check", "-s", lab.student, rc=None)
    assert lab.trace()["id"] == before


def test_a_machine_that_does_not_run_is_told_of(lab: Lab, engine: Engine) -> None:
    engine.client.containers.get(f"labenv-{lab.student}-vm3").stop(timeout=1)
    done = lab.cli("trace", "-s", lab.student)
    assert "vm3 is not running, so its log could not be read." in done.stdout
    assert done.stdout.splitlines()[-1].startswith("sent on by vm2: vm3 accepted it as ")
    assert json.loads(lab.cli("trace", "-s", lab.student, "--json").stdout)["notes"]
