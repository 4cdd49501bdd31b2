"""One message's path through all machines, from the logs: from the client to its file, or to where it stopped."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

from labenv.environment import Environment
from labenv.errors import EngineError, UsageError
from labenv.lab import labs
from labenv.mail import again, complaints, postroom, telling
from labenv.mail.maillog import Delivery, Refusal
from labenv.mail.office import Office, Station, walk
from labenv.mail.postroom import Postroom
from labenv.mail.reasons import stuck
from labenv.mail.telling import Scene

if TYPE_CHECKING:
    from labenv.engine import Engine

_RECENT = 8
_MOMENT = timedelta(seconds=2)  # between a server's complaint and its answer; logs are exact to a second
_MAILBOX = re.compile(r"/(new|cur)/[^/]*$|^/var/spool/mail/")

State = Literal["delivered", "deferred", "bounced", "refused", "discarded", "deleted", "waiting", "left"]


@dataclass(frozen=True)
class Moment:
    """Something that happened: when and on which machine, in plain words, and the lines of the log that say so."""

    time: datetime
    machine: str
    words: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class End:
    """What happened to the message for one recipient, and on which machine.

    `user`, `queue_id` and `file` belong to a delivery, `reason` says why it was not delivered and `said` has the log's own words,
    `notice_to` and `notice` belong to a bounce: the sender, and what happened to the notice. `fixed` says what is right by now, so
    that the message would not stop there again (`in_force`: once Postfix is restarted, if false), `due` when it is tried again, and `client` who was refused.
    """

    recipient: str
    state: State
    machine: str
    reason: str = ""
    user: str = ""
    queue_id: str = ""
    file: str = ""
    notice_to: str = ""
    notice: tuple["End", ...] = ()
    said: str = ""
    fixed: str = ""
    in_force: bool = True
    due: str = ""
    client: str = ""

    def __str__(self) -> str:
        """The end as a clause."""
        because = f", because {self.reason}" if self.reason else ""
        match self.state:
            case "delivered":
                there = f"to {self.file} on {self.machine}"
                gone = f"to {self.user} on {self.machine}, but it is no longer in a mailbox there"
                return f"delivered {there if self.file else gone}"
            case "left":
                return f"sent on by {self.machine}: {self.reason}"
            case "waiting":
                return f"still on {self.machine}{because}{self._then()}"
            case "deleted":
                after = f" after it was deferred{because}" if because else ""
                return f"stopped on {self.machine}: somebody removed it from the queue{after}"
        return f"stopped on {self.machine}: {self.state}{because}{self._then()}{self._answer()}"

    def _then(self) -> str:
        """What is fixed by now, and what then happens to the message."""
        if not self.fixed:
            return f"; the next try is {self.due}" if self.due else ""
        if not self.in_force:
            return f"; {self.fixed}, but Postfix on {self.machine} was not restarted since: systemctl restart postfix"
        if self.state not in ("deferred", "waiting"):
            return f"; that is fixed ({self.fixed}): send it again"
        when = f"{self.machine} tries again {self.due}, or at once" if self.due else f"{self.machine} tries again"
        return f"; that is fixed ({self.fixed}): {when} after: postqueue -f"

    def _answer(self) -> str:
        """What happened to the notice about a bounce."""
        if self.notice and all(end.reason == self.reason for end in self.notice):
            return f"; the notice about it to {self.notice_to} stopped for the same reason"
        ends = "; ".join(map(str, self.notice))
        return f"; a notice went back to {self.notice_to}: {ends}" if ends else ""


@dataclass(frozen=True)
class Trace:
    """A message's path: the moments in order, the end for each recipient, and what the logs cannot show (`notes`).

    `id` is the message id, or the first queue id of a message without; "" for an attempt that was refused at once.
    """

    id: str
    sender: str
    moments: tuple[Moment, ...]
    ends: tuple[End, ...]
    notes: tuple[str, ...] = ()

    @property
    def delivered(self) -> bool:
        """Whether it was, to every recipient."""
        return all(end.state == "delivered" for end in self.ends)

    @property
    def verdict(self) -> str:
        """One sentence: delivered where, or stopped where and why."""
        if len(self.ends) == 1:
            return str(self.ends[0])
        return "; ".join(f"for {end.recipient}: {end}" for end in self.ends)

    def to_dict(self) -> dict[str, Any]:
        """The trace as `trace --json` prints it."""
        document = asdict(self)
        for moment in document["moments"]:
            moment["time"] = moment["time"].isoformat()
        return {**document, "verdict": self.verdict}


def trace(environment: Environment, engine: "Engine", wanted: str = "latest") -> Trace:
    """The path of a message by its message id or a queue id, or of the `latest` message or refused attempt.

    The notes name machines that are not running. Raises UsageError, with the newest ids, if no machine knows it, and for a lab that
    is not about mail.
    """
    if "mail" not in labs.of(environment).kits:
        raise UsageError(f"{environment.lab} is not about mail, so there is no message to follow.")
    found = Tracer(postroom.look(engine, environment), _scene(environment, engine)).trace(wanted)

    def located(end: End, message: str = found.id) -> End:
        if end.state != "delivered":
            return replace(end, notice=tuple(located(answer, "") for answer in end.notice))
        try:
            with_id = postroom.find(engine, environment, end.machine, f"<{message}>") if message else []
            received = postroom.find(engine, environment, end.machine, f"id {end.queue_id}")
        except EngineError:  # it stopped meanwhile
            return end
        return replace(end, file=delivered_file(end.user, with_id, received))

    return replace(found, ends=tuple(_asked_again(located(end), found, environment, engine) for end in found.ends))


def delivered_file(user: str, with_id: Sequence[tuple[str, str]], received: Sequence[tuple[str, str]]) -> str:
    """The file that a delivery to `user` made, "" if it is gone, from the files (owner, path) `with_id` and queue id (`received`).

    A mail client's copy of what it sent has the message's id, but no machine received it. A queue id may be used again.
    """
    files = [file for file in with_id if file in received] if with_id else received
    # Prefer the user's own file, and one in a mailbox to one that somebody saved elsewhere.
    best = sorted(files, key=lambda file: (file[0] != user, not _MAILBOX.search(file[1])))
    return best[0][1] if best else ""


def _asked_again(end: End, found: Trace, environment: Environment, engine: "Engine") -> End:
    """An end at which a message stopped, with what is right by now."""
    if not end.said:
        return end
    addresses = {name: address for address, name in environment.names.items()}
    given = {"to": end.recipient, "user": end.recipient.partition("@")[0], "sender": found.sender}
    try:
        with engine.shell(environment.machine(end.client or end.machine)) as shell:

            def run(script: str) -> tuple[int, str]:
                told = shell.run(script)
                return told.rc, told.text

            if end.state != "refused":
                there = again.now(end.said, given, run)
                return replace(end, fixed=there.fixed, in_force=there.in_force)
            taken = end.client and again.accepted({**given, "address": addresses[end.machine]}, run)
    except EngineError:  # it does not run, which the notes say
        return end
    return replace(end, fixed=f"{end.machine} accepts it now") if taken else end


def recent(environment: Environment, engine: "Engine") -> list[str]:
    """The ids of the newest messages on any machine, the newest first."""
    return Tracer(postroom.look(engine, environment), _scene(environment, engine)).recent()


class Tracer:
    """Finds messages' paths from what the machines know; the postroom of a machine that cannot be asked is the reason."""

    def __init__(self, postrooms: Mapping[str, Postroom | str], scene: Scene) -> None:
        there = {name: room for name, room in postrooms.items() if isinstance(room, Postroom)}
        self._office = Office(there, scene.machines)
        self._scene = scene
        self._notes = tuple(_notes(postrooms))

    def recent(self) -> list[str]:
        """The ids of the newest messages, the newest first; neither notices nor probes of labenv's checks."""
        return list(dict.fromkeys(station.id for station in reversed(self._office.messages())))[:_RECENT]

    def trace(self, wanted: str) -> Trace:
        """See `trace`. The files that messages were delivered to are not looked for."""
        if wanted == "latest":
            messages, attempts = self._office.messages()[-1:], self._office.attempts()[-1:]
            if attempts and (not messages or attempts[0][1][0].line.when > messages[0].when):
                return self._attempt(*attempts[0])
            found = self._office.find(messages[0].id) if messages else []
        else:
            found = self._office.find(wanted.strip("<>"))
        if not found:
            raise UsageError(self._unknown(wanted))
        return self._way(found)

    def _unknown(self, wanted: str) -> str:
        sentence = f"No machine knows the message '{ascii(wanted)[1:-1]}'."
        if wanted == "latest":
            sentence = "No machine's log has a message yet."
        known = self.recent()
        then = f"The newest are: {', '.join(known)}." if known else "Send one and try again."
        return " ".join([sentence, *self._notes, then])

    def _way(self, first: list[Station]) -> Trace:
        told = [
            (moment.time, rank, moment) for rank, station in enumerate(walk(first)) for moment in self._moments(station)
        ]
        moments = [moment for *_, moment in sorted(told, key=lambda entry: entry[:2])]
        seen: set[Station] = set()
        ends = tuple(end for station in first for end in self._ends(station, seen))
        return Trace(first[0].id, first[0].hop.sender or "", _merged(moments), ends, self._notes)

    def _moments(self, station: Station) -> Iterator[Moment]:
        machine, hop = station.machine, station.hop
        about = "the notice: " if station.is_notice else ""
        place = -1
        for line in hop.lines:
            if line.text.startswith("to=<"):
                place += 1
                if place in station.behind:
                    other, refusal = station.behind[place]
                    words = about + telling.refusal(self._scene, other, refusal)
                    yield Moment(line.time, other, words, (refusal.line.raw,))
            words = telling.line(self._scene, machine, hop, line)
            yield Moment(line.time, machine, about + words, (line.raw,))
        if complaint := self._office.complaint(station):
            words = f"{machine} cannot process it, because {stuck(complaint.text)}"
            yield Moment(complaint.time, machine, about + words, (complaint.raw,))

    def _ends(self, station: Station, seen: set[Station]) -> Iterator[End]:
        if station in seen:
            return
        seen.add(station)
        hop = station.hop
        for refusal in hop.refusals:
            yield self._refused(station.machine, refusal)
        last = hop.last
        for place, delivery in enumerate(hop.deliveries):
            if delivery in last:
                if place in station.onward:
                    yield from self._ends(station.onward[place], seen)
                else:
                    yield self._end(station, delivery, seen)
        if not last and station.onward:  # requeued before the first try
            yield from self._ends(next(iter(station.onward.values())), seen)
        elif not last:
            complaint = self._office.complaint(station)
            why = stuck(complaint.text) if complaint else ""
            yield self._unfinished(station, "its recipients", "waiting", why, complaint.text if complaint else "")

    def _end(self, station: Station, delivery: Delivery, seen: set[Station]) -> End:
        machine, hop = station.machine, station.hop
        recipient = delivery.orig_to or delivery.to
        if delivery.status == "sent":
            if delivery.address:
                return End(recipient, "left", machine, self._taken(delivery))
            if delivery.relay == "none":
                return End(recipient, "discarded", machine, "a Postfix table there says so (discard)")
            return End(recipient, "delivered", machine, user=delivery.to.partition("@")[0], queue_id=hop.queue_id)
        why = self._scene.why(hop, delivery, machine)
        said = "\n".join([*telling.agent_lines(hop, delivery), delivery.words])
        if delivery.status == "deferred" and not hop.expired:
            return self._unfinished(station, recipient, "deferred", why, said)
        notice = tuple(end for answer in station.notices for end in self._ends(answer, seen))
        return End(recipient, "bounced", machine, why, notice_to=hop.sender or "", notice=notice, said=said)

    def _unfinished(self, station: Station, recipient: str, state: State, why: str, said: str) -> End:
        queue = self._office.queue(station)
        if not queue:
            return End(recipient, "deleted", station.machine, why)
        if queue == "hold":
            return End(recipient, state, station.machine, f"{why}; it is on hold")
        return End(recipient, state, station.machine, why, said=said, due=self._office.due(station))

    def _taken(self, delivery: Delivery) -> str:
        other = self._scene.name(delivery.relay)
        known = other in self._scene.machines.values()
        why = "its log does not say what happened then" if known else "it is not a machine of the lab"
        return f"{other} accepted it{delivery.queued_as and ' as '}{delivery.queued_as}, and {why}"

    def _refused(self, machine: str, refusal: Refusal) -> End:
        why, client = self._scene.refused(refusal, machine), self._scene.machines.get(refusal.address, "")
        return End(refusal.to or "everybody", "refused", machine, why, said=refusal.reply, client=client)

    def _attempt(self, machine: str, refusals: list[Refusal]) -> Trace:
        """The trace of a connection in which everything was refused."""
        by_line = {refusal.line.raw: refusal for refusal in refusals}

        def words(raw: str, text: str) -> str:
            if raw in by_line:
                return telling.refusal(self._scene, machine, by_line[raw])
            return telling.connection(self._scene, machine, text)

        moments = [Moment(line.time, machine, words(line.raw, line.text), (line.raw,)) for line in refusals[0].lines]
        ends = tuple(self._refused(machine, refusal) for refusal in refusals)
        return Trace("", refusals[0].sender, _merged(moments), ends, self._notes)


