"""What takes time, started before the first check: pages from everywhere, the firewall of vm1, and a message through the webmail."""

import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from labenv.checks import doors, units
from labenv.checks.doors import OUTSIDE, Firewall, Reach
from labenv.checks.evidence import CheckFailed
from labenv.checks.firewall import Dropped, Drops
from labenv.checks.machine import Machine, Site
from labenv.checks.plugin import probe
from labenv.labs.lab6.checks import state
from labenv.labs.lab6.checks.common import HTTP, MYSQL, SERVICES
from labenv.mail.maillog import Hop
from labenv.mail.post import Post
from labenv.text import one_line
from labenv.www import pages, roundcube
from labenv.www.pages import Answer
from labenv.www.roundcube import Browser, Settings

PRIVATE = "/private/index.php"
_STARTED = ("/", "/index.html", "/index.php", PRIVATE)
# Roundcube notes what it has sent.
_FORGOTTEN = "cd %s/logs && sed -i %s sendmail.log && [ -s sendmail.log ] || rm -f sendmail.log"
_SOON, _PAUSE = 3.0, 0.1  # seconds until a message that has arrived is listed, and between two looks


@dataclass(frozen=True)
class Visits:
    """What the web server of vm1 answers: to host, to an address outside the network, and to vm1 at its own address and at 127.0.0.1.

    Where there is no answer, it is the failure that says why.
    """

    host: dict[str, Answer | CheckFailed]
    stranger: Answer | CheckFailed
    own: Answer | CheckFailed
    loopback: Answer | CheckFailed


@dataclass(frozen=True)
class Correspondence:
    """A message that was written in the webmail: the sender that was offered, its hops, whether the webmail then listed it.

    `refused` is why there was no login, `unsent` why it was not sent, both in the page's words; `login` is the line of vm3's log.
    """

    refused: str = ""
    login: str = ""
    sender: str = ""
    unsent: str = ""
    vm2: Hop | None = None
    vm3: Hop | None = None
    listed: bool = False
    said: str = ""  # what Roundcube has logged meanwhile
    failed: CheckFailed | None = None


class _Stranger:
    """The address of host's that is outside the network."""

    name = OUTSIDE

    def __init__(self, site: Site) -> None:
        self._site = site
        self.requested = site["host"].requested

    def dial(self, host: str, port: int) -> socket.socket:
        """A socket from there."""
        return self._site["host"].dial(host, port, source=OUTSIDE, patience=1, hopeless=Drops(self._site["vm1"]))


@probe
def correspondence(site: Site, post: Post) -> Correspondence:
    """A login to the webmail from host, and a message to the student's own address."""
    vm1, student = site["vm1"], site.student
    if "program/include/iniset.php" not in state.of(vm1).webmail:
        return Correspondence(refused="there is no Roundcube")
    before = roundcube.settings(vm1, state.WEBMAIL, state.ACCOUNT, student.id)
    log = f"{state.WEBMAIL}/logs/errors.log"
    size = vm1.run("stat -c %%s %s", log).stdout.strip() or "0"
    browser = Browser(site["host"], vm1.address, name=vm1.fqdn)
    try:
        found = _written(site, post, browser)
    except CheckFailed as error:
        found = Correspondence(failed=error)
    finally:
        roundcube.forget(vm1, state.WEBMAIL, state.ACCOUNT, student.id, before, browser)
        vm1.run(_FORGOTTEN, state.WEBMAIL, f"/{post.token}/d")
    lines = vm1.run("tail -c +%s %s 2>/dev/null | grep -v -i deprecated | tail -n 1", str(int(size) + 1), log).stdout
    return replace(found, said=re.sub(r"^\[[^]]*\]: (<\w+> )?", "", one_line(lines.strip()))[:300])


def _written(site: Site, post: Post, browser: Browser) -> Correspondence:
    vm1, vm2, vm3, student = site["vm1"], site["vm2"], site["vm3"], site.student
    log = post.log(vm3)
    if refused := browser.login(student.id, student.password):
        return Correspondence(refused=refused)
    ours = re.compile(
        rf"imap-login: (Login: user=<{re.escape(student.id)}>.*rip={re.escape(vm1.address)},.*session=<(\S+)>)"
    )
    try:
        found = ours.search(log.until(lambda text: bool(ours.search(text)), _SOON))
        login = found[1] if found else ""
        recipient = f"{student.id}@{student.domain}"
        message_id, subject = post.announce("webmail", recipient)
        sender, unsent = browser.send(message_id, recipient, subject)
        if unsent:
            return Correspondence(login=login, sender=sender, unsent=unsent)
        first = post.follow(vm2, message_id)
        if not any(delivery.status == "sent" for delivery in first.deliveries):
            return Correspondence(login=login, sender=sender, vm2=first)
        until = time.monotonic() + _SOON  # to follow it on vm3 takes it out of the mailbox
        while not (listed := browser.lists(subject)) and time.monotonic() < until:
            time.sleep(_PAUSE)
        last = post.follow(vm3, message_id)
        return Correspondence(login=login, sender=sender, vm2=first, vm3=last, listed=listed)
    finally:
        browser.logout()
        post.claim(session for _, session in ours.findall(log.read()))


@probe
def visits(site: Site) -> Visits:
    """What everybody gets of the first pages, and of the private one."""
    host, vm1 = site["host"], site["vm1"]
    with ThreadPoolExecutor() as pool:
        hosts = {path: pool.submit(_answer, host, vm1.address, path, vm1.fqdn) for path in _STARTED}
        stranger = pool.submit(_answer, _Stranger(site), vm1.address, PRIVATE, vm1.fqdn)
        own = pool.submit(_answer, vm1, vm1.address, PRIVATE, vm1.fqdn)
        loopback = pool.submit(_answer, vm1, "127.0.0.1", PRIVATE, "localhost")
        return Visits(
            {path: asked.result() for path, asked in hosts.items()}, stranger.result(), own.result(), loopback.result()
        )


def _answer(start: "Machine | _Stranger", address: str, path: str, name: str) -> Answer | CheckFailed:
    try:
        return pages.fetch(start, address, path, name=name)
    except CheckFailed as error:
        return error


@probe
def web_from_host(site: Site) -> Reach:
    """Whether host reaches port 80 of vm1."""
    return doors.reach(site, "host", "vm1", HTTP, patience=3, hopeless=Dropped(site["host"], site["vm1"], HTTP))


@probe
def database_from_host(site: Site) -> Reach:
    """Whether host reaches the database of vm1."""
    return doors.reach(site, "host", "vm1", MYSQL, hopeless=Drops(site["vm1"]))


@probe
def firewall_of_vm1(site: Site) -> Firewall:
    """The saved rules of vm1, and whether its firewall stops what is not for it."""
    return doors.look(site, "vm1", lambda: [doors.packet(site, "host", HTTP)], "host", OUTSIDE)


@probe
def settings(site: Site) -> Settings:
    """Roundcube's settings, as it reads them itself."""
    return roundcube.settings(site["vm1"], state.WEBMAIL, state.ACCOUNT)


@probe
def readings(site: Site) -> None:
    """What the checks need of vm1's files and services, read while the pages are on their way."""
    state.of(site["vm1"])
    units.look(site["vm1"], SERVICES)
