"""The clients that a student tried with, and that were refused: told at the step that they belong to, although its checks pass.

labenv's own client may well get in where the student's does not: it knows the right user name. What belongs to which step is data
of the lab (steps.yaml, `attempts`).
"""

import time
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv4Network
from itertools import groupby

from labenv.checks.machine import Machine, Site
from labenv.errors import EngineError, making_sense
from labenv.lab.model import Lab, Tries
from labenv.mail.attempts import Attempt, Place, open_attempts
from labenv.mail.office import PROBE
from labenv.mail.restarts import DOVECOT, POSTFIX

_MOST = 400_000  # bytes of a log, some thousand lines
_SHOWN = 2  # attempts at one step, the newest
# What is printed first is what may be asked of it now; the log follows only if it has a refusal that is not labenv's.
_ASK = rf"""
date '+%Y-%m-%dT%H:%M:%S %s'
cut -d: -f1 /etc/passwd | tr '\n' ' '; echo
postalias -s hash:/etc/aliases 2>/dev/null | sed 's/[:[:space:]].*//' | tr '\n' ' '; echo
stat -c %Y /etc/shadow
echo
tail -c {_MOST} /var/log/secure 2>/dev/null | grep -a 'pam_unix(dovecot:auth): authentication failure'
recent() {{ tail -c {_MOST} /var/log/maillog 2>/dev/null; }}
! recent | grep -aE -- '-login: .*(auth failed|disallowed plaintext|SSL_accept)|: reject: |said: [45]|auth=0/' |
    grep -qv 'helo=<{PROBE}' || recent
true
"""


def refused(site: Site, lab: Lab, began: float) -> list[tuple[str, str]]:
    """What clients tried before a run of the checks began (time.monotonic) and have not done since, by the order of the steps.

    A machine that does not run is left out: the checks that need it report it.
    """
    wanted = [(step.id, tries) for step in lab.steps.values() for tries in step.attempts]
    places, before = [], {}
    for name in dict.fromkeys(tries.at for _, tries in wanted):
        try:
            with making_sense(name):
                places.append(_place(site[name]))
        except EngineError:
            continue
        before[name] = places[-1].now - timedelta(seconds=time.monotonic() - began)
    found = open_attempts(places, site.names, site.student.id, before)
    ours = [a for a in found if a.client in site.names or _is_in(site.subnet, a.client)]
    told = [
        (step, attempt)
        for attempt in ours
        for step in [next((step for step, tries in wanted if _belongs(attempt, tries, site)), "")]
        if step
    ]
    order = {name: place for place, name in enumerate(lab.steps)}
    told.sort(key=lambda one: (order[one[0]], one[1].time))
    shown = (one for _, those in groupby(told, key=lambda one: one[0]) for one in list(those)[-_SHOWN:])
    return [(step, str(attempt)) for step, attempt in shown]


def _is_in(subnet: IPv4Network, client: str) -> bool:
    try:
        return IPv4Address(client) in subnet
    except ValueError:  # it has another kind of address
        return False


def _belongs(attempt: Attempt, tries: Tries, site: Site) -> bool:
    """Whether a step is about such an attempt."""
    who = site.names.get(attempt.client, "")
    inside = attempt.name.lower().endswith(f"@{site.student.domain}")
    to = {"": True, "domain": inside, "elsewhere": not inside}[tries.to]
    return (attempt.machine, attempt.what) == (tries.at, tries.what) and to and (not tries.by or who in tries.by)


def _place(machine: Machine) -> Place:
    said = str(machine.once(_ASK).stdout)
    head, _, log = said.partition("\n\n")
    clock, accounts, aliases, shadow = head.split("\n")
    stamp, _, seconds = clock.partition(" ")
    now = datetime.fromisoformat(stamp)

    def local(moment: float) -> datetime:
        """A time as the machine's log would write it."""
        return now - timedelta(seconds=int(seconds) - moment)

    changed = {"accounts": local(int(shadow))}
    if log:
        changed |= {server.unit: local(read) for server in (POSTFIX, DOVECOT) if (read := server.began(machine))}
    return Place(machine.name, log, now, frozenset(accounts.split()), frozenset(aliases.split()), changed)
