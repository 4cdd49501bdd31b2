"""One student's environment, as all its pages see it: the last report, what is going on, the programs in its terminals."""

import asyncio
import json
import threading
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Concatenate, ParamSpec, TypeVar

from labenv.checks.results import Report
from labenv.classroom.running.checking import Checkers
from labenv.engine import Engine, save_store
from labenv.environment import Environment
from labenv.environments import choose, logfiles
from labenv.errors import EngineError, LabenvError
from labenv.events import Event
from labenv.gate import programs
from labenv.gate.held import Held, Holder
from labenv.lab import labs
from labenv.lab.model import Lab
from labenv.sheet import watch
from labenv.text import decoded

Rest = ParamSpec("Rest")
Found = TypeVar("Found")

_AGAIN = 1.0  # seconds between two looks for an environment that is not there


@dataclass(frozen=True)
class Sight:
    """What is known now: `problem` is why there is no newer report, `at` when the report was made, `doing` what a check looks at.

    While a drill runs there are no reports: they would name the fault, and each look at them counts.
    """

    environment: Environment | None = None
    lab: Lab | None = None
    report: Report | None = None
    at: datetime | None = None
    problem: str = ""
    doing: str = ""
    drills: bool = False


@dataclass(eq=False)
class Desk:
    """What all pages of one student share. One thread watches the machines and has them checked after each change."""

    engine: Engine
    student: str
    checkers: Checkers
    sight: Sight = field(default_factory=Sight)
    holder: Holder = field(default_factory=Holder)
    _seers: set[Callable[[Sight], None]] = field(default_factory=set)
    _over: threading.Event = field(default_factory=threading.Event)

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
        where = (await self.environment()).machine(machine)
        program = await programs.in_machine(self.engine.apart(), where, command, "xterm-256color", size)
        return self.holder.hold(self.student, title, program)

    async def environment(self) -> Environment:
        """The environment as it is now. Raises EngineError if there is none."""
        return await asyncio.to_thread(choose.chosen, self.engine.apart(), self.student)

    async def ask(
        self, work: "Callable[Concatenate[Engine, Environment, Rest], Found]", *rest: Rest.args, **named: Rest.kwargs
    ) -> Found:
        """Do something with the engine and the environment in a thread, as all pages are served meanwhile. Raises what it raises."""
        environment = await self.environment()
        return await asyncio.to_thread(work, self.engine.apart(), environment, *rest, **named)

    async def labenv(self, *arguments: str) -> Any:
        """What a command prints with --json, for this student: checks run in a process of their own. Raises EngineError as it says."""
        command = programs.labenv(*arguments, "-s", self.student, "--json")
        process = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
        out, said = await process.communicate()
        if process.returncode not in (0, 1):
            *_, why = decoded(said, keep="\n").strip().splitlines() or [f"{arguments[0]} ended too early."]
            raise EngineError(why.removeprefix("labenv: "))
        return json.loads(out)

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        def publish(**news: Any) -> None:
            if not self._over.is_set():
                loop.call_soon_threadsafe(self._publish, news)

        def hear(event: Event) -> None:
            publish(doing=event.message)

        def check(engine: Engine, environment: Environment, **how: Any) -> Report:
            while save_store.has_drill(engine, self.student) and not self._over.wait(_AGAIN):
                publish(drills=True)
            publish(drills=False)
            return self.checkers.check(environment, **how)

        while not self._over.is_set():
            try:
                environment = choose.chosen(self.engine.apart(), self.student)
                lab = labs.spoken_of(environment)
                publish(environment=environment, lab=lab)
                for report in watch.reports(
                    self.engine.apart(), environment, check=check, over=self._over, listen=hear
                ):
                    environment = choose.chosen(self.engine.apart(), self.student)
                    publish(
                        environment=environment,
                        report=report.spoken(lab),
                        at=datetime.now().astimezone(),
                        problem="",
                        doing="",
                    )
            except LabenvError as error:
                publish(problem=str(error), doing="")
            self._over.wait(_AGAIN)

    def _publish(self, news: dict[str, Any]) -> None:
        before, self.sight = self.sight, Sight(**(vars(self.sight) | news))
        if self.sight != before:
            for seer in list(self._seers):
                seer(self.sight)
