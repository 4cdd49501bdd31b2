"""What takes time, started before the first check: sessions over TLS, a message through the webmail, and what of it can be read on the wire.

They start in the order of this file: the longest first.
"""

import base64
import imaplib
import re
import smtplib
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace

from labenv.checks import doors, kernel, services, tls, units
from labenv.checks.doors import OUTSIDE, Firewall, Reach
from labenv.checks.evidence import CheckFailed
from labenv.checks.firewall import Dropped, Drops, greeted
from labenv.checks.machine import Machine, Site
from labenv.checks.plugin import probe
from labenv.engine.trial import Packet
from labenv.errors import EngineError
from labenv.labs.lab7.checks import keys, state
from labenv.labs.lab7.checks.common import ACCOUNT, HTTP, HTTPS, IMAP, IMAPS, SERVICES, SMTP, WEBMAIL
from labenv.mail import logs
from labenv.mail.maillog import Hop
from labenv.mail.post import Post
from labenv.mail.sessions import Imap, imap, imaps, smtp
from labenv.mail.settings import Dovecot, dovecot_on
from labenv.text import decoded, one_line
from labenv.www import certificates, pages, roundcube
from labenv.www.certificates import Certificate
from labenv.www.pages import Answer
from labenv.www.roundcube import Browser, Settings

_SOON, _PAUSE = 3.0, 0.1  # seconds until what has happened is logged or listed, and between two looks
_OK = 200
_TOLD = 0.5  # the same for a line that has been logged before the message was taken
_FORGOTTEN = "cd %s/logs && sed -i %s sendmail.log && [ -s sendmail.log ] || rm -f sendmail.log"


@dataclass(frozen=True)
class Session:
    """A login to IMAP from host: what became of it, what EXAMINE found, and the line of vm3's log."""

    login: str
    examined: str = ""
    line: str = ""


@dataclass(frozen=True)
class Sent:
    """A message from host to the student's own address: the certificate that vm2 showed, or why there was no TLS; its hops; vm2's line about TLS."""

    certificate: Certificate | None = None
    untold: str = ""
    unsent: str = ""
    line: str = ""
    vm2: Hop | None = None
    vm3: Hop | None = None


@dataclass(frozen=True)
class Correspondence:
    """A message that was written in the webmail, over TLS unless `plain` says why not: its hops, and whether the webmail then listed it.

    `stuck` is why it was not sent over TLS, although it was without. `refused` is why there was no login, `unsent` why it was not sent, all in
    the page's words; `login` is the line of vm3's log, `tls` that of vm2 about vm1's TLS.
    """

    plain: str = ""
    stuck: str = ""
    refused: str = ""
    login: str = ""
    unsent: str = ""
    tls: str = ""
    vm2: Hop | None = None
    vm3: Hop | None = None
    listed: bool = False
    said: str = ""  # what Roundcube has logged meanwhile
    failed: CheckFailed | None = None


@dataclass(frozen=True)
class Wire:
    """A login from host and one to the webmail, and what passed vm3 meanwhile: so many bytes, and the senders of a password in plain text.

    `unknown` says why it is not known what passed.
    """

    session: Session | CheckFailed
    letter: Correspondence
    passed: int = 0
    readable: tuple[str, ...] = ()
    unknown: str = ""


@probe
def wire(site: Site, post: Post) -> Wire:
    """Both logins, as programs make them that take what they get: without TLS where a server lets them."""
    try:
        with site.captured("vm3", IMAP, IMAPS) as packets:
            found = _both(site, post)
    except EngineError as error:
        return replace(_both(site, post), unknown=str(error))
    seen = [(site.names.get(p.source.address, p.source.address), p.payload) for p in packets if p.payload]
    user, secret = site.student.id.encode(), site.student.password.encode()
    spelt = (secret, base64.b64encode(b"\0%s\0%s" % (user, secret)))
    readable = tuple(dict.fromkeys(who for who, payload in seen if any(text in payload for text in spelt)))
    return replace(found, passed=sum(len(payload) for _, payload in seen), readable=readable)


def _both(site: Site, post: Post) -> Wire:
    with ThreadPoolExecutor(2) as pool:
        session, letter = pool.submit(_reads, site, post), pool.submit(_writes, site, post)
        try:
            return Wire(session.result(), letter.result())
        except CheckFailed as error:
            return Wire(error, letter.result())


