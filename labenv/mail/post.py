"""The probe messages of one run: sent, followed, and removed again, so that the student's mail stays as it was."""

import contextlib
import re
import secrets
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

from labenv.checks.evidence import CheckFailed
from labenv.checks.machine import Machine, Site, last_words
from labenv.checks.presence import ALONE, ENTER
from labenv.checks.restarts import stale
from labenv.errors import EngineError
from labenv.mail import logs, maillog
from labenv.mail.follow import NAMED, Maillog, take_out
from labenv.mail.follow import PATH as LOG
from labenv.mail.maillog import Hop
from labenv.mail.office import PROBE
from labenv.mail.restarts import POSTFIX
from labenv.mail.sessions import ITSELF, Smtp
from labenv.mail.settings import HOT, MAIN, set_there
from labenv.mail.telling import Scene

_MAILBOXES = (Path(__file__).parent / "mailboxes.pl").read_text(encoding="utf-8")
_WAIT = 10.0  # seconds until a message counts as lost; 0.1 is usual
_PATIENCE = 2.0  # the same where Postfix was not restarted after an edit, which then is the reason
_REST = (3.0, 4.0)  # seconds to wait for moving messages before the first and the second removal
_STUCK = (0.5, 1.0)  # the same where one waits for a machine of before an edit, which may be for minutes
_PAUSE = 0.05
# Whether Postfix is there, and how many seconds its programs still wait until they read main.cf.
_COOLS = (
    f'command -v postconf >/dev/null && awk "BEGIN {{ print $(stat -c %Y {MAIN} || echo 0) + {HOT} - $(date +%s.%N) }}"'
)
# Settings that can send a message to discard(8).
_DISCARDING = ("transport_maps", "default_transport", "relay_transport", "local_transport", "mailbox_transport")
_BODY = "A message of `labenv check`. It is removed again when the check ends.\n"


# The IMAP sessions that mail clients have open wait until this run's shell in the machine has ended, however it ends, or for eight
# seconds: on a busy computer, Dovecot would tell them of messages before these are removed. A process of its own group sees to that.
_HOLD_CLIENTS = r"""
[ -e /run/dovecot/master.pid ] || exit 0
clients=$(ps -C imap -o uid=,pid= | awk '$1 >= 1000 { print $2 }')
[ -n "$clients" ] || exit 0
setsid sh -c 'n=0
    while [ $n -lt 80 ] && kill -0 $0; do sleep 0.1; n=$((n + 1)); done
    kill -CONT "$@"' $$ $clients </dev/null >/dev/null 2>&1 &
kill -STOP $clients
"""
# Mode, owner and name of each file in a user's Maildir that has the message, and the header of the first. They are removed, by
# Dovecot if it knows their numbers: it tells mail clients then, at once, and does not tell them of files that are no longer there.
_FILE_OUT = r"""
home=$(getent passwd %s | cut -d: -f6)
header=
for file in $(grep -rlsF %s "$home/Maildir/new" "$home/Maildir/cur"); do
    stat -c '%%a %%U %%n' "$file"
    header="${header:-$(sed '/^$/q' "$file")}"
    name=${file##*/}
    uid=$(grep -F ":${name%%%%:2,*}" "$home/Maildir/dovecot-uidlist" | cut -d' ' -f1)
    [ -z "$uid" ] || timeout 2 doveadm expunge -u %s mailbox INBOX uid "$uid" header message-id %s 2>/dev/null
    rm -f "$file"
done
echo; echo "$header"
"""


def new_token() -> str:
    """What the message ids of a run begin with."""
    return f"{PROBE}-{secrets.token_hex(6)}"


@dataclass(frozen=True)
class Filed:
    """The files in which a message was in a user's Maildir, with mode and owner of the first, and its header."""

    paths: tuple[str, ...] = ()
    mode: str = ""
    owner: str = ""
    header: str = ""


class Unlogged(CheckFailed):
    """No message can be followed on a machine, because what Postfix says there is not in its log."""


