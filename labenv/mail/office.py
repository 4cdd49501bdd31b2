"""The mail of all machines joined: which hop led to which, which refusal belongs to which delivery."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from labenv.mail.maillog import Delivery, Hop, Line, Refusal
from labenv.mail.postroom import Postroom

PROBE = "labenv-check"  # how the message ids of labenv's own checks begin, and the names that they greet with
_AGENTS = {"smtp", "lmtp", "local", "virtual", "pipe"}  # the daemons that deliver
_MOMENT = timedelta(seconds=5)  # how far apart two machines' lines about one event can be


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
        self._claimed: set[int] = set()
        for station in self.stations:
            self._join(station)
        for station in self.stations:
            for notice in station.notices:
                for later in walk(notice):
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
            while earlier := [s for s in self.stations if set(s.onward.values()) & set(found) and s not in found]:
                found += earlier
        return sorted((s for s in found if s.first), key=lambda station: station.time) or found[:1]

    def complaint(self, station: Station) -> Line | None:
        """Postfix's complaint when it picked up a message that then got no result."""
        hop = station.hop
        if hop.deliveries or hop.removed:
            return None
        since = hop.lines[-1].time
        for line in self.postrooms[station.machine].log.complaints:
            if line.daemon in _AGENTS and line.text.startswith("fatal:") and since <= line.time < since + _MOMENT:
                return line
        return None

    def queue(self, station: Station) -> str:
        """The queue in which the message still is on that machine, "" if in none."""
        # postsuper(1) does not log each message that it deletes.
        return "" if station.hop.removed else self.postrooms[station.machine].queue.get(station.hop.queue_id, "")

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

    def _at(self, machine: str, queue_id: str, time: datetime) -> list[Station]:
        """The hop of that queue id on a machine that is nearest to a time: ids are used again."""
        there = self._by_queue_id.get((machine, queue_id), [])
        return sorted(there, key=lambda station: abs(station.time - time))[:1]

    def _refusal(self, machine: str, delivery: Delivery) -> Refusal | None:
        """What a machine wrote itself when it refused this delivery."""
        fitting = [
            refusal
            for refusal in (self.postrooms[machine].log.refusals if machine in self.postrooms else ())
            if refusal.to == delivery.to and refusal.reply in delivery.words and id(refusal) not in self._claimed
        ]
        nearest = min(fitting, key=lambda refusal: abs(refusal.line.time - delivery.time), default=None)
        return nearest if nearest and abs(nearest.line.time - delivery.time) < _MOMENT else None


def walk(station: Station) -> Iterator[Station]:
    """The stations from this one on, in the order of the message's path, notices last; each once."""
    seen: list[Station] = []
    waiting = [station]
    while waiting:
        here = waiting.pop(0)
        if here not in seen:
            seen.append(here)
            yield here
            waiting = [*here.onward.values(), *waiting, *here.notices]
