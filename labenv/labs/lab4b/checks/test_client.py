"""Investigation 3, "Connecting to IMAP servers using Thunderbird": the same session, by a client on host."""

import pytest

from labenv.checks.doors import OUTSIDE
from labenv.checks.evidence import CheckFailed, Evidence
from labenv.checks.machine import Machine, Site
from labenv.checks.plugin import step
from labenv.labs.lab4b.checks.probes import Inbox, Journey
from labenv.labs.lab4b.checks.relay import DECIDING
from labenv.mail import logs
from labenv.mail.post import Post
from labenv.mail.settings import postconf, set_there
from labenv.student import Student

# The folder that Thunderbird makes when an inbox is opened for the first time (sheet, the step after the inbox).
_TRASH = "Trash"


@step("36", machine="host")
def test_account_was_used(inbox: Inbox, student: Student, evidence: Evidence) -> None:
    _account_works(inbox, student, evidence)
    if _TRASH not in inbox.folders:
        pytest.skip(f"no mail client has used the account of {student.id} on vm3 yet")
    evidence(True, f"a mail client has used the account of {student.id} on vm3", "one")


@step("38", machine="vm3")
def test_trash_is_there(inbox: Inbox, student: Student, evidence: Evidence) -> None:
    folders = ", ".join(inbox.folders) or "not shown"
    evidence(_TRASH in inbox.folders, f"the folders of {student.id} on vm3 are {folders}", f"{_TRASH} among them")


@step("37", machine="host")
def test_inbox_opens(
    inbox: Inbox, host: Machine, vm3: Machine, post: Post, student: Student, evidence: Evidence
) -> None:
    _account_works(inbox, student, evidence)
    evidence(
        inbox.examined.startswith("OK"),
        f"vm3 answers EXAMINE INBOX with {inbox.examined}",
        "OK and a number of messages",
        by="vm3",
    )
    lines = [
        line.partition("imap-login: ")[2]
        for line in post.log(vm3).read().splitlines()
        if f"Login: user=<{student.id}>" in line and f"rip={host.address}," in line
    ]
    plain = [line for line in lines if "TLS" not in line]
    if not lines and (why := post.log(vm3).dead or logs.dovecot_elsewhere(vm3)):
        raise CheckFailed(why, "Dovecot's lines there")
    evidence(
        plain,
        f"the log of vm3 has {plain[0] if plain else 'no such login'}",
        f"a login from {host.address} without TLS",
    )


@step("39", machine="host")
def test_vm2_takes_mail_for_outside(
    inbox: Inbox, mail_from_client: Journey, student: Student, evidence: Evidence
) -> None:
    _account_works(inbox, student, evidence)
    client = mail_from_client.vm2.client
    evidence(client, f"vm2 accepted a message for {student.id}@myseneca.ca from {client or 'nobody'}", "250")


@step("39", machine="vm2")
def test_vm2_refuses_strangers(stranger_asks_vm2: str, vm2: Machine, evidence: Evidence) -> None:
    refused = not stranger_asks_vm2.startswith("2")
    decides = "" if refused else f"; {postconf(vm2, 'mynetworks')}{set_there(vm2, DECIDING)}"
    saw = f"vm2 answers {OUTSIDE}, outside the network: {stranger_asks_vm2}{decides}"
    evidence(refused, saw, "454 or 554, or silence")


@step("40", machine="vm2")
def test_vm2_sent_it_through_vm3(
    inbox: Inbox,
    mail_from_client: Journey,
    vm3: Machine,
    site: Site,
    post: Post,
    student: Student,
    domain: str,
    evidence: Evidence,
) -> None:
    _account_works(inbox, student, evidence)
    hop = mail_from_client.vm2
    evidence(
        hop.sender == f"{student.id}@{domain}", f"the log of vm2 has from=<{hop.sender}>", f"{student.id}@{domain}"
    )
    right = [d for d in hop.deliveries if d.status == "sent" and f"[{vm3.address}]:25" in d.relay]
    evidence(
        right,
        f"the log of vm2 has {post.fate(site['vm2'], hop)}",
        f"relay=vm3.{domain}[{vm3.address}]:25, status=sent",
        by=post.erred(site["vm2"], hop),
    )
    if "outside" in site.machines:
        _arrives_outside(mail_from_client, site, post, evidence)


def _arrives_outside(journey: Journey, site: Site, post: Post, evidence: Evidence) -> None:
    """The message has arrived at myseneca.ca, which the world outside can show."""
    if journey.vm3 is None or journey.outside is None:
        fate = post.fate(site["vm3"], journey.vm3) if journey.vm3 else "nothing"
        raise CheckFailed(f"The message has not arrived at myseneca.ca; the log of vm3 has {fate}", "status=sent")
    sender, domain = journey.outside.sender or "", site.student.domain
    evidence(sender.endswith(f"@{domain}"), f"myseneca.ca accepted it from <{sender}>", f"a sender at {domain}")
    find = "grep -rl %s %s | xargs -r grep -h 'by vm3\\.'"
    received = site["outside"].run(find, journey.id, f"/var/mail/myseneca.ca/{site.student.id}").stdout
    evidence(received, f"the message there {'came through vm3' if received else 'does not name vm3'}", "through vm3")


def _account_works(inbox: Inbox, student: Student, evidence: Evidence) -> None:
    """A mail client asks the IMAP server first: an account that cannot log in sends nothing."""
    evidence(
        inbox.login == "OK",
        f"vm3 answers the login of {student.id} with {inbox.login}, after the greeting '{inbox.greeting}'",
        "OK",
        by="vm3",
    )