class Post:
    """Sends the probe messages of one run between machines that have Postfix, and cleans up after them."""

    def __init__(self, site: Site, token: str = "") -> None:
        """Do nothing before the first message. Runs in several students' environments that write to each other share a token."""
        self.token = token or new_token()
        self._site = site
        self._ready = threading.Lock()
        self._logs: dict[str, Maillog] = {}
        self._listed: dict[str, str] = {}
        self._sent: set[str] = set()
        self._domains: set[str] = set()
        self._sessions: set[str] = set()
        self._filed: dict[tuple[str, str, str], Filed] = {}
        self._over = threading.Event()
        self._unlogged = False
        self._is_stuck = False

    def give_up(self) -> None:
        """Let nobody wait for the messages any more: what they could show does not matter."""
        self._over.set()

    def log(self, machine: Machine) -> Maillog:
        """The machine's mail log since before the first message. Raises CheckFailed if Postfix is not installed."""
        self._prepare()
        if machine.name not in self._logs:
            raise CheckFailed(f"{machine.name} is not running or has no Postfix, so no message can be followed")
        return self._logs[machine.name]

    def ready(self) -> dict[str, Maillog]:
        """The mail logs of the machines that have Postfix, by name, since this was first asked, or the first message was sent."""
        self._prepare()
        return self._logs

    def submit(self, machine: Machine, name: str, recipient: str, *others: str, sender: str | None = None) -> str:
        """Send a message with sendmail(1) on a machine, as root's `mail` does, and return its message id.

        `sender` "<>" is the null sender, to whom nothing can bounce. Raises CheckFailed if sendmail fails.
        """
        self._prepare()
        # Otherwise sendmail would queue the message, perhaps for days, until somebody starts Postfix.
        if machine.once("kill -0 $(cat /var/spool/postfix/pid/master.pid)").rc:
            raise CheckFailed(
                f"Postfix is not running on {machine.name}, so no message was sent", "it runs", by=machine.name
            )
        message_id, text = self._compose(name, ", ".join((recipient, *others)))
        self._domains |= {address.partition("@")[2] for address in others}
        sent = machine.run(
            "printf %%s %s | sendmail -i " + ("-f %s " if sender else "%s") + "--" + " %s" * (1 + len(others)),
            text,
            sender or "",
            recipient,
            *others,
        )
        if sent.rc:
            saw = f"sendmail on {machine.name} refuses a message to {recipient}: {last_words(sent)}"
            raise CheckFailed(saw, "accepted", by=machine.name)
        return message_id

    def send(self, session: Smtp, name: str, sender: str, recipient: str) -> str:
        """Send a message through an SMTP session and return its message id. Raises smtplib.SMTPException if it is refused."""
        self._prepare()
        message_id, text = self._compose(name, recipient, sender)
        session.sendmail(sender, [recipient], text)
        return message_id

    def announce(self, name: str, recipient: str) -> tuple[str, str]:
        """The message id and the subject of a message that another program is to send; it is followed and removed as the others."""
        self._prepare()
        message_id, _ = self._compose(name, recipient)
        return message_id, f"{self.token} {name}"

    def claim(self, sessions: Iterable[str]) -> None:
        """Have the lines of these sessions of Dovecot's taken out of the logs, too: another program began them for a check."""
        self._sessions |= set(sessions)

    def follow(self, machine: Machine, message_id: str) -> Hop:
        """The message's hop on a machine, once something has happened to it there.

        Waits ten seconds for that, or two if Postfix there was not restarted after an edit. Where an agent put it into a user's
        Maildir, it is taken out again (`filed`). Raises CheckFailed if the message is not in the machine's log by then,
        after a second or two Unlogged if nothing of it can be there.
        """

        def last(log: str) -> list[Hop]:
            return maillog.hops(log, message_id)[-1:]

        def moved(log: str) -> bool:
            return self._over.is_set() or any(hop.deliveries or hop.removed for hop in last(log))

        enough = time.monotonic() + _PATIENCE

        def hopeless() -> object:
            if time.monotonic() > enough and stale(machine, POSTFIX):
                self._is_stuck = True
                return True
            return not last(self.log(machine).read()) and logs.postfix_elsewhere(machine)

        log = self.log(machine).until(moved, _WAIT, hopeless=hopeless)
        if not last(log):
            if why := self.log(machine).dead or logs.postfix_elsewhere(machine):
                self._unlogged = True
                raise Unlogged(why, f"Postfix's lines in {LOG}")
            raise CheckFailed(
                f"{LOG} on {machine.name} has no line about the message <{message_id}>",
                "its delivery",
                by=machine.name,
            )
        hop = last(log)[0]
        for delivery in hop.deliveries:
            if delivery.status == "sent" and delivery.words.startswith("delivered to command"):
                self.filed(machine, delivery.to.partition("@")[0], message_id)
        return hop

    def filed(self, machine: Machine, user: str, message_id: str) -> Filed:
        """Where a message was in the Maildir of a user on a machine. It is removed there when this is first asked.

        So a mail client does not see it: Dovecot waits half a second before it looks for what is new (mailbox-watch.c,
        NOTIFY_DELAY_MSECS), and sessions that are open wait for the end of the run.
        """
        there = (machine.name, user, message_id)
        if there not in self._filed:
            files, _, header = str(machine.run(_FILE_OUT, user, message_id, user, message_id).stdout).partition("\n\n")
            rows = [line.split(" ", 2) for line in files.splitlines() if line]
            if not rows:
                return Filed()
            self._filed[there] = Filed(tuple(path for *_, path in rows), rows[0][0], rows[0][1], header)
        return self._filed[there]

    def fate(self, machine: Machine, hop: Hop) -> str:
        """What happened to a message on a machine, in the log's words, and in plain words why it stopped."""
        scene = Scene(self._site.names, self._site.student.domain)
        stopped = [d for d in hop.last if d.status in ("deferred", "bounced")]
        if any(d.status == "sent" and d.relay == "none" for d in hop.last):  # discard(8)
            return f"{hop.fate}: Postfix on {machine.name} throws it away{set_there(machine, _DISCARDING)}"
        reasons = [why for d in stopped if not (why := scene.why(hop, d, machine.name)).endswith(d.words)]
        return f"{hop.fate}: {'; '.join(dict.fromkeys(reasons))}" if reasons else hop.fate

    def erred(self, machine: Machine, hop: Hop) -> str:
        """The name of the machine that stopped a message: the one that answered with an error, or else the one that has it."""
        replies = [d.address for d in hop.last if d.status != "sent" and re.search(r"said: \d{3}", d.words)]
        return self._site.names.get(replies[0], machine.name) if replies else machine.name

    def sweep(self, *, at_rest: bool = False) -> None:
        """Wait until every message has come to rest, then remove them from all queues and mailboxes; the caller may know that they have.

        A message that moves too slowly is removed from the queue it is in; if it was being delivered just then, a second
        round removes its file. So it does where no log tells how messages move.
        """
        for seconds in _STUCK if self._is_stuck else _REST:
            at_rest = at_rest or self._wait(seconds)
            with ThreadPoolExecutor() as pool:
                list(pool.map(self._clean, self._logs))
            if at_rest and not self._unlogged:
                break

    def tidy(self) -> None:
        """Take the run's lines out of the logs. Nothing may read them after this."""
        machines = self._site.machines.values()
        hosts = {host for machine in machines for host, _ in machine.dialled}
        strangers = {source for machine in machines for _, source in machine.dialled if source}
        callers = {machine.address for machine in machines}
        themselves = {machine.name for machine in machines if any(host == ITSELF for host, _ in machine.dialled)}
        logs = [(m, LOG) for m in machines if m.name in {*self._logs, *themselves} or hosts & {m.address, m.fqdn}]
        logs += [(m, NAMED) for m in machines if self._logs and m.name not in self._logs]
        with ThreadPoolExecutor() as pool:
            list(
                pool.map(
                    lambda log: take_out(*log, self.token, callers, strangers, self._domains, self._sessions), logs
                )
            )

    def _wait(self, seconds: float) -> bool:
        """Whether every message has come to rest within that many seconds."""
        deadline = time.monotonic() + seconds
        family = set(self._sent)
        while family:
            read = self._read()
            family = maillog.with_notices(read, family)
            if self._unlogged or maillog.settled(read, family):
                break
            if time.monotonic() > deadline:
                return False
            time.sleep(_PAUSE)
        return True

    def _prepare(self) -> None:
        with self._ready:
            if not self._logs:
                with ThreadPoolExecutor() as pool:
                    list(pool.map(self._look, self._site.machines.values()))

    def _look(self, machine: Machine) -> None:
        with contextlib.suppress(EngineError):  # the checks that need this machine report it
            asked = machine.run(_COOLS)
            if asked.rc == 0:
                # Waiting in a program there, we would hold up all other questions to the machine.
                time.sleep(min(max(float(asked.stdout), 0), HOT))
                # A neighbour that was down a while ago would not be tried for minutes (qmgr(8), flush dead sites).
                machine.run(f"{ENTER}; timeout 1 postkick public qmgr F")
                self._listed[machine.name] = machine.output("perl -e %s list", _MAILBOXES)
                if machine.has_tools:
                    machine.run(_HOLD_CLIENTS)
                self._logs[machine.name] = Maillog(machine)

    def _read(self) -> dict[str, str]:
        logs = {}
        for name, log in self._logs.items():
            with contextlib.suppress(EngineError):  # a machine that died meanwhile has nothing to clean up
                logs[name] = log.read()
        return logs

    def _clean(self, name: str) -> None:
        with contextlib.suppress(EngineError):
            machine = self._site[name]
            alone = f'"{ALONE}"' if machine.has_tools else ""
            machine.run(f"perl -e %s sweep %s %s {alone}", _MAILBOXES, self.token, self._listed[name])

    def _compose(self, name: str, recipient: str, sender: str = "") -> tuple[str, str]:
        message = EmailMessage()
        message_id = f"{self.token}.{name}@{self._site.student.domain}"
        message["Message-ID"] = f"<{message_id}>"
        message["To"] = recipient
        message["Subject"] = f"labenv check: {name}"
        if sender:
            message["From"] = sender
        message.set_content(_BODY)
        self._sent.add(message_id)
        if not (domain := recipient.partition(",")[0].partition("@")[2]).endswith(self._site.student.domain):
            self._domains.add(domain)
        return message_id, message.as_string()
