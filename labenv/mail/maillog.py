"""What Postfix and Dovecot write to /var/log/maillog, as records: one `Hop` for each message's time on a machine.

cleanup(8) names the message id of each queue file, everything else is logged under the queue id: `QID: client=…`,
`QID: from=<…>`, `QID: to=<…>, relay=…, status=sent (…)`, `QID: removed`. What smtpd(8) refuses before there is a queue
file is logged as NOQUEUE. Dovecot's delivery agent logs the message id only (dovecot-lda(1)).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache

# How rsyslogd(8) begins each line here: the time, and the machine's name.
LOGGED = r"(?P<time>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d) \S+ "
_LINE = re.compile(LOGGED + r"(?:postfix/(?P<daemon>[\w/-]+)\[(?P<pid>\d+)\]|dovecot): (?P<text>.*)")
# A short queue id is hexadecimal, a long one has no vowels (postconf(5), enable_long_queue_ids).
_QUEUED = re.compile(r"(?P<qid>NOQUEUE|[0-9A-F]{6,}|[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{10,}): (?P<text>.*)")
# (?>…) takes the first place that fits and tries no other: the time that a line takes must not grow with its square.
_DELIVERY = re.compile(
    r"to=<(?P<to>[^>]*)>,(?: orig_to=<(?P<orig_to>[^>]*)>,)? relay=(?P<relay>[^,]+),(?>.*? dsn=)(?P<dsn>[\d.]+), "
    r"status=(?P<status>\w+) \((?P<words>.*)\)$"
)
_NOTICE = re.compile(r"notification: (?P<qid>[0-9A-Za-z]+)$")
_QUEUED_AS = re.compile(r"(?:queued|forwarded) as (?P<qid>[0-9A-Za-z]+)")
_ADDRESS = re.compile(r"\[(?P<address>[^\[\]]+)\]")
_REJECT = re.compile(
    r"(?:NOQUEUE|[0-9A-Za-z]{6,}): (?:\w+-)?reject: \w+ from (?P<client>\S+?): (?P<reply>\d{3} (?>.*?(?=; from=<))); "
    r"from=<(?P<sender>[^>]*)>(?: to=<(?P<to>[^>]*)>)? proto=\S+(?: helo=<(?P<helo>[^>]*)>)?"
)
_AGENT = re.compile(
    r"(?P<session>lda(?:\((?P<user>[^)]*)\))?(?:<\d+><[^>]*>)?): (?:msgid=<?(?P<id>[^>:]*)>?: )?(?P<text>.*)"
)
_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"
LONGEST = 8192  # characters of a line that are read; rsyslogd(8) writes no longer ones
_SESSIONS = 100  # of Dovecot's delivery agent that wait for Postfix's line: far more than run at once
_AFTER = timedelta(days=1)  # how far clocks may differ before a date counts as one of last year


@dataclass(frozen=True)
class Line:
    """One line of the log: `text` is what follows the program and the queue id, `daemon` is "dovecot" or Postfix's."""

    time: datetime
    place: int  # in the log, whose times are exact to a second only
    daemon: str
    text: str
    raw: str

    @property
    def when(self) -> tuple[datetime, int]:
        """What to compare to tell which of two lines came first."""
        return self.time, self.place


@dataclass(frozen=True)
class Delivery:
    """The result for one recipient: `relay` is "local" or "name[address]:port", `status` sent, deferred or bounced."""

    to: str
    orig_to: str
    relay: str
    status: str
    words: str
    dsn: str = ""
    time: datetime = datetime.min

    def __str__(self) -> str:
        """The delivery as the log has it, without the timings."""
        return f"to=<{self.to}>, relay={self.relay}, status={self.status} ({self.words})"

    @property
    def queued_as(self) -> str:
        """The queue id that the message got at the next machine, or by forwarding; "" if the log has none."""
        match = _QUEUED_AS.search(self.words) if self.status == "sent" else None
        return match["qid"] if match else ""

    @property
    def address(self) -> str:
        """The address of the machine that it was sent to, "" if there is none."""
        match = _ADDRESS.search(self.relay)
        return match["address"] if match else ""


