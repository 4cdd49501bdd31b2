"""Messages that the sheet has the student send and read, which no setting shows: steps 8, 10, 15 and 16.

The checks send their own. The student's are looked up in the logs: as evidence, and for what can no longer be tried.
"""

import re
from datetime import datetime

from labenv.checks.evidence import CheckFailed, Evidence, Waits
from labenv.checks.machine import Machine, Site
from labenv.checks.plugin import probe, step
from labenv.checks.restarts import stale
from labenv.labs.lab4b.checks.probes import Journey, reached_vm3, through_relay
from labenv.mail.crossings import Crossing, crossing, dropped
from labenv.mail.maillog import Hop
from labenv.mail.own import OwnMail
from labenv.mail.own import own_mail as read_own_mail
from labenv.mail.post import Post
from labenv.mail.restarts import POSTFIX
from labenv.mail.settings import postconf, set_there
from labenv.student import Student

_RECEIVING = (
    "canonical_maps",
    "sender_canonical_maps",
    "masquerade_domains",
)  # what rewrites senders (ADDRESS_REWRITING_README)
_SENDING = ("smtp_generic_maps", *_RECEIVING)


@probe
def vm2_to_vm3(site: Site, post: Post) -> Crossing:
    """Mail of root on vm2 to a user on vm3, under the machine's own name."""
    through_relay(site)
    return crossing(site["vm2"], site["vm3"], site.student.id, post)


@probe
def vm3_to_vm2(site: Site, post: Post) -> Crossing:
    """The same the other way."""
    return crossing(site["vm3"], site["vm2"], site.student.id, post)


@probe
def own_mail(site: Site) -> OwnMail:
    return read_own_mail(site)


@step("8", machine=("vm2", "vm3"))
def test_messages_of_lab4a_can_be_read(machine: Machine, own_mail: OwnMail, domain: str, evidence: Evidence) -> None:
    there = machine.run("command -v mail").rc == 0
    evidence(there, f"the mail command is {'' if there else 'not '}on {machine.name}", "it shows root's messages")
    other = "vm3" if machine.name == "vm2" else "vm2"
    sender = f"root@{other}.{domain}"
    wanted = f"a message from {sender}"
    # Messages that were read go to mbox when mail(1) ends without "hold" set, or to where a mail client put them.
    places = "/var/spool/mail/root /root/mbox /root/Maildir"
    found = machine.run(f"grep -rlsiE %s {places}", rf"^From:.*\<{re.escape(sender)}\>").stdout.split()
    logged = own_mail.kept(machine.name, f"root@{machine.fqdn}", sender)
    if found:
        evidence(True, f"{found[0]} on {machine.name} has {wanted}", wanted)
    elif logged:
        evidence(True, f"the log of {machine.name} has {wanted}, {_when(logged.time)}", wanted)
    else:
        evidence.doubt(
            f"neither root's mailboxes on {machine.name} nor its log have {wanted}", "keep it after reading it"
        )


@step("10", machine="vm2")
def test_vm2_writes_as_the_domain(
    vm2_to_vm3: Crossing,
    own_mail: OwnMail,
    post: Post,
    site: Site,
    evidence: Evidence,
) -> None:
    _arrives_from_the_domain(vm2_to_vm3, own_mail, post, site, "vm2", "vm3", evidence)


@step("10", machine="vm3")
def test_vm3_writes_as_the_domain(
    vm3_to_vm2: Crossing,
    own_mail: OwnMail,
    post: Post,
    site: Site,
    evidence: Evidence,
) -> None:
    _arrives_from_the_domain(vm3_to_vm2, own_mail, post, site, "vm3", "vm2", evidence)


@step("15", machine="vm2")
def test_vm2_sends_to_vm3(
    mail_for_root: Journey,
    own_mail: OwnMail,
    post: Post,
    site: Site,
    domain: str,
    evidence: Evidence,
) -> None:
    vm2, vm3 = site["vm2"], site["vm3"]
    recipient = f"root@{domain}"
    hop = mail_for_root.vm2
    right = [d for d in hop.deliveries if (d.to, d.status, d.address) == (recipient, "sent", vm3.address)]
    own = own_mail.crossed("vm2", "vm3", to=recipient)
    if own and not right:
        _once_it_did(own[0].time, f"vm2 sent your own message to {recipient} to vm3", hop, post, vm2, evidence)
        return
    if not right:
        _wait_for_the_relay_host(hop, post, site)
    evidence(
        right,
        f"the log of vm2 has {post.fate(vm2, hop)}",
        f"relay=vm3.{domain}[{vm3.address}]:25, status=sent",
        by=post.erred(vm2, hop),
    )
    if own:
        evidence(own, f"your own message to {recipient} also went to vm3, {_when(own[0].time)}", "one did")


