"""Real messages from each student of a class to the others, followed in the logs of both, and removed again.

They go the way that the student's own mail goes: sendmail(1) on the machine to which mail clients send, the student's relay, the
MX of the other. Each student sends one message to all at once, and few of them send at a time.
"""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from threading import Lock

from labenv.checks.evidence import CheckFailed
from labenv.checks.machine import Site
from labenv.engine import Engine
from labenv.environment import ALONE, Environment
from labenv.errors import EngineError
from labenv.lab.model import Account
from labenv.mail import maillog
from labenv.mail.maillog import Delivery, Hop
from labenv.mail.post import Post, new_token
from labenv.parallel import Together
from labenv.text import one_line

_AT_ONCE = 3  # students who send at a time: each message has as many deliveries as there are others
_TOGETHER = 8  # students whose machines are asked at a time
_WAIT = 30.0  # seconds until what a message did counts; one is usual
_QUIET = 6.0  # seconds without a new line in any log: a busy computer needs some
_PAUSE = 0.2
_LONGEST = 200  # characters of what a log says


@dataclass(frozen=True)
class Way:
    """How far a message came: it left the sender's machines, the other's server took it, and delivered it.

    `words` say why it stopped; without them it was still under way.
    """

    left: bool = False
    accepted: bool = False
    delivered: bool = False
    words: str = ""


@dataclass(eq=False)
class Desk:
    """A student who takes part: the machine that sends, the address that receives, and what the logs have of this run."""

    environment: Environment
    account: Account
    post: Post
    site: Site
    address: str
    sent: str = ""  # the message id
    trouble: str = ""  # why nothing was sent, or nothing can be seen
    moves: bool = False  # a message was still under way when nobody waited for it any more
    _texts: dict[str, str] = field(default_factory=dict)
    _hops: dict[str, list[Hop]] = field(default_factory=dict)
    _asking: Lock = field(default_factory=Lock)

    def look(self) -> bool:
        """Read the logs again; whether there was anything new."""
        with self._asking:
            new = False
            for name, log in self.post.ready().items():
                with suppress(EngineError):  # it has stopped meanwhile: what it said before counts
                    text = log.read()
                    if text != self._texts.get(name):
                        new, self._texts[name] = True, text
                        self._hops[name] = maillog.read(text).hops
            return new

    def hops(self, message_id: str) -> Iterator[Hop]:
        """What the machines have of a message."""
        for hops in self._hops.values():
            yield from (hop for hop in hops if hop.message_id == message_id)

    def outward(self, to: str) -> Delivery | None:
        """What became of this student's message to an address, where it left or stopped; None if that is not known yet."""
        found = [each for hop in self.hops(self.sent) for each in hop.last if each.to == to]
        left = [each for each in found if each.status != "sent" or each.address not in self.site.names]
        return left[-1] if left else None


def send(
    engine: Engine,
    there: Sequence[Environment],
    accounts: Mapping[str, Account],
    addresses: Mapping[str, str],
    to: Collection[str],
) -> Iterator[tuple[str, dict[str, Way], str]]:
    """Have each of these students write to all those in `to`; yields the sender, each way by its end, and why nothing left, as they end.

    All messages have been removed when the iterator ends, however it does.
    """
    with _desks(engine, there, accounts, addresses) as desks:
        ends = {name: desks[name] for name in to if name in desks}
        names = list(desks)
        for first in range(0, len(names), _AT_ONCE):
            wave = [desks[name] for name in names[first : first + _AT_ONCE]]
            _sent(wave, ends)
            for desk in wave:
                who = desk.environment.student.id
                yield who, {name: _way(desk, end) for name, end in ends.items() if name != who}, desk.trouble


@contextmanager
def _desks(
    engine: Engine, there: Sequence[Environment], accounts: Mapping[str, Account], addresses: Mapping[str, str]
) -> Iterator[dict[str, Desk]]:
    token = new_token()
    desks: dict[str, Desk] = {}
    for each in there:
        who = each.student.id
        # What the class has for all passes these messages on as a router does, and knows nothing of them.
        site = Site(engine, replace(each, belongs=ALONE))
        desks[who] = Desk(each, accounts[who], Post(site, token), site, addresses[who])
    try:
        with Together(_TOGETHER) as pool:
            list(pool.map(_opened, desks.values()))
        yield desks
    finally:
        with Together(_TOGETHER) as pool:
            list(pool.map(_closed, desks.values()))


def _opened(desk: Desk) -> None:
    try:
        desk.post.ready()
    except (EngineError, CheckFailed) as error:
        desk.trouble = f"{error}"


def _closed(desk: Desk) -> None:
    try:
        desk.post.sweep(at_rest=not desk.moves)
        desk.post.tidy()
    except (EngineError, CheckFailed):  # a machine that has stopped keeps what it has until the next run
        pass
    finally:
        desk.site.close()


def _sent(wave: Sequence[Desk], ends: Mapping[str, Desk]) -> None:
    """Send the messages of a wave, and wait until they have come to rest."""

    def one(desk: Desk) -> None:
        others = [end.address for end in ends.values() if end is not desk]
        if not others or desk.trouble:
            return
        try:
            desk.sent = desk.post.submit(desk.site[desk.account.smtp.machine], "matrix", *others, sender="<>")
        except (EngineError, CheckFailed) as error:
            desk.trouble = one_line(error.saw if isinstance(error, CheckFailed) else f"{error}")[:_LONGEST]

    with Together(_AT_ONCE) as pool:
        list(pool.map(one, wave))
        pairs = [(desk, end) for desk in wave if desk.sent for end in ends.values() if end is not desk]
        began = moved = time.monotonic()
        while (now := time.monotonic()) < min(began + _WAIT, moved + _QUIET):
            under_way = [(desk, end) for desk, end in pairs if not _is_at_rest(_way(desk, end))]
            if not under_way:
                break
            senders = [desk for desk, end in under_way if not _way(desk, end).accepted]
            receivers = [end for desk, end in under_way if _way(desk, end).accepted]
            looking = {id(desk): desk for desk in (*senders, *receivers)}
            if any(list(pool.map(Desk.look, looking.values()))):
                moved = now
            else:
                time.sleep(_PAUSE)
        for desk, end in pairs:
            if not _is_at_rest(_way(desk, end)):
                desk.moves = end.moves = True


def _is_at_rest(way: Way) -> bool:
    return way.delivered or bool(way.words)


def _way(desk: Desk, end: Desk) -> Way:
    """What the logs of both say of the message from one to the other; without words and not delivered, nothing yet."""
    if not desk.sent:
        return Way(words=desk.trouble)
    left = desk.outward(end.address)
    if left is None:
        return Way()
    out = left.address not in ("", *desk.site.names)
    if left.status != "sent" or not out:
        return Way(left=out, words=_short(left.words))
    stopped = ""
    for hop in end.hops(desk.sent):
        for each in hop.last:
            if end.address not in (each.to, each.orig_to):
                continue
            if each.status == "sent" and not each.address and each.relay != "none":  # discard(8) has no relay
                return Way(left=True, accepted=True, delivered=True)
            if each.status != "sent" or each.relay == "none":
                stopped = _short(each.words)
    return Way(left=True, accepted=True, words=stopped)


def _short(words: str) -> str:
    return one_line(words)[:_LONGEST]