@dataclass
class Hop:
    """One message's time on one machine, as its log shows it.

    `user` submitted it with sendmail(1) there, `client` sent it over SMTP; `notices` are the queue ids of the notices
    that Postfix wrote to the sender about it, `refusals` the recipients that it refused while it accepted others;
    `requeued_from` is the queue id it had before postsuper(1) requeued it; `expired` is set when Postfix has given up
    trying; `came` is set unless a client only got a queue id for it.
    """

    queue_id: str
    message_id: str = ""
    user: str = ""
    client: str = ""
    sender: str | None = None
    deliveries: list[Delivery] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    refusals: "list[Refusal]" = field(default_factory=list)
    requeued_from: str = ""
    expired: bool = False
    removed: bool = False
    came: bool = False
    lines: list[Line] = field(default_factory=list)

    @property
    def fate(self) -> str:
        """What happened to it here, in the log's words."""
        return "; ".join(map(str, self.deliveries)) or "no result: it is still in the queue"

    @property
    def settled(self) -> bool:
        """Whether Postfix is done with it for now: gone, or waiting in the deferred queue."""
        return self.removed or any(delivery.status == "deferred" for delivery in self.deliveries)

    @property
    def last(self) -> list[Delivery]:
        """The latest try for each recipient."""
        return list({(delivery.to, delivery.orig_to): delivery for delivery in self.deliveries}.values())


@dataclass
class Refusal:
    """The answer of smtpd(8) to a client whose message it refused.

    `line` is the one with the answer, `lines` are those of the whole connection.
    """

    line: Line
    client: str
    reply: str
    sender: str
    to: str
    helo: str
    lines: list[Line]

    @property
    def address(self) -> str:
        """The client's address."""
        match = _ADDRESS.search(self.client)
        return match["address"] if match else ""


@dataclass
class Log:
    """A machine's log as records: what came, what was refused, and Postfix's own complaints, each oldest first."""

    hops: list[Hop] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    complaints: list[Line] = field(default_factory=list)


LARGEST = 16_000_000  # bytes of a machine's logs that are read: the newest, some hundred thousand lines


def read(text: str, now: datetime | None = None) -> Log:
    """The log as records. Lines not about mail are skipped; `now` gives the year, which the lines do not have."""
    return _Reader(now or datetime.now()).read(text.splitlines())


def moment(text: str, now: datetime) -> datetime:
    """The time at the beginning of a line, such as "Nov 22 19:30:01", which has no year: not long after `now`."""
    latest = now + _AFTER
    month, day = _MONTHS.find(text[:3]) // 3 + 1, int(text[4:6])
    hour, minute, second = map(int, text[7:].split(":"))
    year = latest.year - ((month, day) > (latest.month, latest.day))
    try:
        return datetime(year, month, day, hour, minute, second)
    except ValueError:  # no such month, or 29 February in a year without it
        return datetime.min


@lru_cache(maxsize=4)  # a caller that waits for a line asks about the same texts, one for each machine, many times
def _read_once(text: str) -> Log:
    return read(text)


def hops(log: str, message_id: str) -> list[Hop]:
    """The hops of a message in a machine's log, oldest first: usually one, none if it was never there."""
    return [hop for hop in _read_once(log).hops if hop.message_id == message_id]


def with_notices(logs: Mapping[str, str], message_ids: set[str]) -> set[str]:
    """The messages, and the notices (bounces) that Postfix wrote about them on any machine, and those about these."""
    known = set(message_ids)
    while True:
        born = set()
        for text in logs.values():
            there = _read_once(text).hops
            notices = {notice for hop in there if hop.message_id in known for notice in hop.notices}
            born |= {hop.message_id for hop in there if hop.queue_id in notices}
        if born <= known:
            return known
        known |= born


def settled(logs: Mapping[str, str], message_ids: set[str]) -> bool:
    """Whether each message is settled everywhere, including those that one machine has just sent to another."""
    there = [hop for text in logs.values() for hop in _read_once(text).hops if hop.message_id in message_ids]
    handed = {delivery.queued_as for hop in there for delivery in hop.deliveries} - {""}
    return all(hop.settled for hop in there) and handed <= {hop.queue_id for hop in there}


@dataclass
class _Session:
    """What Dovecot's delivery agent logged in one run: for which user, the message ids, the lines."""

    user: str | None
    ids: set[str] = field(default_factory=set)
    lines: list[Line] = field(default_factory=list)


