"""What takes time, started before the first check: messages to follow, and conversations between machines.

They start in the order of this file: the longest first.
"""

import imaplib
import re
import smtplib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace

from labenv.checks import doors as core_doors
from labenv.checks import kernel
from labenv.checks.doors import OUTSIDE, Firewall, Reach
from labenv.checks.evidence import CheckFailed, Waits
from labenv.checks.firewall import Dropped, Drops, greeted
from labenv.checks.machine import Machine, Site
from labenv.checks.plugin import probe
from labenv.dns.asking import Lookup, lookups
from labenv.labs.lab4b.checks import doors
from labenv.labs.lab4b.checks.common import ELSEWHERE, first_name, look_ahead
from labenv.labs.lab4b.checks.reference import Reference, look
from labenv.labs.lab4b.checks.relay import DECIDING, relay_of
from labenv.mail import logs, maillog
from labenv.mail.maillog import Hop
from labenv.mail.post import Post, Unlogged
from labenv.mail.sessions import greeting, imap, smtp
from labenv.mail.settings import Dovecot, dovecot_on, postconf, set_there
from labenv.text import decoded


@dataclass(frozen=True)
class Dialogue:
    """An SMTP conversation: the greeting, and the replies to three recipients.

    `unknown` is a name that the domain does not have: a machine refuses it if the domain is its own, but accepts it from
    a trusted client if it relays for the domain.
    """

    banner: str
    postmaster: str
    unknown: str
    elsewhere: str


@dataclass(frozen=True)
class Journey:
    """A message from vm2 to vm3, and perhaps to the world outside: its hop on each machine that it reached."""

    id: str
    vm2: Hop
    vm3: Hop | None
    outside: Hop | None = None
    unlogged: Unlogged | None = None  # why the log of vm3 says nothing about it

    @property
    def story(self) -> str:
        """What happened to it, in the words of both logs."""
        return f"on vm2: {self.vm2.fate}; on vm3: {self.vm3.fate if self.vm3 else 'nothing'}"

    def on_vm3(self) -> Hop:
        """Its hop on vm3. Raises CheckFailed if it did not get there."""
        if self.unlogged:
            raise self.unlogged
        if self.vm3 is None:
            machine = "vm3" if any(d.status == "sent" or d.address for d in self.vm2.deliveries) else "vm2"
            raise CheckFailed(f"The logs have {self.story}", "sent from vm2 to vm3", by=machine)
        return self.vm3


@dataclass(frozen=True)
class Inbox:
    """An IMAP session without TLS: the greeting, what became of the login, what EXAMINE found, and the mailboxes.

    `astray`: the connection ends elsewhere than at the port of vm3, although it was made to it.
    """

    greeting: str
    login: str
    examined: str = ""
    folders: tuple[str, ...] = ()
    astray: bool = False


@probe
def mail_for_user(site: Site, post: Post) -> Journey:
    return _journey(site, post, "user", f"{site.student.id}@{site.student.domain}")


@probe
def mail_for_first(site: Site, post: Post) -> Journey:
    """A message from the client on host to the first-name account; not sent if there is no such account."""
    first = first_name(site["vm3"], site.student)
    if site["vm3"].run("getent passwd %s", first).rc:
        raise CheckFailed(
            f"vm3 has no account with your first name, such as {first}, so no message was sent",
            "the account, and its mail",
        )
    return _client_sends(site, post, "first", f"{first}@{site.student.domain}")


@probe
def mail_from_client(site: Site, post: Post) -> Journey:
    """A message to the student's outside address, as the mail client on host sends it: to vm2, without a password."""
    journey = _client_sends(site, post, "client", f"{site.student.id}@myseneca.ca")
    if "outside" not in site.machines or journey.vm3 is None:
        return journey
    with suppress(CheckFailed):
        return replace(journey, outside=post.follow(site["outside"], journey.id))
    return journey


