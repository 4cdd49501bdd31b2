"""The mail of all machines joined: which hop led to which, which refusal belongs to which delivery."""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from labenv.mail.maillog import Delivery, Hop, Line, Refusal
from labenv.mail.postroom import Postroom

PROBE = "labenv-check"  # how the message ids of labenv's own checks begin, and the names that they greet with
_AGENTS = {"smtp", "lmtp", "local", "virtual", "pipe"}  # the daemons that deliver
_MOMENT = timedelta(seconds=5)  # how far apart two machines' lines about one event can be
_CROWD = 50  # so many refusals of one recipient before and after a delivery are looked at: machines are not that busy


@dataclass(eq=False)
class Station:
    """A hop on a machine, and where the message went next.

    `onward` are the next stations of the message and `behind` the other machine's own words about a refusal, both by the
    place of the delivery in `hop.deliveries`; `notices` are what Postfix wrote to the sender about it.
    """

    machine: str
    hop: Hop
    onward: dict[int, "Station"] = field(default_factory=dict)
    behind: dict[int, tuple[str, Refusal]] = field(default_factory=dict)
    notices: list["Station"] = field(default_factory=list)
    first: bool = True  # it did not come from another station
    is_notice: bool = False

    @property
    def time(self) -> datetime:
        """When it came."""
        return self.hop.lines[0].time

    @property
    def when(self) -> tuple[datetime, int]:
        """What to compare to tell which of two came first."""
        return self.hop.lines[0].when

    @property
    def id(self) -> str:
        """The message id, or the queue id of a message without one."""
        return self.hop.message_id or self.hop.queue_id


