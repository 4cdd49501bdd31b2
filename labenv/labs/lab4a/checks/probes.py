"""What takes time, started before the first check: messages to follow, greetings, and the firewalls.

They start in the order of this file: the longest first.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from weakref import WeakKeyDictionary

from labenv.checks import doors, kernel, units
from labenv.checks.doors import Firewall, Reach
from labenv.checks.evidence import CheckFailed
from labenv.checks.firewall import Dropped, who_drops_connection
from labenv.checks.machine import Machine, Site
from labenv.checks.plugin import probe
from labenv.labs.lab4a.checks import mailboxes
from labenv.labs.lab4a.checks.common import MAIL_MACHINES, PORT, SERVICES, other
from labenv.mail import own
from labenv.mail.crossings import Crossing, crossing
from labenv.mail.maillog import Hop
from labenv.mail.own import OwnMail
from labenv.mail.post import Post
from labenv.mail.sessions import greeting


class _Ways:
    """Lets any number of connections to one machine be tried at a time, and meanwhile none to the other.

    Packets that are dropped on the way back and forth could not be told from answers that are (who_drops).
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._to, self._trying = "", 0

    @contextmanager
    def to(self, name: str) -> Iterator[None]:
        """The time in which connections to a machine are tried."""
        with self._changed:
            self._changed.wait_for(lambda: self._to in ("", name))
            self._to, self._trying = name, self._trying + 1
        try:
            yield
        finally:
            with self._changed:
                self._trying -= 1
                if not self._trying:
                    self._to = ""
                self._changed.notify_all()


_WAYS: WeakKeyDictionary[Site, _Ways] = WeakKeyDictionary()


def _to(site: Site, name: str) -> AbstractContextManager[None]:
    return _WAYS.setdefault(site, _Ways()).to(name)


@probe
def greeting_to_vm3(site: Site) -> str:
    """How vm2 greets vm3."""
    with _to(site, "vm2"):
        return greeting(site["vm3"], site["vm2"])


@probe
def greeting_to_vm2(site: Site) -> str:
    """How vm3 greets vm2."""
    with _to(site, "vm3"):
        return greeting(site["vm2"], site["vm3"])


@probe
def vm2_to_vm3(site: Site, post: Post) -> Crossing:
    """A message of root on vm2 to root on vm3."""
    return _crossing(site, "vm2", post)


@probe
def vm3_to_vm2(site: Site, post: Post) -> Crossing:
    """A message of root on vm3 to root on vm2."""
    return _crossing(site, "vm3", post)


@probe
def local_mail(site: Site, post: Post) -> Hop:
    """A message of root on vm2 to the student there."""
    vm2 = site["vm2"]
    return post.follow(vm2, post.submit(vm2, "local", f"{site.student.id}@{vm2.fqdn}"))


@probe
def firewall_of_vm2(site: Site) -> Firewall:
    """The saved rules of vm2, and whether its firewall stops what is not for it."""
    return _firewall(site, "vm2")


@probe
def firewall_of_vm3(site: Site) -> Firewall:
    """The saved rules of vm3, and whether its firewall stops what is not for it."""
    return _firewall(site, "vm3")


@probe
def smtp_of_vm2(site: Site) -> dict[str, Reach]:
    """Whether connections to port 25 of vm2 get through its firewall, by the machine that they come from."""
    return _reaches(site, "vm2")


@probe
def smtp_of_vm3(site: Site) -> dict[str, Reach]:
    """Whether connections to port 25 of vm3 get through its firewall, by the machine that they come from."""
    return _reaches(site, "vm3")


@probe
def greeting_of_vm2_itself(site: Site) -> str:
    """How vm2 greets itself."""
    return greeting(site["vm2"], site["vm2"])


@probe
def greeting_of_vm3_itself(site: Site) -> str:
    """How vm3 greets itself."""
    return greeting(site["vm3"], site["vm3"])


@probe
def own_mail(site: Site) -> OwnMail:
    """The student's own messages in the logs."""
    return own.own_mail(site)


@probe
def readings(site: Site) -> None:
    """What the checks need of both machines, read while the messages are on their way."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda name: _read(site[name], site.student.id), MAIL_MACHINES))


def _read(machine: Machine, user: str) -> None:
    units.look(machine, SERVICES)
    kernel.listeners(machine)
    kernel.processes(machine)
    mailboxes.of(machine, user)
    mailboxes.of(machine, "root")


def _crossing(site: Site, start: str, post: Post) -> Crossing:
    """Nothing is sent to a machine that greets nobody: Postfix would try for half a minute."""
    here = site[start]
    there = other(site, here)
    try:
        with _to(site, there.name):
            greeting(here, there)
    except CheckFailed as error:
        raise CheckFailed(f"{error.saw}, so no message was sent", "a greeting, and a message", by=error.by) from error
    return crossing(here, there, "root", post)


def _firewall(site: Site, name: str) -> Firewall:
    start = other(site, site[name]).name
    with _to(site, name):
        return doors.look(site, name, lambda: [doors.packet(site, start, PORT)], start, None)


def _reaches(site: Site, name: str) -> dict[str, Reach]:
    def reached(start: str) -> Reach:
        """A server that greets has been reached; one that is called and told nothing would log that as a lost connection."""
        with suppress(CheckFailed):
            return Reach(True, greeting(site[start], site[name]), let_in=True)
        dropped = Dropped(site[start], site[name], PORT)
        found = doors.reach(site, start, name, PORT, hopeless=dropped)
        rule = dropped.rule or who_drops_connection(site[start], site[name], PORT)
        return found if found.let_in else replace(found, words=f"{found.words}{rule}")

    starts = (other(site, site[name]).name, "host")
    with _to(site, name), ThreadPoolExecutor(len(starts)) as pool:
        return dict(zip(starts, pool.map(reached, starts), strict=True))
