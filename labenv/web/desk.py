"""One student's environment, as all its pages see it: the last report, what is going on, the programs in its terminals."""

import asyncio
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from labenv.checks.results import CheckResult, Report, with_ticks
from labenv.classroom.running.checking import Checkers
from labenv.engine import Engine, save_store
from labenv.engine.session import life
from labenv.environment import Environment, Machine
from labenv.environments import choose, logfiles, ticks
from labenv.environments.gone import error_if_gone
from labenv.errors import EngineError, LabenvError
from labenv.gate import programs
from labenv.gate.held import Held, Holder
from labenv.gate.machines import KILLED
from labenv.lab import labs
from labenv.lab.model import Lab
from labenv.sheet import watch
from labenv.web.commands import Hear, printed

Rest = ParamSpec("Rest")
Found = TypeVar("Found")

_AGAIN = 1.0  # seconds between two looks for an environment that is not there
_OFTEN = 0.4  # seconds between two times that a check shows what it has found: a page draws all its steps anew for each


@dataclass(frozen=True)
class Sight:
    """What is known now: `problem` is why there is no newer report, `waiting` the same where nothing is wrong, `at` when the last whole one was made.

    `pending` are the steps that are being checked: what the report says of them is old. While a drill runs there are no reports: they would name the fault, and each look at them counts.
    """

    environment: Environment | None = None
    lab: Lab | None = None
    report: Report | None = None
    at: datetime | None = None
    problem: str = ""
    waiting: str = ""
    pending: frozenset[str] = frozenset()
    drills: bool = False


class WaitingError(EngineError):
    """There is nothing to watch now, and nothing is wrong."""


@dataclass(frozen=True)
class Packed:
    """What is handed in: the archive, what it lacks, and what is to be said."""

    name: str
    archive: bytes
    missing: tuple[str, ...]
    said: str


