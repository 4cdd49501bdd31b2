"""Who of a class reaches whom by mail: for each pair whether the MX was found, the message accepted, and delivered.

What one student did wrong is said once, with their name: what nobody gets through to them (`Matrix.troubles`), and what nobody
gets from them. The other pairs are not touched by it.
"""

import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from labenv.checks.machine import Site
from labenv.classroom.federation import doors, letters, world
from labenv.classroom.federation.doors import Door
from labenv.classroom.federation.letters import Way
from labenv.classroom.folder.model import Class
from labenv.engine import Engine, lent
from labenv.environment import Environment, Machine
from labenv.errors import UsageError
from labenv.events import Event, Listener, announced
from labenv.lab import labs, templates
from labenv.lab.model import Account
from labenv.student import Student
from labenv.text import many

State = Literal["delivered", "accepted", "refused", "unfound", "unsent"]
STATES: tuple[State, ...] = ("delivered", "accepted", "refused", "unfound", "unsent")
WORDS: dict[State, str] = {
    "delivered": "delivered",
    "accepted": "accepted, not delivered",
    "refused": "MX found, not accepted",
    "unfound": "no MX found",
    "unsent": "did not leave the sender",
}


@dataclass(frozen=True)
class Pair:
    """Mail from one student to another: how far it came, and in `words` why no further."""

    sender: str
    to: str
    state: State
    words: str = ""

    @property
    def found(self) -> bool:
        """Whether there is an MX record."""
        return self.state != "unfound"

    @property
    def accepted(self) -> bool:
        """Whether the other's mail server took it."""
        return self.state in ("delivered", "accepted")

    @property
    def delivered(self) -> bool:
        """Whether it is in the other's mailbox."""
        return self.state == "delivered"


@dataclass(frozen=True)
class Matrix:
    """All pairs of a class at a time. `troubles` are what stops all mail from or to a student: the id and a sentence."""

    of: Class
    time: datetime
    seconds: float
    students: tuple[str, ...]
    doors: Mapping[str, Door]
    pairs: Mapping[tuple[str, str], Pair]
    troubles: tuple[tuple[str, str], ...]

    def count(self, state: State) -> int:
        """How many pairs are in a state."""
        return sum(pair.state == state for pair in self.pairs.values())

    @property
    def is_whole(self) -> bool:
        """Whether everybody reaches everybody."""
        return self.count("delivered") == len(self.pairs)

    def row(self, sender: str) -> list[Pair | None]:
        """The pairs of a sender in the order of the students; None for the sender."""
        return [self.pairs.get((sender, to)) for to in self.students]

    def to_dict(self) -> dict[str, Any]:
        """As `class matrix --json` shows it."""
        return {
            "class": self.of.id,
            "time": self.time.isoformat(timespec="seconds"),
            "seconds": round(self.seconds, 1),
            "students": [
                {
                    "student": each,
                    "exchanger": self.doors[each].exchanger,
                    "troubles": [words for who, words in self.troubles if who == each],
                }
                for each in self.students
            ],
            "pairs": [
                {
                    "from": pair.sender,
                    "to": pair.to,
                    "state": pair.state,
                    "found": pair.found,
                    "accepted": pair.accepted,
                    "delivered": pair.delivered,
                    "words": pair.words,
                }
                for pair in self.pairs.values()
            ],
            "summary": {"pairs": len(self.pairs), **{state: self.count(state) for state in STATES}},
        }


def measure(engine: Engine, of: Class, only: Collection[str] | None, listen: Listener) -> Matrix:
    """Who of these students reaches whom, with real messages, which are removed again. Raises UsageError, EngineError."""
    began = time.monotonic()
    there, outside = _there(engine, of, only, listen)
    running = [each for each in there if all(machine.state == "running" for machine in each.regular)]
    accounts = {each.student.id: _account(each) for each in running}
    addresses = {who: templates.for_student(accounts[who].address, each.student) for who, each in _by_id(running)}
    unsent = {who: "not all of its machines run" for who, _ in _by_id(there) if who not in accounts}
    seen = {who: Door(who, words=words) for who, words in unsent.items()}
    with announced(listen, "matrix", f"asking for the mail servers of {many(len(running), 'student')}"):
        seen |= _doors(engine, of, outside, addresses, [each.student for each in running])
    targets = [who for who, door in seen.items() if door.is_open]
    ways: dict[str, dict[str, Way]] = {}
    with announced(listen, "matrix", f"sending messages from {many(len(running), 'student')} to {len(targets)}"):
        for who, found, trouble in letters.send(engine, running, accounts, addresses, targets):
            ways[who] = found
            if trouble:
                unsent[who] = trouble
    students = tuple(each.student.id for each in there)
    pairs = dict(_pairs(students, seen, ways, unsent))
    troubles = _troubles(students, seen, pairs, unsent)
    return Matrix(of, datetime.now(of.zone), time.monotonic() - began, students, seen, pairs, troubles)