def _merged(moments: Iterable[Moment]) -> tuple[Moment, ...]:
    """The moments, with consecutive ones that say the same joined into one."""
    groups = [list(group) for _, group in groupby(moments, key=lambda moment: (moment.machine, moment.words))]
    return tuple(replace(group[0], lines=tuple(line for m in group for line in m.lines)) for group in groups)


def _notes(postrooms: Mapping[str, Postroom | str]) -> Iterator[str]:
    for name, room in postrooms.items():
        if isinstance(room, str):
            yield f"{name} {room}, so its log could not be read."
        elif room.unread:
            count = "1 message waits" if room.unread == 1 else f"{room.unread} messages wait"
            why = "" if room.runs else ", which is not running there"
            yield f"On {name}, {count} for Postfix{why}; no log shows this yet."


def _scene(environment: Environment, engine: "Engine") -> Scene:
    @cache
    def explain(machine: str, time: datetime) -> str:
        away = (-_MOMENT, -timedelta(seconds=complaints.THROTTLED), _MOMENT)
        since, fatal_since, until = (f"{time + moved:%Y-%m-%d %H:%M:%S}" for moved in away)
        try:
            with engine.shell(environment.machine(machine)) as shell:
                complaint = complaints.explained(shell.run(complaints.command(since, fatal_since, until)).text)
        except EngineError:  # it does not run, which the notes say
            return ""
        return str(complaint or "")

    return Scene(environment.names, environment.student.domain, explain)