class Office:
    """All stations of all messages. `machines` are the names by address, `postrooms` what each of them knows."""

    def __init__(self, postrooms: Mapping[str, Postroom], machines: Mapping[str, str]) -> None:
        self.postrooms = postrooms
        self._machines = machines
        self.stations = [Station(name, hop) for name, room in postrooms.items() for hop in room.log.hops]
        self._by_queue_id: dict[tuple[str, str], list[Station]] = {}
        for station in self.stations:
            self._by_queue_id.setdefault((station.machine, station.hop.queue_id), []).append(station)
        self._unclaimed: dict[tuple[str, str], list[Refusal]] = {}
        for name, room in postrooms.items():
            for refusal in room.log.refusals:
                self._unclaimed.setdefault((name, refusal.to), []).append(refusal)
        # By time, to find the nearest one quickly: a log may have a hundred thousand of them.
        for stations in self._by_queue_id.values():
            stations.sort(key=lambda station: station.time)
        for refusals in self._unclaimed.values():
            refusals.sort(key=lambda refusal: refusal.line.time)
        self._complaints = {
            name: sorted((line for line in room.log.complaints if _is_fatal(line)), key=lambda line: line.time)
            for name, room in postrooms.items()
        }
        self._claimed: set[int] = set()
        for station in self.stations:
            self._join(station)
        for later in walk(notice for station in self.stations for notice in station.notices):
            later.is_notice = True

    def messages(self) -> list[Station]:
        """Where each message began, the newest last; neither notices nor probes of labenv's checks."""
        began = [s for s in self.stations if s.first and not s.is_notice and not s.hop.message_id.startswith(PROBE)]
        return sorted(began, key=lambda station: station.when)

    def attempts(self) -> list[tuple[str, list[Refusal]]]:
        """The connections in which a client was refused, by machine, the newest last.

        Refusals that belong to a logged message, and those of labenv's checks, are left out.
        """
        found = []
        for name, room in self.postrooms.items():
            connections: dict[int, list[Refusal]] = {}
            for refusal in room.log.refusals:
                if id(refusal) not in self._claimed and not refusal.helo.startswith(PROBE):
                    connections.setdefault(id(refusal.lines), []).append(refusal)
            found += [(name, refusals) for refusals in connections.values()]
        return sorted(found, key=lambda attempt: attempt[1][0].line.when)

    def find(self, name: str) -> list[Station]:
        """The stations at which a message began, by its message id or any of its queue ids; [] if no machine knows it."""
        found = [station for station in self.stations if station.hop.message_id == name]
        if not found:
            found = [station for station in self.stations if station.hop.queue_id == name][-1:]
            if found and found[0].hop.message_id:
                return self.find(found[0].hop.message_id)
            found = self._all_before(found)
        return sorted((s for s in found if s.first), key=lambda station: station.time) or found[:1]

    def complaint(self, station: Station) -> Line | None:
        """Postfix's complaint when it picked up a message that then got no result."""
        hop = station.hop
        if hop.deliveries or hop.removed:
            return None
        since = hop.lines[-1].time
        there = self._complaints[station.machine]
        place = bisect_left(there, since, key=lambda line: line.time)
        return next((line for line in there[place : place + 1] if line.time < since + _MOMENT), None)

    def queue(self, station: Station) -> str:
        """The queue in which the message still is on that machine, "" if in none."""
        # postsuper(1) does not log each message that it deletes.
        return "" if station.hop.removed else self.postrooms[station.machine].queue.get(station.hop.queue_id, "")

    def due(self, station: Station) -> str:
        """When a deferred message is tried again, as a clause; "" if that is not known. qmgr(8) looks every few minutes."""
        room = self.postrooms[station.machine]
        time = room.due.get(station.hop.queue_id)
        if not time or not room.runs:
            return ""
        return f"at {time:%H:%M}" if time > room.now else "within minutes"

    def _join(self, station: Station) -> None:
        for place, delivery in enumerate(station.hop.deliveries):
            other = self._machines.get(delivery.address, "") if delivery.address else station.machine
            there = self._at(other, delivery.queued_as, delivery.time) if delivery.queued_as else []
            for then in there:
                if then.hop.message_id == station.hop.message_id:
                    station.onward[place] = then
                    then.first = False
            if delivery.status != "sent" and (refusal := self._refusal(other, delivery)):
                station.behind[place] = other, refusal
                self._claimed.add(id(refusal))
        for earlier in self._at(station.machine, station.hop.requeued_from, station.time):
            earlier.onward[len(earlier.hop.deliveries) - 1] = station
            station.first = False
        for queue_id in station.hop.notices:
            station.notices += self._at(station.machine, queue_id, station.time)

    def _all_before(self, found: list[Station]) -> list[Station]:
        """These stations, and all from which the message came there."""
        before: dict[Station, list[Station]] = {}
        for station in self.stations:
            for then in station.onward.values():
                before.setdefault(then, []).append(station)
        known, waiting = dict.fromkeys(found), deque(found)
        while waiting:
            earlier = [station for station in before.get(waiting.popleft(), ()) if station not in known]
            known.update(dict.fromkeys(earlier))
            waiting.extend(earlier)
        return list(known)

    def _at(self, machine: str, queue_id: str, time: datetime) -> list[Station]:
        """The hop of that queue id on a machine that is nearest to a time: ids are used again."""
        there = self._by_queue_id.get((machine, queue_id), [])
        place = bisect_left(there, time, key=lambda station: station.time)
        near = there[place : place + 1]
        if place:
            near.insert(0, there[bisect_left(there, there[place - 1].time, key=lambda station: station.time)])
        return sorted(near, key=lambda station: abs(station.time - time))[:1]

    def _refusal(self, machine: str, delivery: Delivery) -> Refusal | None:
        """What a machine wrote itself when it refused this delivery."""
        there = self._unclaimed.get((machine, delivery.to), [])
        place = bisect_left(there, delivery.time, key=lambda refusal: refusal.line.time)
        near = range(max(place - _CROWD, 0), min(place + _CROWD, len(there)))
        fitting = [place for place in near if there[place].reply in delivery.words]
        nearest = min(fitting, key=lambda place: abs(there[place].line.time - delivery.time), default=None)
        if nearest is None or abs(there[nearest].line.time - delivery.time) >= _MOMENT:
            return None
        return there.pop(nearest)


def _is_fatal(line: Line) -> bool:
    """Whether a daemon that delivers could not even start."""
    return line.daemon in _AGENTS and line.text.startswith("fatal:")


def walk(starts: Iterable[Station]) -> Iterator[Station]:
    """The stations from each of these on, in the order of the message's path, notices last; each once."""
    seen: set[Station] = set()
    for start in starts:
        waiting = deque([start])
        while waiting:
            here = waiting.popleft()
            if here not in seen:
                seen.add(here)
                yield here
                waiting.extendleft(reversed(here.onward.values()))
                waiting.extend(here.notices)
