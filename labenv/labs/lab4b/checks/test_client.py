"""Investigation 3, "Connecting to IMAP servers using Thunderbird": the same session, by a client on host."""

from labenv.checks.evidence import Evidence
from labenv.checks.machine import Machine
from labenv.checks.plugin import step
from labenv.checks.post import Post
from labenv.labs.lab4b.checks.common import OUTSIDE
from labenv.labs.lab4b.checks.probes import Inbox, Journey
from labenv.student import Student


@step("37", machine="host")
def test_inbox_opens(
    inbox: Inbox, host: Machine, vm3: Machine, post: Post, student: Student, evidence: Evidence
) -> None:
    _account_works(inbox, student, evidence)
    evidence(
        inbox.examined.startswith("OK"), f"EXAMINE INBOX is answered {inbox.examined}", "OK and a number of messages"
    )
    lines = [
        line.partition("imap-login: ")[2]
        for line in post.log(vm3).read().splitlines()
        if f"Login: user=<{student.id}>" in line and f"rip={host.address}," in line
    ]
    plain = [line for line in lines if "TLS" not in line]
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
    sender = mail_from_client.vm2.sender
    evidence(sender, f"vm2 took a message from <{sender}> for {student.id}@myseneca.ca", "250")


@step("39", machine="vm2")
def test_vm2_refuses_strangers(stranger_asks_vm2: str, evidence: Evidence) -> None:
    refused = not stranger_asks_vm2.startswith("2")
    evidence(refused, f"vm2 answers {OUTSIDE}, outside the network: {stranger_asks_vm2}", "454 or 554, or silence")


@step("40", machine="vm2")
def test_vm2_sent_it_through_vm3(
    inbox: Inbox, mail_from_client: Journey, vm3: Machine, student: Student, domain: str, evidence: Evidence
) -> None:
    _account_works(inbox, student, evidence)
    hop = mail_from_client.vm2
    evidence(
        hop.sender == f"{student.id}@{domain}", f"the log of vm2 has from=<{hop.sender}>", f"{student.id}@{domain}"
    )
    right = [d for d in hop.deliveries if d.status == "sent" and f"[{vm3.address}]:25" in d.relay]
    evidence(right, f"the log of vm2 has {hop.fate}", f"relay=vm3.{domain}[{vm3.address}]:25, status=sent")


def _account_works(inbox: Inbox, student: Student, evidence: Evidence) -> None:
    """A mail client asks the IMAP server first: an account that cannot log in sends nothing."""
    evidence(
        inbox.login == "OK",
        f"the login of {student.id} at vm3 is answered {inbox.login} after '{inbox.greeting}'",
        "OK",
    )
