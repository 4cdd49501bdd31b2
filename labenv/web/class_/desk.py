"""The desk of a student of a class: what they do on their page is what the gate's menu would let them do."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from nicegui import context

from labenv.classroom.serving.stop import running
from labenv.environment import Environment
from labenv.errors import EngineError, LabenvError, UsageError
from labenv.gate import actions, machines, programs
from labenv.gate.held import Held
from labenv.gate.state import Gate
from labenv.swarm.where import AwayError
from labenv.text import one_line
from labenv.web.commands import Hear, printed
from labenv.web.desk import Desk, Packed, WaitingError

_STOPPED = "Your machines are stopped, and your work is kept. To go on: Start"
_DOING = {"start": "Your machines are being started", "stop": "Your machines are being stopped"}
_NONE = "You have no machines yet. To make them: Start"
_DESKTOP = {"--no-open", "--configured", "--stop"}
_LINE = 300  # characters of a line of progress


@dataclass(frozen=True)
class Standing:
    """How the machines stand: `doing` is what goes on with them now, `problem` why they were not started or stopped the last time."""

    doing: str = ""
    problem: str = ""


@dataclass(eq=False)
class ClassDesk(Desk):
    """A desk at the gate of a class."""

    gate: Gate = field(kw_only=True)
    standing: Standing = Standing()
    _watchers: set[Callable[[Standing], None]] = field(default_factory=set)

    async def close(self) -> None:
        """Watch no more. The programs in the terminals go on: they are the gate's."""
        self._over.set()

    def find(self) -> Environment:
        """The environment as it is now, in a thread. Raises UsageError, EngineError."""
        return actions.find(self.gate, self.student)

    def find_running(self) -> Environment:
        """The same. Raises WaitingError if the machines are stopped or come up just now."""
        standing = self.standing
        if standing.doing:
            raise WaitingError(f"{standing.doing} …")
        try:
            there = self.gate.find(self.student)
        except AwayError as away:
            raise WaitingError(str(away)) from away
        if there and running(there):
            return there
        if standing.problem:
            raise EngineError(standing.problem)
        raise WaitingError(_STOPPED if there else _NONE)

    async def check_may(self, typed: Sequence[str]) -> None:
        """Raise UsageError if the class does not allow that, or not now."""
        self._note(typed)
        await asyncio.to_thread(actions.check, self.gate, self.student, typed)

    async def labenv(self, *arguments: str, hear: Hear | None = None) -> Any:
        """What a command of the menu prints with --json. Raises UsageError for what is none, EngineError as it says."""
        self._note(arguments)
        if arguments[0] == "desktop":
            return await self._desktop(arguments[1:], hear)
        action = await actions.prepare(self.gate, self.student, [*arguments, "--json"])
        try:
            return await printed(action.arguments, self._environ(), action.folder, hear)
        finally:
            action.over()

    async def submit(self, hear: Hear | None = None) -> Packed:
        """Hand in, in the server's own time, and give the archive to the student. Raises LabenvError."""
        self._note(["submit"])
        action = await actions.prepare(self.gate, self.student, ["submit", "--json"])
        packed = await printed(action.arguments, self._environ(), action.folder, hear)
        file = action.folder / action.arguments[-1]
        said = await asyncio.to_thread(action.after, 0)
        return Packed(
            f"{self.student}.tar.gz", await asyncio.to_thread(file.read_bytes), tuple(packed["missing"]), said
        )

    async def _desktop(self, options: Sequence[str], hear: Hear | None) -> Any:
        """The desktop is for who sees it, so the gate's menu does not have it."""
        if not self.gate.current().page.desktop:
            raise UsageError("Your class has no desktops. Ask your teacher.")
        if not set(options) <= _DESKTOP:
            raise UsageError(f"The desktop takes nothing but {', '.join(sorted(_DESKTOP))} here.")
        return await printed(
            programs.labenv("desktop", *options, "-s", self.student, "--json"), self._environ(), hear=hear
        )

    async def _held(self, title: str, machine: str, command: Sequence[str], size: tuple[int, int]) -> Held:
        self.gate.check_member(self.student)
        is_shell = title == machine
        self.gate.note(self.student, "shell" if is_shell else "log", address(), machine=machine)
        self.holder.check_room(self.student)
        environment, where = await machines.ready(self.gate, self.student, machine)
        before = await machines.alive(self.gate, self.student, where)
        program = await programs.in_machine(self.gate.engine_of(self.student), where, command, "xterm-256color", size)
        held = self.holder.hold(self.student, f"shell {machine}" if is_shell else title, program)

        self._lives[held] = environment, where, before

        async def end() -> None:
            await held.over.wait()
            await machines.collect(self.gate, environment, where)

        self.gate.spawn(end())
        return held

    async def ended(self, held: Held) -> str:
        """Why something ended that ran in a terminal, if its machine went with it; else empty. Raises EngineError."""
        if held not in self._lives:
            return str(held.status) if isinstance(held.status, LabenvError) else ""
        return str(await machines.gone(self.gate, *self._lives[held], held.status) or "")

    # The machines as a whole

    def stand(self, watcher: Callable[[Standing], None]) -> Callable[[], None]:
        """Tell `watcher` how the machines stand, now and after each change; returns a function that ends this."""
        self._watchers.add(watcher)
        watcher(self.standing)
        return lambda: self._watchers.discard(watcher)

    def visit(self) -> None:
        """Somebody has come: start the machines, or make them, if they do not run."""
        if not self.standing.doing:
            self.standing = Standing("Looking at your machines")  # a second page does not start them, too
            self.gate.spawn(self._come(address()))

    def start(self) -> None:
        """Begin to start the machines, or to make them. What is wrong is told in `standing`."""
        self.gate.spawn(self._whole("start", address()))

    def stop(self) -> None:
        """Begin to stop the machines; the work is kept. What is wrong is told in `standing`."""
        self.gate.spawn(self._whole("stop", address()))

    async def _come(self, where: str) -> None:
        there: Environment | None = None
        try:
            there = await self.gate.environment(self.student)
        except AwayError:  # who watches the machines says so, until they are there
            self._stand(Standing())
            return
        except LabenvError as error:
            self._stand(Standing(problem=str(error)))
            return
        self._stand(Standing())
        if not there or not running(there):
            await self._whole("start", where)

    async def _whole(self, word: str, where: str) -> None:
        if self.standing.doing:
            return

        def tell(line: str) -> None:
            self._stand(Standing(f"{_DOING[word]}: {one_line(line)[:_LINE].rstrip(' .…')}"))

        self._stand(Standing(_DOING[word]))
        try:
            self._note([word], where)
            action = await actions.prepare(self.gate, self.student, [word])
            try:
                await printed([*action.arguments, "--json"], self._environ(), hear=tell)
            finally:
                action.over()
        except LabenvError as error:
            self._stand(Standing(problem=str(error)))
            return
        self._stand(Standing())

    def _stand(self, standing: Standing) -> None:
        self.standing = standing
        self._publish({"waiting": f"{standing.doing} …" if standing.doing else "", "problem": standing.problem})
        for watcher in list(self._watchers):
            watcher(standing)

    def _environ(self) -> dict[str, str]:
        return programs.environ(self.student, None, {})

    def _note(self, typed: Sequence[str], where: str | None = None) -> None:
        self.gate.check_member(self.student)
        where = address() if where is None else where
        self.gate.note(self.student, typed[0], where, line=" ".join(typed), by="page")


def address() -> str:
    """The address of the browser whose page is at work here; "" where it is none's."""
    try:
        request = context.client.request
    except RuntimeError:  # nobody's click: a thing that goes on by itself
        return ""
    return request.client.host if request and request.client else ""