@dataclass(eq=False)
class Desk:
    """What all pages of one student share. One thread watches the machines and has them checked after each change."""

    is_read_only: ClassVar[bool] = False  # then its pages offer nothing that it would refuse
    engine: Engine
    student: str
    checkers: Checkers
    sight: Sight = field(default_factory=Sight)
    holder: Holder = field(default_factory=Holder)
    screen: str = ""  # the password of the desktop, as far as it was opened here
    _seers: set[Callable[[Sight], None]] = field(default_factory=set)
    _lives: "WeakKeyDictionary[Held, tuple[Environment, Machine, str]]" = field(default_factory=WeakKeyDictionary)
    _over: threading.Event = field(default_factory=threading.Event)
    _certain: tuple[CheckResult, ...] = ()  # what a check that goes on has found and not shown yet
    _shows: asyncio.Task[None] | None = None  # what will
    _shown: float = 0.0

    @property
    def mine(self) -> Engine:
        """The engine that has the student's machines, for one piece of work. Raises EngineError."""
        return self.engine.holding(self.student).apart()

    def open(self) -> None:
        """Begin to watch. The event loop must run."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._watch, args=(loop,), daemon=True, name=f"watch {self.student}").start()

    async def close(self) -> None:
        """Watch no more, and end the programs in the terminals."""
        self._over.set()
        await self.holder.close(0)

    def show(self, seer: Callable[[Sight], None]) -> Callable[[], None]:
        """Tell `seer` what is known, now and after each change; returns a function that ends this."""
        self._seers.add(seer)
        seer(self.sight)
        return lambda: self._seers.discard(seer)

    async def shell(self, machine: str, size: tuple[int, int]) -> Held:
        """A new root shell in a machine, with a terminal of so many lines and columns. Raises LabenvError."""
        return await self._held(machine, machine, ["bash", "-l"], size)

    async def log(self, machine: str, size: tuple[int, int]) -> Held:
        """A machine's logs, which follow, in a terminal of so many lines and columns. Raises LabenvError."""
        return await self._held(f"log of {machine}", machine, ["sh", "-c", logfiles.command(200, follow=True)], size)

    async def _held(self, title: str, machine: str, command: Sequence[str], size: tuple[int, int]) -> Held:
        self.holder.check_room(self.student)
        engine, environment = self.mine, await self.environment()
        where = environment.machine(machine)
        if where.state != "running":
            raise EngineError(f"{machine} is {where.state}. To start it: labenv up {self.student}")
        before = await asyncio.to_thread(life, engine, where.container)
        program = await programs.in_machine(engine, where, command, "xterm-256color", size)
        held = self.holder.hold(self.student, title, program)
        self._lives[held] = environment, where, before
        return held

    async def ended(self, held: Held) -> str:
        """Why something ended that ran in a terminal, if its machine or the engine went with it; else empty. Raises EngineError."""
        if isinstance(held.status, LabenvError):
            return str(held.status)
        if held.status not in KILLED or held not in self._lives:
            return ""
        why = await asyncio.to_thread(
            lambda: error_if_gone(
                self.mine,
                *self._lives[held],
                ended=f"the terminal ({held.title}) ended",
                again="a new terminal",
                wait=True,
            )
        )
        return str(why or "")

    async def environment(self) -> Environment:
        """The environment as it is now. Raises EngineError if there is none."""
        return await asyncio.to_thread(self.find)

    def find(self) -> Environment:
        """The same, in a thread."""
        return choose.chosen(self.mine, self.student)

    def find_running(self) -> Environment:
        """The environment that is watched. Raises EngineError if there is nothing to watch now."""
        return self.find()

    async def change(
        self,
        typed: Sequence[str],
        work: "Callable[Concatenate[Engine, Environment, Rest], Found]",
        *rest: Rest.args,
        **named: Rest.kwargs,
    ) -> Found:
        """The same as `ask` for what changes something: `typed` is the command of labenv that does it. Raises also UsageError if it may not be."""
        await self.check_may(typed)
        return await self.ask(work, *rest, **named)

    async def check_may(self, typed: Sequence[str]) -> None:
        """Raise UsageError if the student may not do what a command of labenv does. On one's own computer all may be done."""

    async def ask(
        self, work: "Callable[Concatenate[Engine, Environment, Rest], Found]", *rest: Rest.args, **named: Rest.kwargs
    ) -> Found:
        """Do something with the engine and the environment in a thread, as all pages are served meanwhile. Raises what it raises."""
        environment = await self.environment()
        return await asyncio.to_thread(work, self.mine, environment, *rest, **named)

    async def look_at_ticks(self) -> None:
        """Show what is ticked now. Raises EngineError."""
        there = await self.ask(_ticks)
        if (report := self.sight.report) and (lab := self.sight.lab):
            self._publish({"report": replace(report, results=with_ticks(report.results, lab, there))})

    async def labenv(self, *arguments: str, hear: Hear | None = None) -> Any:
        """What a command prints with --json, for this student: checks run in a process of their own. Raises EngineError as it says.

        `hear` is told each line in which it says how far it is.
        """
        return await printed(programs.labenv(*arguments, "-s", self.student, "--json"), hear=hear)

    async def submit(self, hear: Hear | None = None) -> "Packed":
        """Pack what is handed in. Raises LabenvError."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"{self.student}.tar.gz"
            packed = await self.labenv("submit", str(file), hear=hear)
            return Packed(file.name, file.read_bytes(), tuple(packed["missing"]), f"Packed as {file.name}.")

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        def publish(**news: Any) -> None:
            if not self._over.is_set():
                loop.call_soon_threadsafe(self._publish, news)

        def tell(certain: tuple[CheckResult, ...]) -> None:
            if not self._over.is_set():
                loop.call_soon_threadsafe(self._lay, certain)

        def check(engine: Engine, environment: Environment, **how: Any) -> Report:
            while save_store.has_drill(engine, self.student) and not self._over.wait(_AGAIN):
                publish(drills=True)
            self.find_running()
            publish(drills=False, problem="", waiting="", pending=_checked(labs.of(environment)))
            return self.checkers.check(environment, **how)

        while not self._over.is_set():
            try:
                engine = self.mine
                environment = self.find_running()
                lab = labs.spoken_of(environment)
                if self.sight.lab and self.sight.lab.id != lab.id:
                    publish(report=None, at=None)
                publish(environment=environment, lab=lab)
                away = partial(self.engine.away, self.student)
                for report in watch.reports(engine, environment, check=check, tell=tell, over=self._over, away=away):
                    if save_store.has_drill(engine, self.student):  # it began during the check, which found its fault
                        publish(drills=True)
                        continue
                    there = _ticks(engine, environment)  # also what was ticked meanwhile
                    publish(
                        environment=self.find(),
                        report=replace(report, results=with_ticks(report.results, lab, there)).spoken(lab),
                        at=datetime.now().astimezone(),
                        pending=frozenset(),
                    )
            except WaitingError as error:
                publish(problem="", waiting=str(error), pending=frozenset())
            except LabenvError as error:
                publish(problem=str(error), waiting="", pending=frozenset())
            self._over.wait(_AGAIN)

    def _lay(self, certain: tuple[CheckResult, ...]) -> None:
        """Show soon what a check that goes on is certain of."""
        self._certain = certain
        if self._shows is None:
            self._shows = asyncio.create_task(self._show_certain())

    async def _show_certain(self) -> None:
        """Show which steps a check that goes on has found otherwise than they were, and the rest as it was. Where none is, its end is soon enough."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._shown + _OFTEN - loop.time()))
        try:
            drills = await asyncio.to_thread(lambda: save_store.has_drill(self.mine, self.student))
        except LabenvError:  # whoever watches meets the same, and says it
            drills = True
        finally:
            self._shows = None
        lab, certain = self.sight.lab, self._certain
        if drills or lab is None or not certain:
            return
        before = self.sight.report or Report(self.student, lab.id, ())
        report, new = before.overlaid(certain, lab)
        if [(each.step, each.status) for each in report.results] != [
            (each.step, each.status) for each in before.results
        ]:
            self._publish({"report": report.spoken(lab), "pending": _checked(lab) - new})
            self._shown = loop.time()

    def _publish(self, news: dict[str, Any]) -> None:
        if "pending" in news:  # another check has begun, or this one has ended
            self._certain = ()
        before, self.sight = self.sight, Sight(**(vars(self.sight) | news))
        if self.sight != before:
            for seer in list(self._seers):
                seer(self.sight)


def _ticks(engine: Engine, environment: Environment) -> dict[str, ticks.Tick]:
    return ticks.read(engine, environment.student.id)


def _checked(lab: Lab) -> frozenset[str]:
    """The steps that labenv judges."""
    return frozenset(step.id for step in lab.steps.values() if not step.is_for_a_person)