class _Reader:
    """Goes through the lines once. A queue id is used again when its file is gone: `removed` ends a hop."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._log = Log()
        self._open: dict[str, Hop] = {}
        self._connections: dict[str, list[Line]] = {}
        self._agents: dict[str, _Session] = {}

    def read(self, lines: Iterable[str]) -> Log:
        for place, whole in enumerate(lines):
            raw = whole[:LONGEST]
            if not (match := _LINE.match(raw)):
                continue
            line = Line(moment(match["time"], self._now), place, match["daemon"] or "dovecot", match["text"], raw)
            if line.daemon == "dovecot":
                self._agent(line)
            elif queued := _QUEUED.match(line.text):
                if queued["qid"] == "NOQUEUE":
                    self._log.refusals += self._refused(line, match["pid"])
                else:
                    self._note(queued["qid"], replace(line, text=queued["text"]), line, match["pid"])
            else:
                self._other(line, match["pid"])
        for queue_id in list(self._open):
            self._given_up(queue_id)
        return self._log

    def _given_up(self, queue_id: str) -> None:
        """A client got a queue id and sent nothing: no hop, but it may have been refused."""
        hop = self._open.pop(queue_id, None)
        if hop and not hop.came:
            self._log.refusals += hop.refusals

    def _note(self, queue_id: str, line: Line, whole: Line, pid: str) -> None:
        text = line.text
        if queue_id not in self._open or text.startswith(("client=", "uid=")):
            self._given_up(queue_id)
            self._open[queue_id] = Hop(queue_id)
        hop = self._open[queue_id]
        if not hop.came and _came(line):
            hop.came = True
            self._log.hops.append(hop)
        if match := _DELIVERY.match(text):
            hop.lines += self._agent_lines(match["to"].partition("@")[0], hop)
            to, orig_to, relay, status, words, dsn = match.group("to", "orig_to", "relay", "status", "words", "dsn")
            hop.deliveries.append(Delivery(to, orig_to or "", relay, status, words, dsn, line.time))
        elif match := re.match(r"message-id=<?([^>]*)>?$", text):
            hop.message_id = match[1]
        elif match := re.match(r"uid=\d+ from=<([^>]*)>(?: orig_id=(\w+))?", text):
            hop.user, hop.requeued_from = match[1], match[2] or ""
        elif match := re.match(r"from=<([^>]*)>", text):
            hop.sender, hop.expired = match[1], "status=expired" in text
        elif match := _NOTICE.search(text):
            hop.notices.append(match["qid"])
        elif text.startswith("client="):
            hop.client = text.removeprefix("client=").split(",")[0]
        elif "reject: " in text:
            hop.refusals += self._refused(whole, pid)
        elif text == "removed":
            hop.removed = True
            del self._open[queue_id]
        hop.lines.append(line)

    def _refused(self, line: Line, pid: str) -> list[Refusal]:
        connection = self._connections.setdefault(pid, [])
        connection.append(line)
        if not (match := _REJECT.match(line.text)):
            return []
        client, reply, sender, to, helo = (match[name] or "" for name in ("client", "reply", "sender", "to", "helo"))
        return [Refusal(line, client, reply, sender, to, helo, connection)]

    def _other(self, line: Line, pid: str) -> None:
        if line.text.startswith("connect from "):
            self._connections[pid] = [line]
        elif line.text.startswith("disconnect from ") and pid in self._connections:
            self._connections.pop(pid).append(line)
        elif line.text.startswith(("fatal:", "warning:", "error:")):
            self._log.complaints.append(line)

    def _agent(self, line: Line) -> None:
        if match := _AGENT.match(line.text):
            session = self._agents.setdefault(match["session"], _Session(match["user"]))
            session.lines.append(line)
            if match["id"] is not None:
                session.ids.add(match["id"])
            if len(self._agents) > _SESSIONS:
                del self._agents[next(iter(self._agents))]

    def _agent_lines(self, user: str, hop: Hop) -> list[Line]:
        """What the delivery agent logged about this delivery: it does so after the message came, and before Postfix logs the result."""
        found = []
        for name, session in list(self._agents.items()):
            named = session.user
            if hop.lines and session.lines[-1].time < hop.lines[0].time:
                continue  # about an earlier message
            if session.ids <= {hop.message_id or "unspecified"} and (named == user or not named or named.isdigit()):
                found += self._agents.pop(name).lines
        return found


def _came(line: Line) -> bool:
    """Whether a hop's line says more than that a client connected."""
    return not (line.text.startswith("client=") or "reject: " in line.text)
