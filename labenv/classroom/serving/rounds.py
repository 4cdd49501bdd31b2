"""What `class serve` does about time: environments whose time is over are stopped, after their students were told.

The times are in files (labenv.classroom.running.timers) and activity is read off the machines, so whoever begins to serve again goes on
where the one before ended.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from labenv.classroom.folder.model import Class
from labenv.classroom.running import timers
from labenv.classroom.running.timers import Timer
from labenv.classroom.serving import activity, audit, wall
from labenv.classroom.serving.stop import running, stop
from labenv.engine import Engine
from labenv.environment import Environment
from labenv.errors import LabenvError
from labenv.events import Event, Listener
from labenv.parallel import Together
from labenv.text import many

EVERY = 20.0  # seconds between two rounds
WARNINGS = (600.0, 120.0)  # seconds before the end at which a student is told
_LATEST = (
    WARNINGS[-1] - EVERY
)  # nobody is stopped who was not told so long before, even when nobody served in the meantime
_AT_ONCE = 4

Tell = Callable[[str, str], None]


@dataclass
class _Known:
    """What is known of one student: the last activity seen, and when each warning about each end was given."""

    active: float = 0.0
    told: dict[tuple[str, float], float] = field(default_factory=dict)

    def forget(self, why: str) -> None:
        """The warnings about that end are void: it has moved."""
        self.told = {key: when for key, when in self.told.items() if key[0] != why}


@dataclass(frozen=True)
class _End:
    """When an environment is to be stopped (seconds since 1970), why, and how long before its student is told."""

    at: float
    why: str
    warnings: tuple[float, ...]


@dataclass
class Rounds:
    """Goes round. `typed` has when students last typed something at the gate, `tell` says something to one who is there."""

    engine: Engine
    listen: Listener
    typed: Mapping[str, float]
    tell: Tell
    clock: Callable[[], float] = time.time
    _known: dict[str, _Known] = field(default_factory=dict)

    def go(self, of: Class) -> None:
        """One round: tell those whose time is nearly over, stop those whose time is over. What fails is said, and tried again."""
        wanted = timers.get_all(of)
        for student in self._known.keys() - wanted.keys():
            del self._known[student]
        if not wanted:
            return
        there = {
            each.student.id: each
            for each in self.engine.environments()
            if each.belongs.class_id == of.id and running(each)
        }
        over = [
            there[student]
            for student, timer in wanted.items()
            if student in there and self._is_over(of, there[student], timer)
        ]
        if over:
            with Together(_AT_ONCE) as pool:
                list(pool.map(lambda environment: self._stop(of, environment), over))

    def _is_over(self, of: Class, environment: Environment, timer: Timer) -> bool:
        """Whether it is to be stopped now; tells the student before."""
        known = self._known.setdefault(environment.student.id, _Known())
        try:
            return any(self._comes(of, environment, known, end) for end in self._ends(environment, timer, known))
        except LabenvError as error:
            self.listen(Event(environment.student.id, f"is looked at again later: {error}", "warn"))
            return False

    def _comes(self, of: Class, environment: Environment, known: _Known, end: _End) -> bool:
        """Whether this end has come; tells the student of it in time."""
        now = self.clock()
        left = end.at - now
        if left > end.warnings[0]:
            known.forget(end.why)
            return False
        # Nobody is stopped who was not told before, even when nobody served while the time ran out.
        last, notice = end.warnings[-1], max(end.warnings[-1] - EVERY, 0)
        if new := [before for before in end.warnings if left <= before and (end.why, before) not in known.told]:
            known.told |= {(end.why, before): now for before in new}
            minutes = max(1, round(max(left, notice) / 60))
            self._say(
                environment, f"In {many(minutes, 'minute')} your machines are stopped: {end.why}. Your work is kept."
            )
            audit.note(of, environment.student.id, "told", minutes=minutes)
        told = known.told.get((end.why, last))
        return left <= 0 and told is not None and now - told >= notice

    def _ends(self, environment: Environment, timer: Timer, known: _Known) -> Iterator[_End]:
        """When it is to be stopped. Raises EngineError."""
        if timer.until:
            yield _End(timer.until.timestamp(), "their time is over", WARNINGS)
        if timer.idle:
            idle, now = timer.idle.total_seconds(), self.clock()
            warnings = tuple(min(before, idle / 2) for before in WARNINGS)
            known.active = max(known.active, timer.since, self.typed.get(environment.student.id, 0.0))
            if known.active + idle - now <= warnings[0]:  # it may matter: ask the machines
                # No clock of theirs is another one, but root there can give a terminal any time.
                known.active = min(
                    activity.last(self.engine.holding(environment.student.id).apart(), environment, known.active), now
                )
            yield _End(known.active + idle, "nobody has worked in them", warnings)

    def _say(self, environment: Environment, text: str) -> None:
        self.tell(environment.student.id, text)
        wall.tell(self.engine.holding(environment.student.id).apart(), environment, text)

    def _stop(self, of: Class, environment: Environment) -> None:
        student = environment.student.id
        try:
            stop(self.engine.holding(student).apart(), student, self.listen)
            timers.drop(of, student)
            audit.note(of, student, "stopped")
        except LabenvError as error:
            self.listen(Event(student, f"could not be stopped: {error}", "warn"))
            return
        self._known.pop(student, None)
        self.listen(Event(student, f"was stopped at {datetime.now(of.zone):%H:%M}", "note"))
        self.tell(student, "Your machines are stopped, and your work is kept. To go on: start")