def _there(
    engine: Engine, of: Class, only: Collection[str] | None, listen: Listener
) -> tuple[list[Environment], Machine]:
    """The environments that take part, and the world outside. Raises UsageError if there is none."""
    if not of.federate:
        raise UsageError(
            f"{of.name} is not federated: its students do not write to each other. Put `federate: true` into "
            f"{of.folder / 'class.yaml'}; it counts for environments that are made then."
        )
    wanted = {member.id for member in of.chosen(only)}
    there = [each for each in world.members(engine, of.id) if each.student.id in wanted]
    for each in engine.environments():
        if each.belongs.class_id == of.id and not each.belongs.federated and each.student.id in wanted:
            who = each.student.id
            way = f"labenv class down --save --only {who}, then labenv class up"
            text = f"{who} takes no part: that environment was made before the class was federated. To make it again: {way}"
            listen(Event("matrix", text, "note"))
    outside = world.outside(engine, of.id)
    if not there or outside is None or outside.state != "running":
        what = f"The world outside of {of.name} does not run" if there else f"No environment of {of.name} is federated"
        raise UsageError(f"{what}. Bring it up: labenv class up -c {of.folder}")
    return there, outside


def _by_id(there: Sequence[Environment]) -> list[tuple[str, Environment]]:
    return [(each.student.id, each) for each in there]


def _doors(
    engine: Engine, of: Class, outside: Machine, addresses: Mapping[str, str], students: Sequence[Student]
) -> dict[str, Door]:
    site = Site(engine, Environment(lent.owner(of.id), "", "", (outside,)))
    try:
        return doors.look(site[outside.name], addresses, students)
    finally:
        site.close()


def _account(each: Environment) -> Account:
    lab = labs.of(each)
    if lab.account is None:
        raise UsageError(f"{lab.id} builds no mail account, so its students cannot write to each other.")
    return lab.account


def _pairs(
    students: Sequence[str],
    seen: Mapping[str, Door],
    ways: Mapping[str, Mapping[str, Way]],
    unsent: Mapping[str, str],
) -> Iterator[tuple[tuple[str, str], Pair]]:
    for sender in students:
        for to in students:
            if sender != to:
                yield (sender, to), _pair(sender, to, seen[to], ways.get(sender, {}).get(to), unsent.get(sender, ""))


def _pair(sender: str, to: str, door: Door, way: Way | None, trouble: str) -> Pair:
    """One pair. What is wrong at its end comes before what is wrong where it begins."""
    if not door.is_open:
        return Pair(sender, to, "refused" if door.exchanger else "unfound", door.words)
    if trouble or way is None:
        return Pair(sender, to, "unsent", trouble)
    if way.delivered:
        return Pair(sender, to, "delivered")
    if way.accepted:
        return Pair(sender, to, "accepted", way.words or f"{to}'s log has no line about its delivery")
    still = "the message stayed in a queue"
    return Pair(sender, to, "refused" if way.left else "unsent", way.words or still)


def _troubles(
    students: Sequence[str],
    seen: Mapping[str, Door],
    pairs: Mapping[tuple[str, str], Pair],
    unsent: Mapping[str, str],
) -> tuple[tuple[str, str], ...]:
    """What stops all mail to or from a student, once each; two sentences for one who has both."""
    found: list[tuple[str, str]] = []
    for who in students:
        sent = [pair for (sender, to), pair in pairs.items() if sender == who and seen[to].is_open]
        got = [pair for (sender, to), pair in pairs.items() if to == who and sender not in unsent]
        if words := seen[who].words:
            found.append((who, f"gets no mail: {words}"))
        elif got and not any(pair.delivered for pair in got) and any(pair.accepted for pair in got):
            found.append((who, f"takes mail, and does not deliver it: {_usual(got)}"))
        if words := unsent.get(who, ""):
            if words != seen[who].words:
                found.append((who, f"sends no mail: {words}"))
        elif sent and not any(pair.accepted for pair in sent):
            found.append((who, f"sends no mail: {_usual(sent)}"))
    return tuple(found)


def _usual(pairs: Sequence[Pair]) -> str:
    return Counter(pair.words for pair in pairs if pair.words).most_common(1)[0][0]