@probe
def mail_for_root(site: Site, post: Post) -> Journey:
    return _journey(site, post, "root", f"root@{site.student.domain}")


@probe
def mail_for_elsewhere(site: Site, post: Post) -> Journey:
    """With the null sender: a machine that cannot deliver it sends no notice."""
    return _journey(site, post, "elsewhere", ELSEWHERE, sender="<>")


@probe
def reference(site: Site) -> Reference:
    """The reference account outside, and what the student has done with it."""
    return look(site)


@probe
def imap_from_others(site: Site) -> dict[str, Reach]:
    return doors.from_others(site)


@probe
def firewall_of_vm2(site: Site) -> Firewall:
    return doors.look(site, "vm2")


@probe
def firewall_of_vm3(site: Site) -> Firewall:
    return doors.look(site, "vm3")


@probe
def stranger_asks_vm3(site: Site) -> str:
    return _stranger_asks(site, "vm3")


@probe
def stranger_asks_vm2(site: Site) -> str:
    return _stranger_asks(site, "vm2")


@probe
def inbox(site: Site, post: Post) -> Inbox:
    """A login from host without TLS, with EXAMINE, which moves no message from new/ to cur/ as SELECT does."""
    student = site.student
    log = post.log(site["vm3"])
    host, vm3 = site["host"], site["vm3"]
    session = greeted(imap, host, vm3, 143)
    try:
        if "LOGINDISABLED" in session.greeting:
            return Inbox(session.greeting, "not tried")
        astray = kernel.astray(site["host"], site["vm3"], 143)
        try:
            session.login(student.id, student.password)
        except imaplib.IMAP4.error as error:
            return Inbox(session.greeting, f"NO ({_said(error)})", astray=astray)
        try:
            folders = session.mailboxes()
            status, data = session.select("INBOX", readonly=True)
        except imaplib.IMAP4.error as error:
            return Inbox(session.greeting, "OK", f"NO ({_said(error)})", astray=astray)
    finally:
        with suppress(imaplib.IMAP4.error, OSError):
            session.logout()
    log.until(lambda text: f"user=<{student.id}>" in text, hopeless=lambda: logs.dovecot_elsewhere(site["vm3"]))
    return Inbox(session.greeting, "OK", f"{status} {decoded(data[0] or b'')}", folders, astray)


@probe
def vm2_asks_vm3(site: Site, post: Post) -> Dialogue:
    """What vm3 answers when vm2 offers it mail for the domain, and for another one. Nothing is sent."""
    vm2, vm3 = site["vm2"], site["vm3"]
    with greeted(smtp, vm2, vm3, 25) as session:
        session.ehlo()
        postmaster = session.ask("MAIL FROM:<>", f"RCPT TO:<postmaster@{site.student.domain}>")
        unknown = session.ask("RSET", "MAIL FROM:<>", f"RCPT TO:<{post.token}@{site.student.domain}>")
        elsewhere = session.ask("RSET", "MAIL FROM:<>", f"RCPT TO:<{ELSEWHERE}>")
        return Dialogue(session.banner, postmaster, unknown, elsewhere)


@probe
def dovecot(site: Site) -> Dovecot:
    return dovecot_on(site["vm3"])


@probe
def names(site: Site) -> dict[str, list[Lookup]]:
    """What vm2 and vm3 get for the names of the lab, up to the first that is not found."""
    with ThreadPoolExecutor() as pool:
        return dict(pool.map(lambda name: (name, _lookups(site[name], site)), ("vm2", "vm3")))


@probe
def banner_of_vm2(site: Site) -> str:
    return greeting(site["host"], site["vm2"])


@probe
def banner_of_vm3(site: Site) -> str:
    return greeting(site["host"], site["vm3"])


@probe
def imap_from_host(site: Site) -> Reach:
    return _imap_from(site, "host")


@probe
def imap_from_vm2(site: Site) -> Reach:
    return _imap_from(site, "vm2")