def _reads(site: Site, post: Post) -> Session:
    """A login from host, with EXAMINE, which moves no message from new/ to cur/ as SELECT does. Raises CheckFailed."""
    host, vm3, student = site["host"], site["vm3"], site.student
    log = post.log(vm3)
    session = _plain(host, vm3) or greeted(imaps, host, vm3, IMAPS)
    try:
        session.login(student.id, student.password)
        status, data = session.select("INBOX", readonly=True)
    except imaplib.IMAP4.error as error:
        words = error.args[0]
        return Session(f"NO ({decoded(words) if isinstance(words, bytes) else words})")
    finally:
        with suppress(imaplib.IMAP4.error, OSError):
            session.logout()
    ours = re.compile(rf"imap-login: (Login: user=<{re.escape(student.id)}>.*rip={re.escape(host.address)},.*)")
    said = log.until(lambda text: bool(ours.search(text)), _SOON, hopeless=lambda: logs.dovecot_elsewhere(vm3))
    return Session("OK", f"{status} {decoded(data[0] or b'')}", (ours.findall(said) or [""])[-1])


def _plain(host: Machine, vm3: Machine) -> Imap | None:
    """A session without TLS that would take a password, if vm3 offers one."""
    if not services.listening(vm3, IMAP):
        return None
    try:
        session = imap(host, vm3, hopeless=Dropped(host, vm3, IMAP))
    except CheckFailed:
        return None
    if "LOGINDISABLED" not in session.greeting and "AUTH=PLAIN" in session.greeting:
        return session
    with suppress(imaplib.IMAP4.error, OSError):
        session.logout()
    return None


def _writes(site: Site, post: Post) -> Correspondence:
    """A login to the webmail from host, and a message to the student's own address."""
    vm1, student = site["vm1"], site.student
    before = roundcube.settings(vm1, WEBMAIL, ACCOUNT, student.id)
    log = f"{WEBMAIL}/logs/errors.log"
    size = vm1.run("stat -c %%s %s", log).stdout.strip() or "0"
    browsers = [Browser(site["host"], vm1.address, name=vm1.fqdn, tls=tls) for tls in (True, False)]
    try:
        found = _written(site, post, *browsers)
    except CheckFailed as error:
        found = Correspondence(failed=error)
    finally:
        for browser in browsers:
            if browser.sessions:
                roundcube.forget(vm1, WEBMAIL, ACCOUNT, student.id, before, browser)
        vm1.run(_FORGOTTEN, WEBMAIL, f"/{post.token}/d")
    lines = vm1.run("tail -c +%s %s 2>/dev/null | grep -v -i deprecated | tail -n 1", str(int(size) + 1), log).stdout
    return replace(found, said=re.sub(r"^\[[^]]*\]: (<\w+> )?", "", one_line(lines.strip()))[:300])


def _written(site: Site, post: Post, secure: Browser, insecure: Browser) -> Correspondence:
    try:
        page = secure.page()
        plain = "" if page.status == _OK else str(page)
    except CheckFailed as error:
        plain = error.saw
    found = _by(insecure if plain else secure, site, post)
    if found.unsent and not plain:
        with suppress(CheckFailed):
            other = _by(insecure, site, post)
            return found if other.refused or other.unsent else replace(other, stuck=found.unsent)
    return replace(found, plain=plain)


def _by(browser: Browser, site: Site, post: Post) -> Correspondence:
    vm1, vm2, vm3, student = site["vm1"], site["vm2"], site["vm3"], site.student
    log = post.log(vm3)
    if refused := browser.login(student.id, student.password):
        return Correspondence(refused=refused)
    ours = re.compile(
        rf"imap-login: (Login: user=<{re.escape(student.id)}>.*rip={re.escape(vm1.address)},.*session=<(\S+)>)"
    )
    try:
        login = ours.search(log.until(lambda text: bool(ours.search(text)), _SOON))
        found = Correspondence(login=login[1] if login else "")
        recipient = f"{student.id}@{student.domain}"
        message_id, subject = post.announce("webmail", recipient)
        _, unsent = browser.send(message_id, recipient, subject)
        if unsent:
            return replace(found, unsent=unsent)
        found = replace(found, vm2=post.follow(vm2, message_id), tls=_spoken(post.log(vm2).read(), vm1))
        if not found.vm2 or not any(delivery.status == "sent" for delivery in found.vm2.deliveries):
            return found
        until = time.monotonic() + _SOON  # to follow it on vm3 takes it out of the mailbox
        while not (listed := browser.lists(subject)) and time.monotonic() < until:
            time.sleep(_PAUSE)
        return replace(found, listed=listed, vm3=post.follow(vm3, message_id))
    finally:
        browser.logout()
        post.claim(session for _, session in ours.findall(log.read()))


def _spoken(log: str, client: Machine) -> str:
    """The last line in which vm2 says that it spoke TLS with a client."""
    lines = re.findall(rf"\w+ TLS connection established from \S+\[{re.escape(client.address)}\]: .*", log)
    return lines[-1] if lines else ""


