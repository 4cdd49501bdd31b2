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

EVERY = 20.0  # seconds between two rounds
WARNINGS = (600.0, 120.0)  # seconds before the end at which a student is told
_LATEST = (
    WARNINGS[-1] - EVERY
)  # nobody is stopped who was not told so long before, even when nobody served in the meantime
_AT_ONCE = 4

Tell = Callable[[str, str], None]


@dataclass
class _Known:
    """What is known of one student: the last activity seen, and when which warning was given for which end."""

    active: float = 0.0
    told: dict[float, float] = field(default_factory=dict)


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
            each.student.id: each for each in self.engine.environments() if each.class_id == of.id and running(each)
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
        student, now = environment.student.id, self.clock()
        known = self._known.setdefault(student, _Known())
        try:
            ends = min(self._ends(environment, timer, known, now), default=None)
        except LabenvError as error:
            self.listen(Event(student, f"is looked at again later: {error}", "warn"))
            return False
        if ends is None or ends[0] - now > WARNINGS[0]:
            known.told.clear()
            return False
        end, why = ends
        due = [before for before in WARNINGS if end - now <= before]
        if new := [before for before in due if before not in known.told]:
            known.told |= dict.fromkeys(new, now)
            left = max(1, round(max(end - now, _LATEST) / 60))
            minutes = "1 minute" if left == 1 else f"{left} minutes"
            self._say(environment, f"In {minutes} your machines are stopped ({why}). Your work is kept.")
            audit.note(of, student, "told", minutes=left)
        last = known.told.get(WARNINGS[-1])
        return end <= now and last is not None and now - last >= _LATEST

    def _ends(self, environment: Environment, timer: Timer, known: _Known, now: float) -> Iterator[tuple[float, str]]:
        """When it is to be stopped, and why."""
        if timer.until:
            yield timer.until.timestamp(), "their time is over"
        if timer.idle:
            idle = timer.idle.total_seconds()
            student = environment.student.id
            known.active = max(known.active, self.typed.get(student, 0.0))
            if known.active + idle - now <= WARNINGS[0]:  # it may matter soon: ask the machines
                seen = activity.last(self.engine, environment, known.active)
                if seen > known.active:
                    known.told.clear()
                known.active = min(seen, now)  # a machine's clock is no other, but root there can set a file's time
            yield known.active + idle, "nobody has worked in them"

    def _say(self, environment: Environment, text: str) -> None:
        self.tell(environment.student.id, text)
        wall.tell(self.engine, environment, text)

    def _stop(self, of: Class, environment: Environment) -> None:
        student = environment.student.id
        try:
            stop(self.engine, student, self.listen)
            timers.drop(of, student)
            audit.note(of, student, "stopped")
        except LabenvError as error:
            self.listen(Event(student, f"could not be stopped: {error}", "warn"))
            return
        self._known.pop(student, None)
        self.listen(Event(student, f"was stopped at {datetime.now(of.zone):%H:%M}", "note"))
        self.tell(student, "Your machines are stopped, and your work is kept. To go on: start")