@step("16", machine="vm3")
def test_mail_arrives_on_vm3(
    mail_for_user: Journey,
    own_mail: OwnMail,
    post: Post,
    site: Site,
    student: Student,
    domain: str,
    evidence: Evidence,
) -> None:
    vm2, vm3 = site["vm2"], site["vm3"]
    recipient = f"{student.id}@{domain}"
    own = own_mail.kept("vm3", f"root@{domain}", f"root@{domain}")
    if mail_for_user.unlogged:
        raise mail_for_user.unlogged
    if mail_for_user.vm3 is None:
        if own and own_mail.is_now(own, "vm2", "vm3"):
            _once_it_did(
                own.time, f"vm3 accepted your own message to root@{domain}", mail_for_user.vm2, post, vm2, evidence
            )
            return
        _wait_for_the_relay_host(mail_for_user.vm2, post, site)
        raise CheckFailed(
            f"The log of vm2 has {post.fate(vm2, mail_for_user.vm2)}",
            "sent to vm3",
            by=post.erred(vm2, mail_for_user.vm2),
        )
    hop = mail_for_user.vm3
    here = [d for d in hop.deliveries if recipient in (d.to, d.orig_to) and d.relay == "local"]
    if not here and postconf(vm3, "mailbox_transport").value:
        raise Waits("22")
    command = postconf(vm3, "mailbox_command", expand=False).value
    if command and here:  # step 24 checks whether the agent then does its work
        evidence(here, f"the log of vm3 has {post.fate(vm3, hop)}", f"{recipient} on vm3 itself", by="vm3")
    else:
        arrived = [delivery for delivery in here if delivery.status == "sent"]
        evidence(arrived, f"the log of vm3 has {post.fate(vm3, hop)}", f"{recipient} delivered", by="vm3")
        places = "/var/mail /home"
        found = vm3.run(f"grep -rlF --exclude='dovecot*' %s {places} 2>/dev/null", mail_for_user.id).stdout.split()
        evidence(found, f"the message is in {', '.join(found) or 'no mailbox'}", f"the mailbox of {student.id} on vm3")
    if own:
        evidence(own, f"your own message to root@{domain} was also delivered, {_when(own.time)}", "one was")


def _arrives_from_the_domain(
    crossing: Crossing,
    own_mail: OwnMail,
    post: Post,
    site: Site,
    of: str,
    to: str,
    evidence: Evidence,
) -> None:
    start, end = site[of], site[to]
    sender = f"root@{site.student.domain}"
    own = own_mail.crossed(start.name, end.name, sender=sender)
    if crossing.received is None:
        if own:
            _once_it_did(
                own[0].time, f"{end.name} got your own message from <{sender}>", crossing.sent, post, start, evidence
            )
            return
        if start.name == "vm2":
            _wait_for_the_relay_host(crossing.sent, post, site)
        rule = dropped(start, end, crossing.sent)
        raise CheckFailed(
            f"The message did not get from {start.name} to {end.name}: {post.fate(start, crossing.sent)}{rule}",
            "status=sent",
            by="" if rule else post.erred(start, crossing.sent),
        )
    got = crossing.received.sender
    right = (got or "").lower() == sender
    rewrites = "" if right else set_there(start, _SENDING) + set_there(end, _RECEIVING)
    saw = f"{end.name} got root's mail from {start.name} with the sender <{got}>{rewrites}"
    evidence(right, saw, sender, by="" if rewrites else start.name)
    if own:
        evidence(own, f"{end.name} also got your own message like this, {_when(own[0].time)}", "it did")


def _once_it_did(time: datetime, what: str, now: Hop, post: Post, machine: Machine, evidence: Evidence) -> None:
    """The student's own message got through with this configuration; now something else is in the way."""
    evidence.doubt(
        f"{what}, {_when(time)}, but now a message does not get through: {post.fate(machine, now)}", "it still does"
    )


def _wait_for_the_relay_host(hop: Hop, post: Post, site: Site) -> None:
    """Once vm2 has a relay host, all mail goes through it. Raises Waits if a message did not come to vm3, but it was tried."""
    tried = [delivery for delivery in hop.deliveries if delivery.status != "sent"]
    waits = not hop.deliveries and stale(site["vm2"], POSTFIX)  # for a relay host of before the edit
    if (tried or waits) and not reached_vm3(hop, post, site) and postconf(site["vm2"], "relayhost").value:
        raise Waits("18")


def _when(time: datetime) -> str:
    return f"{time:%d %b at %H:%M:%S}"