@probe
def sent(site: Site, post: Post) -> Sent:
    """A message from host to vm2, by STARTTLS, for the student's own address."""
    host, vm2, vm3 = site["host"], site["vm2"], site["vm3"]
    recipient = f"{site.student.id}@{site.student.domain}"
    log = post.log(vm2)
    with greeted(smtp, host, vm2, SMTP) as session:
        try:
            shown = session.secure()
        except (OSError, smtplib.SMTPException) as error:
            return Sent(untold=one_line(tls.why(error)))
        certificate = certificates.read(shown)
        try:
            message_id = post.send(session, "tls", recipient, recipient)
        except smtplib.SMTPException as error:
            return Sent(certificate, unsent=one_line(str(error)))
    line = _spoken(log.until(lambda text: bool(_spoken(text, host)), _TOLD), host)
    found = Sent(certificate, line=line, vm2=post.follow(vm2, message_id))
    if found.vm2 and any(delivery.status == "sent" for delivery in found.vm2.deliveries):
        with suppress(CheckFailed):
            return replace(found, vm3=post.follow(vm3, message_id))
    return found


@probe
def plain_reply(site: Site) -> str:
    """What vm2 answers vm3, another server, that offers it mail without TLS. Nothing is sent."""
    student = site.student
    with greeted(smtp, site["vm3"], site["vm2"], SMTP) as session:
        session.ehlo()
        return session.ask("MAIL FROM:<>", f"RCPT TO:<root@vm2.{student.domain}>")


@probe
def imaps_certificate(site: Site) -> Certificate | CheckFailed:
    """What port 993 of vm3 shows to vm3 itself: its firewall is another step."""
    return _shown(site["vm3"], IMAPS)


@probe
def https_certificate(site: Site) -> Certificate | CheckFailed:
    """What port 443 of vm1 shows to vm1 itself."""
    return _shown(site["vm1"], HTTPS)


def _shown(machine: Machine, port: int) -> Certificate | CheckFailed:
    try:
        return certificates.served(machine, machine.address, name=machine.fqdn, port=port)
    except CheckFailed as error:
        return error


@probe
def first_page(site: Site) -> Answer | CheckFailed:
    """What host gets of http://vm1.DOMAIN/."""
    vm1 = site["vm1"]
    try:
        return pages.fetch(site["host"], vm1.address, name=vm1.fqdn)
    except CheckFailed as error:
        return error


@probe
def imap_from_host(site: Site) -> Reach:
    """Whether host reaches port 143 of vm3."""
    return doors.reach(site, "host", "vm3", IMAP, hopeless=Drops(site["vm3"]))


@probe
def imaps_from_host(site: Site) -> Reach:
    """Whether host reaches port 993 of vm3."""
    return _reach(site, "host", "vm3", IMAPS)


@probe
def imaps_from_vm1(site: Site) -> Reach:
    """Whether vm1, whose webmail reads there, reaches port 993 of vm3."""
    return _reach(site, "vm1", "vm3", IMAPS)


@probe
def https_from_host(site: Site) -> Reach:
    """Whether host reaches port 443 of vm1."""
    return _reach(site, "host", "vm1", HTTPS)


def _reach(site: Site, start: str, end: str, port: int) -> Reach:
    return doors.reach(site, start, end, port, patience=3, hopeless=Dropped(site[start], site[end], port))


@probe
def firewall_of_vm3(site: Site) -> Firewall:
    """The saved rules of vm3, and whether its firewall stops what is not for it."""
    return doors.look(site, "vm3", lambda: packets_of(site, "vm3"), "host", OUTSIDE)


@probe
def firewall_of_vm1(site: Site) -> Firewall:
    """The saved rules of vm1, likewise."""
    return doors.look(site, "vm1", lambda: packets_of(site, "vm1"), "host", OUTSIDE)


def packets_of(site: Site, name: str) -> list[Packet]:
    """Those that must get in."""
    if name == "vm3":
        return [doors.packet(site, start, IMAPS) for start in ("host", "vm1")]
    return [doors.packet(site, "host", port) for port in (HTTP, HTTPS)]


@probe
def settings(site: Site) -> Settings:
    """Roundcube's settings, as it reads them itself."""
    return roundcube.settings(site["vm1"], WEBMAIL, ACCOUNT)


@probe
def dovecot(site: Site) -> Dovecot:
    """Dovecot's settings."""
    return dovecot_on(site["vm3"])


@probe
def readings(site: Site) -> None:
    """What the checks need of the machines' files and services, read while the messages are on their way."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda name: _look(site[name]), SERVICES))


def _look(machine: Machine) -> None:
    units.look(machine, SERVICES[machine.name])
    kernel.listeners(machine)
    with suppress(CheckFailed):  # the checks of the settings report it
        keys.of(machine)
    if machine.name == "vm1":
        state.of(machine)
