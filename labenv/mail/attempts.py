"""What clients tried and were refused: logins at Dovecot, messages at Postfix. Each as a sentence that says what to do otherwise.

Only what still is as it was then is told: nobody needs to hear of an account that exists by now, or of a client that got in
later. labenv's own attempts are left out: they carry its mark, or log in, look, and log out without reading anything.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from labenv.mail import maillog
from labenv.mail.maillog import LOGGED, Refusal
from labenv.mail.office import PROBE, Office
from labenv.mail.postroom import Postroom
from labenv.mail.reasons import refused
from labenv.text import one_line

RECENT = timedelta(hours=1)  # what is older belongs to an evening that is over
_LONGEST = 100  # characters of a name that a client gave
_LOGIN = re.compile(
    LOGGED + r"dovecot: (?:imap|pop3)-login: (?P<what>.*?): user=<(?P<user>[^>]*)>"
    r".*? rip=(?P<client>[\da-f.:]+),(?P<rest>.*)"
)
# Dovecot logs a login that failed when the client leaves, PAM at once (pam_unix(8)).
_PAM = re.compile(
    LOGGED + r"auth: pam_unix\(dovecot:auth\): (?P<what>authentication failure);"
    r".* ruser=(?P<user>\S*) rhost=(?P<client>[\da-f.:]+)(?P<rest>.*)"
)
_SESSION = re.compile(r"session=<([^>]*)>")
# How a session of labenv's ends, and no other that somebody reads mail in.
_LOOKED = re.compile(
    r"dovecot: imap\([^)]*\)<\d+><(?P<session>[^>]*)>: Disconnected: Logged out .*hdr_count=0 .*body_count=0 "
)
_WITHOUT = re.compile(
    LOGGED + r"postfix/smtpd\[\d+\]: disconnect from \S+\[(?P<client>[\da-f.:]+)\] "
    r"(?=.*\bauth=0/)(?!.*\bmail=)"
)


@dataclass(frozen=True)
class Place:
    """A machine that clients use, as it is now.

    `accounts` are its users, `aliases` further names for local mail; `changed` are times on its clock: when the accounts were
    changed last ("accounts"), and when each server last read its files ("postfix", "dovecot"). `now` is the time there.
    """

    name: str
    log: str
    now: datetime
    accounts: frozenset[str] = frozenset()
    aliases: frozenset[str] = frozenset()
    changed: Mapping[str, datetime] | None = None

    def since(self, what: str) -> datetime:
        """When that was changed last."""
        return (self.changed or {}).get(what, datetime.min)


@dataclass(frozen=True)
class Attempt:
    """What a client tried at a machine, a "login" or a "mail" to somebody, and why it was refused, as a clause.

    `passed_by` is the machine that had accepted the message, if the client is one.
    """

    time: datetime
    machine: str
    what: str
    client: str
    name: str
    why: str
    passed_by: str = ""

    def __str__(self) -> str:
        """The attempt as a sentence, without an end."""
        tried = f"log in as {self.name}" if self.what == "login" else f"send a message to {self.name}"
        if not self.name:
            tried = "log in"
        if self.passed_by:
            return f"{self.passed_by} tried to pass on a message to {self.name} at {self.time:%H:%M} and was refused: {self.why}"
        return f"a client at {self.client} tried to {tried} at {self.time:%H:%M} and was refused: {self.why}"


def open_attempts(
    places: Iterable[Place], machines: Mapping[str, str], account: str, before: Mapping[str, datetime]
) -> list[Attempt]:
    """What clients tried before a time on each machine's clock, and have not done since; the newest last.

    `machines` are the names by address, `account` is the user whose password labenv knows. Of what a client tried again and again the last time counts.
    """
    places = list(places)
    found = [a for place in places for a in (*_logins(place, account), *_without_login(place))]
    found += _messages(places, machines)
    last: dict[tuple[str, str, str, str], Attempt] = {}
    for attempt in sorted(found, key=lambda attempt: attempt.time):
        last[attempt.machine, attempt.what, attempt.client, attempt.name] = attempt
    at = {place.name: place.now for place in places}
    return [a for a in last.values() if at[a.machine] - RECENT < a.time < before.get(a.machine, datetime.max)]


def _logins(place: Place, account: str) -> Iterator[Attempt]:
    """Refused logins after which the same client has not logged in."""
    lines = [line[: maillog.LONGEST] for line in place.log.splitlines()]
    tried = [match for line in lines if (match := _LOGIN.match(line) or _PAM.match(line))]
    looked = {found["session"] for line in lines if (found := _LOOKED.search(line))}
    served: dict[str, datetime] = {}
    for match in tried:
        session = _SESSION.search(match["rest"])
        if match["what"] == "Login" and not (session and session[1] in looked):
            served[match["client"]] = maillog.moment(match["time"], place.now)
    for match in tried:
        time = maillog.moment(match["time"], place.now)
        if time > served.get(match["client"], datetime.min) and (why := _why_no_login(place, match, time, account)):
            yield Attempt(time, place.name, "login", match["client"], _named(match["user"]), why)


def _why_no_login(place: Place, match: re.Match[str], time: datetime, account: str) -> str:
    user, what = _named(match["user"]), match["what"]
    if "disallowed plaintext" in what and place.since("dovecot") <= time:
        return f"{place.name} takes no password without TLS (disable_plaintext_auth and ssl of Dovecot)"
    if "SSL_accept() failed" in match["rest"] and "alert" in match["rest"]:
        return f"it does not accept the certificate of {place.name} itself; the sheet's client uses no TLS (connection security: None)"
    if not re.search("auth failed|authentication failure", what) or time < place.since("accounts"):
        return ""
    return _not_known(place, user, time, account)


def _not_known(place: Place, user: str, time: datetime, account: str) -> str:
    """What is wrong with a user name, or else that the password is."""
    local, at, _ = user.partition("@")
    if at and local.lower() in place.accounts:
        return f"the user name on {place.name} is {local.lower()}, without the domain"
    if time < place.since("dovecot"):  # it may have looked for users elsewhere then
        return ""
    if user in place.accounts:
        shown = " (labenv status shows it)" if user == account else ""
        return f"the password is not that of {user} on {place.name}{shown}"
    if user.lower() in place.accounts:
        return f"the user name on {place.name} is {user.lower()}, in small letters"
    return f"{place.name} has no account {user}"


def _without_login(place: Place) -> Iterator[Attempt]:
    """Clients that tried to log in for sending, at a machine that asks for no login, and then sent nothing."""
    lines = [
        line[: maillog.LONGEST] for line in place.log.splitlines() if "disconnect from" in line or "client=" in line
    ]
    for number, line in enumerate(lines):
        if match := _WITHOUT.search(line):
            address = f"[{match['client']}]"
            if not any(f"client={name}" in later for later in lines[number:] for name in _clients(later, address)):
                why = f"{place.name} takes mail from its network without a login (authentication: none)"
                time = maillog.moment(match["time"], place.now)
                yield Attempt(time, place.name, "mail", match["client"], "", why)


def _clients(line: str, address: str) -> list[str]:
    found = re.search(r"client=(\S+)", line)
    return [found[1]] if found and found[1].endswith(address) else []


def _messages(places: list[Place], machines: Mapping[str, str]) -> Iterator[Attempt]:
    """Refused recipients, of clients that have not had a message accepted since."""
    rooms = {place.name: Postroom(maillog.read(place.log, place.now)) for place in places if "reject: " in place.log}
    if not rooms:
        return
    rooms |= {place.name: Postroom(maillog.read(place.log, place.now)) for place in places if place.name not in rooms}
    office = Office(rooms, machines)
    at = {place.name: place for place in places}
    there = [(name, refusal, "") for name, refusals in office.attempts() for refusal in refusals]
    for station in office.stations:
        if not station.hop.message_id.startswith(PROBE):
            there += [(*behind, station.machine) for behind in station.behind.values()]
            there += [(station.machine, refusal, "") for refusal in station.hop.refusals]
    for name, refusal, passed_by in there:
        time = refusal.line.time
        accepted = (
            s
            for s in office.stations
            if s.machine == name and s.hop.client == refusal.client and not s.hop.message_id.startswith(PROBE)
        )
        # A notice about it is accepted from the same machine a moment later.
        if not any(s.time > time and s.hop.sender for s in accepted) and (why := _why_not(at[name], refusal, machines)):
            yield Attempt(time, name, "mail", refusal.address, _named(refusal.to), why, passed_by)


def _why_not(place: Place, refusal: Refusal, machines: Mapping[str, str]) -> str:
    user, unknown = refusal.to.partition("@")[0].lower(), "User unknown" in refusal.reply
    if unknown and user in place.accounts | place.aliases:
        return ""
    if not unknown and place.since("postfix") > refusal.line.time:
        return ""
    return refused(
        refusal.reply, place.name, client=machines.get(refusal.address, refusal.address), to=_named(refusal.to)
    )


def _named(text: str) -> str:
    return one_line(text)[:_LONGEST]