@probe
def services(site: Site) -> None:
    """What the checks need, read while the messages are on their way instead of one by one at the end."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda name: look_ahead(site[name]), ("vm2", "vm3", "host")))


def _imap_from(site: Site, name: str) -> Reach:
    dropped = Dropped(site[name], site["vm3"], 143)
    return core_doors.reach(site, name, "vm3", 143, patience=3, hopeless=dropped)


def _lookups(machine: Machine, site: Site) -> list[Lookup]:
    vm2, vm3 = site["vm2"], site["vm3"]
    return lookups(machine, {"vm2": vm2.address, "vm3": vm3.address, vm3.address: f"{vm3.fqdn}."})


def _stranger_asks(site: Site, name: str) -> str:
    """What the machine answers a client outside the network that tries to relay through it."""
    try:
        with smtp(site["host"], site[name], source=OUTSIDE, hopeless=Drops(site[name])) as session:
            session.ehlo()
            return session.ask("MAIL FROM:<>", f"RCPT TO:<{ELSEWHERE}>")
    except CheckFailed as error:
        return str(error)


def through_relay(site: Site) -> None:
    """All mail of vm2 goes where relayhost says: raises Waits if it is wrong, as waiting for a message is then useless."""
    relay = relay_of(site)
    if relay.value and not relay.leads_to_vm3:
        raise Waits("17")


def reached_vm3(hop: Hop, post: Post, site: Site) -> bool:
    """Whether vm2 has spoken to port 25 of vm3 about a message.

    Once vm3 has refused one, Postfix does not even try the next for a while (qmgr(8), dead destinations).
    """
    there = f"[{site['vm3'].address}]:25"
    if any(there in delivery.relay for delivery in hop.deliveries):
        return True
    suspended = any("delivery temporarily suspended" in delivery.words for delivery in hop.deliveries)
    return suspended and bool(re.search(rf"relay=\S+{re.escape(there)},", post.log(site["vm2"]).read()))


def _journey(site: Site, post: Post, name: str, recipient: str, sender: str | None = None) -> Journey:
    through_relay(site)
    return _followed(site, post, post.submit(site["vm2"], name, recipient, sender=sender))


def _client_sends(site: Site, post: Post, name: str, recipient: str) -> Journey:
    through_relay(site)
    sender = f"{site.student.id}@{site.student.domain}"
    try:
        with smtp(site["host"], site["vm2"]) as session:
            message_id = post.send(session, name, sender, recipient)
    except smtplib.SMTPException as error:
        reply, vm2 = _reply(error), site["vm2"]
        trust = f"; {postconf(vm2, 'mynetworks')}{set_there(vm2, DECIDING)}" if "Relay access denied" in reply else ""
        raise CheckFailed(f"vm2 refused the message to {recipient}: {reply}{trust}", "250", by="vm2") from error
    return _followed(site, post, message_id)


def _followed(site: Site, post: Post, message_id: str) -> Journey:
    vm2 = post.follow(site["vm2"], message_id)
    vm3 = None
    if any(d.status == "sent" and f"[{site['vm3'].address}]" in d.relay for d in vm2.deliveries):
        try:
            vm3 = post.follow(site["vm3"], message_id)
        except Unlogged as error:
            return Journey(message_id, vm2, None, unlogged=error)
        except CheckFailed:  # it left vm2, which is all that some checks need
            pass
    elif seen := maillog.hops(post.log(site["vm3"]).read(), message_id):
        vm3 = seen[-1]  # it went round in a loop until it was refused
    return Journey(message_id, vm2, vm3)


def _said(error: imaplib.IMAP4.error) -> str:
    """The server's words; imaplib keeps them as bytes when a login is refused."""
    words = error.args[0]
    return decoded(words) if isinstance(words, bytes) else str(error)


def _reply(error: smtplib.SMTPException) -> str:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        [(code, text)] = error.recipients.values()
        return f"{code} {decoded(text)}"
    return str(error)
