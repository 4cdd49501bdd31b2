"""Following one message through Postfix's log (/var/log/maillog; postconf(5), mail_log formats in the daemons' man pages).

cleanup(8) names the message id of each queue file, everything else is logged under the queue id:
`QID: client=…`, `QID: message-id=<…>`, `QID: from=<…>`, `QID: to=<…>, relay=…, status=sent (…)`, `QID: removed`.
"""

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from labenv.checks.machine import Machine

_LINE = re.compile(r" postfix/\w+\[\d+\]: (?P<qid>[0-9A-Za-z]{6,}): (?P<text>.*)")
_DELIVERY = re.compile(
    r"to=<(?P<to>[^>]*)>,(?: orig_to=<(?P<orig_to>[^>]*)>,)? relay=(?P<relay>[^,]+),.* status=(?P<status>\w+) \((?P<words>.*)\)$"
)
_NOTICE = re.compile(r"notification: (?P<qid>[0-9A-Za-z]+)$")
_QUEUED_AS = re.compile(r"queued as (?P<qid>[0-9A-Za-z]+)")
_POLL = 0.02  # seconds; a look costs some 3 ms


@dataclass(frozen=True)
class Delivery:
    """What became of one recipient: `relay` is "local" or "name[address]:port", `status` sent, deferred or bounced."""

    to: str
    orig_to: str
    relay: str
    status: str
    words: str

    def __str__(self) -> str:
        """The delivery as the log has it, without the timings."""
        return f"to=<{self.to}>, relay={self.relay}, status={self.status} ({self.words})"


@dataclass
class Hop:
    """One message's time on one machine, as its log tells it."""

    queue_id: str
    client: str = ""
    sender: str | None = None
    deliveries: list[Delivery] = field(default_factory=list)
    removed: bool = False

    @property
    def fate(self) -> str:
        """What became of it here, in the log's words."""
        return "; ".join(map(str, self.deliveries)) or "it is still in the queue"

    @property
    def settled(self) -> bool:
        """Whether Postfix is done with it for now: gone, or waiting in the deferred queue."""
        return self.removed or any(delivery.status == "deferred" for delivery in self.deliveries)


def hops(log: str, message_id: str) -> list[Hop]:
    """The hops of a message in a machine's log, oldest first: usually one, none if it was never there."""
    found: dict[str, Hop] = {}
    for line in log.splitlines():
        if match := _LINE.search(line):
            qid, text = match["qid"], match["text"]
            if text == f"message-id=<{message_id}>":
                found[qid] = Hop(qid)
    for line in log.splitlines():
        if (match := _LINE.search(line)) and match["qid"] in found:
            _note(found[match["qid"]], match["text"])
    return list(found.values())


def _note(hop: Hop, text: str) -> None:
    if text == "removed":
        hop.removed = True
    elif text.startswith("client="):
        hop.client = text.removeprefix("client=").split(",")[0]
    elif match := re.match(r"from=<([^>]*)>", text):
        hop.sender = match[1]
    elif match := _DELIVERY.match(text):
        hop.deliveries.append(
            Delivery(match["to"], match["orig_to"] or "", match["relay"], match["status"], match["words"])
        )


def with_notices(logs: Mapping[str, str], message_ids: set[str]) -> set[str]:
    """The messages, and the notices (bounces) that Postfix wrote about them on any machine, and those about these."""
    known = set(message_ids)
    while True:
        queue_ids = {hop.queue_id for log in logs.values() for known_id in known for hop in hops(log, known_id)}
        born = set()
        for log in logs.values():
            matches = [match for line in log.splitlines() if (match := _LINE.search(line))]
            notices = {
                notice["qid"] for m in matches if m["qid"] in queue_ids and (notice := _NOTICE.search(m["text"]))
            }
            born |= {
                m["text"].removeprefix("message-id=<").removesuffix(">")
                for m in matches
                if m["qid"] in notices and m["text"].startswith("message-id=")
            }
        if born <= known:
            return known
        known |= born


def settled(logs: Mapping[str, str], message_ids: set[str]) -> bool:
    """Whether each message has come to rest everywhere, those included that one machine has just handed to another."""
    there = [hop for log in logs.values() for message_id in message_ids for hop in hops(log, message_id)]
    queue_ids = {hop.queue_id for hop in there}
    handed = {m["qid"] for hop in there for delivery in hop.deliveries if (m := _QUEUED_AS.search(delivery.words))}
    return all(hop.settled for hop in there) and handed <= queue_ids


class Maillog:
    """A machine's /var/log/maillog from the moment this object was made; safe to share between threads."""

    def __init__(self, machine: Machine) -> None:
        """Remember where the log ends now."""
        self._machine = machine
        self._lock = threading.Lock()
        self._size = int(machine.output("stat -c %s /var/log/maillog 2>/dev/null || echo 0"))
        self._text = ""

    def read(self) -> str:
        """All whole lines since the beginning."""
        with self._lock:
            # A log that shrank was rotated: it begins anew.
            new = self._machine.channel.run(
                f"[ $(stat -c %s /var/log/maillog) -ge {self._size} ] && from={self._size + 1} || from=1; "
                "tail -c +$from /var/log/maillog"
            ).stdout
            whole = new[: new.rfind(b"\n") + 1]
            self._size += len(whole)
            self._text += whole.decode(errors="replace")
            return self._text

    def until(self, holds: Callable[[str], bool], seconds: float = 10) -> str:
        """The log as soon as `holds` is true of it, or as it is after so many seconds."""
        deadline = time.monotonic() + seconds
        while not holds(log := self.read()) and time.monotonic() < deadline:
            time.sleep(_POLL)
        return log
