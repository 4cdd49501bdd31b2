"""One session of a student: the menu, a shell in a machine, or one command."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

from asyncssh import SSHServerProcess

from labenv.classroom.serving import losses, nudges
from labenv.environment import Environment, Machine
from labenv.errors import LabenvError, UsageError
from labenv.gate import actions, machines, menu, pipes, programs
from labenv.gate.client import Client, GoneError
from labenv.gate.commands import words
from labenv.gate.held import Held, Viewer
from labenv.gate.line import Line
from labenv.gate.programs import Program
from labenv.gate.state import Gate
from labenv.swarm.where import AwayError
from labenv.text import one_line

_SFTP = "/usr/lib/openssh/sftp-server"


class Visit:
    """A session: `machine` is empty for one with the menu's commands."""

    def __init__(
        self, gate: Gate, process: "SSHServerProcess[bytes]", student: str, machine: str, address: str
    ) -> None:
        self.gate = gate
        self.student = student
        self.address = address
        self._machine = machine
        self._client = Client(process, lambda: gate.seen(student))
        self._shows: Held | None = None

    async def run(self) -> None:
        """Do what the student came for, and tell the client how it ended."""
        try:
            with self.gate.place(self):
                status = await self._served()
        except GoneError:
            return
        except LabenvError as error:
            self._client.complain(error)
            status = error.exit_code
        except Exception as error:  # one student's session must not leave a client that waits for ever
            self.gate.say(f"a session of {self.student} ended by an error of labenv's: {error!r}", "warn")
            self._client.complain(LabenvError("labenv itself failed. Tell your teacher what you typed."))
            status = LabenvError.exit_code
        await self._client.leave(status)

    async def tell(self, text: str, *, in_shells: bool = False) -> None:
        """Say something in the middle of whatever is going on. Who is in a shell is told in the machine, or with `in_shells` here."""
        if self._client.has_terminal and (in_shells or not (self._shows and self._shows.title.startswith("shell"))):
            await self._client.view(f"\r\n*** {one_line(text)}\r\n".encode())

    async def _served(self) -> int:
        typed, subsystem = self._client.command, self._client.subsystem
        if self._machine:
            return await self._in_machine(typed, subsystem)
        if subsystem:
            raise UsageError(f"There is no {one_line(subsystem)[:40]} here.")
        if typed is not None:
            found = words(typed)
            return await self._do(menu.meant(found)) if found else 0
        return await self._menu()

    # The menu

    async def _menu(self) -> int:
        await self._greet()
        line = Line(echo=self._client.has_terminal)
        while True:
            self._client.say(f"{self.student}> ", end="")
            try:
                typed = await self._client.line(line)
                found = words(typed)
                if not found:
                    continue
                found = menu.meant(found)
                if found[0] == "exit":
                    return 0
                await self._do(found)
            except EOFError:
                self._client.say("")
                return 0
            except LabenvError as error:
                self._client.complain(error)

    async def _greet(self) -> None:
        of = self.gate.current()
        environment, away = None, ""
        try:
            environment = await self.gate.environment(self.student)
        except AwayError as error:
            away = str(error)
        lines = [*menu.top(of, actions.assignment_of(of, environment), environment, away), "", *menu.rows()]
        self._client.say("\n".join([*lines, *menu.running(self.gate.holder.of(self.student), of)]))
        if lost := await asyncio.to_thread(losses.unread, of, self.student):
            self._client.say(f"*** {lost}")
        if waiting := await asyncio.to_thread(nudges.unread, of, self.student):
            self._client.say("\n".join(f"*** {nudges.said(each, of)}" for each in waiting))
            await asyncio.to_thread(nudges.read, of, self.student, [each.key for each in waiting])

    async def _do(self, typed: list[str]) -> int:
        """Run what was typed: a command's name and its arguments. Returns its exit code."""
        name, *rest = typed
        self.gate.check_member(self.student)
        self.gate.note(
            self.student,
            name if name in (*menu.NAMES, "help", "back") else "command",
            self.address,
            line=" ".join(typed),
        )
        match name:
            case "help" | "exit":
                if name == "help":
                    await self._greet()
                return 0
            case "shell":
                return await self._shell(*await self._which(rest))
            case "back":
                return await self._back(rest)
            case "key":
                self._client.say(await asyncio.to_thread(actions.keys, self.gate.current(), self.student, rest))
                return 0
        action = await actions.prepare(self.gate, self.student, typed)
        try:
            if action.in_machine:
                machine, command = action.in_machine
                return await self._program_in(action.environment, machine, command, name)
            status = await self._command(action.arguments, action.folder, " ".join(typed))
        finally:
            action.over()
        if sentence := await asyncio.to_thread(action.after, status):
            self._client.say(sentence)
        return status

    async def _command(self, arguments: list[str], folder: Path, title: str) -> int:
        environ = programs.environ(self.student, self._client.terminal, self._client.locale)
        if not self._client.has_terminal:
            return await pipes.command(self.gate, self._client, arguments, environ, folder)
        self.gate.holder.check_room(self.student)
        return await self._held(title, await programs.command(arguments, environ, self._client.size, folder))

    async def _back(self, rest: list[str]) -> int:
        held = self.gate.holder.of(self.student)
        number = int(rest[0]) if rest and rest[0].isdecimal() and len(rest[0]) < 4 else len(held)
        if not 1 <= number <= len(held):
            raise UsageError("Nothing of yours is running there.")
        return await self._attach(held[number - 1], again=True)

    # In a machine

    async def _which(self, names: list[str]) -> tuple[Environment, Machine]:
        if not names:
            environment = await actions.environment(self.gate, self.student)
            raise UsageError(
                f"shell needs a machine: shell {environment.machines[0].name}. {menu.which(m.name for m in environment.machines)}"
            )
        return await machines.ready(self.gate, self.student, names[0])

    async def _in_machine(self, command: str | None, subsystem: str | None) -> int:
        if subsystem not in (None, "sftp"):
            raise UsageError(f"There is no {one_line(subsystem or '')[:40]} here.")
        self.gate.check_member(self.student)
        environment, machine = await self._which([self._machine])
        said = {"line": command} if command else {}
        self.gate.note(self.student, subsystem or "shell", self.address, machine=machine.name, **said)
        if subsystem:
            return await self._framed(environment, machine, [_SFTP])
        run = ["bash", "-c", command] if command else ["bash", "-l"]
        if not self._client.has_terminal:
            return await self._framed(environment, machine, run)
        if command:
            return await self._program_in(environment, machine, run, command[:40])
        for held in self.gate.holder.of(self.student):
            if held.is_alone and held.title == f"shell {machine.name}" and await self._returns(held):
                return await self._attach(held, again=True)
        return await self._shell(environment, machine)

    async def _returns(self, held: Held) -> bool:
        since = f"{held.began.astimezone(self.gate.of.zone):%H:%M}"
        self._client.say(f"Your shell in {self._machine} from {since} is still open. Return to it? [Y/n] ", end="")
        try:
            return not (await self._client.line(Line(echo=True))).lower().startswith("n")
        except EOFError:
            raise GoneError from None

    async def _shell(self, environment: Environment, machine: Machine) -> int:
        if not self._client.has_terminal:
            return await self._framed(environment, machine, ["bash", "-l"])
        return await self._program_in(environment, machine, ["bash", "-l"], f"shell {machine.name}")

    async def _program_in(self, environment: Environment, machine: Machine, command: list[str], title: str) -> int:
        self.gate.holder.check_room(self.student)
        before = await machines.alive(self.gate, self.student, machine)
        program = await programs.in_machine(
            self.gate.engine_of(self.student), machine, command, self._client.terminal, self._client.size
        )

        def after() -> Coroutine[Any, Any, None]:
            return machines.collect(self.gate, environment, machine)

        return await self._looked_after(environment, machine, before, self._held(title, program, after))

    async def _framed(self, environment: Environment, machine: Machine, command: list[str]) -> int:
        before = await machines.alive(self.gate, self.student, machine)
        session = await programs.started(self.gate.engine_of(self.student), machine, command, None)
        running = pipes.in_machine(self.gate, self._client, session)
        status = await self._looked_after(environment, machine, before, running)
        self.gate.spawn(machines.collect(self.gate, environment, machine))
        return status

    async def _looked_after(
        self, environment: Environment, machine: Machine, before: str, running: Awaitable[int]
    ) -> int:
        """The exit code of what runs in a machine. Raises LabenvError, which says why, if the machine goes with it."""
        status: int | LabenvError
        try:
            status = await running
        except UsageError:  # it goes on in another session
            raise
        except LabenvError as error:
            status = error
        if why := await machines.gone(self.gate, environment, machine, before, status):
            raise why
        assert isinstance(status, int)
        return status

    # Programs with a terminal

    async def _held(self, title: str, program: Program, after: Callable[[], Awaitable[None]] | None = None) -> int:
        held = self.gate.holder.hold(self.student, title, program)
        if after:
            self.gate.spawn(_then(held, after))
        return await self._attach(held)

    async def _attach(self, held: Held, *, again: bool = False) -> int:
        """Be its line until it has ended; its exit code. Raises GoneError if this line drops first; it goes on then."""
        viewer = Viewer(self._client.view)
        self._shows = held
        await held.show(viewer)
        if again:  # a program that draws a whole screen draws it once more when the window changes
            lines, columns = self._client.size
            await held.program.resize(lines, max(columns - 1, 1))
            await held.program.resize(lines, columns)
        typing = asyncio.ensure_future(self._type(held))
        ends = [typing, *(asyncio.ensure_future(event.wait()) for event in (held.over, viewer.replaced))]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if typing.done() and not held.over.is_set():
                typing.result()
        finally:
            self._shows = None
            held.leave(viewer)
            for task in ends:
                task.cancel()
        if viewer.replaced.is_set() and not held.over.is_set():
            raise UsageError(f"{held.title} goes on in another session of yours.")
        if isinstance(held.status, LabenvError):
            raise held.status
        return held.status

    async def _type(self, held: Held) -> None:
        if data := self._client.ahead():
            await held.program.write(data)
        while data := await self._client.input(held.program.resize):
            await held.program.write(data)
        await self._client.gone()
        raise GoneError


async def _then(held: Held, after: Callable[[], Awaitable[None]]) -> None:
    await held.over.wait()
    await after()
