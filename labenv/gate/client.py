"""A student's SSH client, as one session sees it: what is typed there, what it shows, its terminal if it has one."""

from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress

from asyncssh import BreakReceived, Error, SignalReceived, SSHServerProcess, TerminalSizeChanged

from labenv.errors import LabenvError
from labenv.gate.line import Line
from labenv.gate.marks import noted
from labenv.gate.programs import BLOCK

_LOCALE = ("LANG", "LC_ALL", "LC_MESSAGES", "LC_CTYPE")


class GoneError(Exception):
    """The line dropped."""


class Client:
    """The client of a session. `seen` is called whenever something was typed."""

    def __init__(self, process: "SSHServerProcess[bytes]", seen: Callable[[], None]) -> None:
        self._process = process
        self._seen = seen
        self._ahead: deque[int] = deque()  # typed, and not yet read by the menu

    @property
    def command(self) -> str | None:
        """The command that the session was opened for; None for a shell, or a subsystem."""
        return self._process.command

    @property
    def subsystem(self) -> str | None:
        """The subsystem that the session was opened for, such as sftp."""
        return self._process.subsystem

    @property
    def terminal(self) -> str | None:
        """The type of its terminal, as the client names it; None if the session has none."""
        return self._process.term_type

    @property
    def has_terminal(self) -> bool:
        """Whether the session has a terminal."""
        return self.terminal is not None

    @property
    def size(self) -> tuple[int, int]:
        """The lines and columns of its terminal."""
        columns, lines, *_ = self._process.term_size
        return lines or 24, columns or 80

    @property
    def locale(self) -> dict[str, str]:
        """The variables that say its language and encoding."""
        return {name: value for name in _LOCALE if (value := self._process.env.get(name))}

    async def line(self, line: Line) -> str:
        """The next line that is typed. Raises EOFError at the end of all, GoneError."""
        while True:
            while self._ahead:
                shown, done = line.feed(self._ahead.popleft())
                await self.view(shown)
                if done is not None:
                    return done
            data = await self.input()
            if not data:
                raise EOFError
            self._ahead.extend(data)

    def ahead(self) -> bytes:
        """What was typed after the last line: it is for what that line has started."""
        data = bytes(self._ahead)
        self._ahead.clear()
        return data

    async def input(self, resized: Callable[[int, int], Awaitable[None]] | None = None) -> bytes:
        """What is typed next; empty at its end. `resized` takes a new size of the terminal. Raises GoneError if the line drops."""
        while True:
            try:
                data = await self._process.stdin.read(BLOCK)
            except TerminalSizeChanged:
                if resized:
                    await resized(*self.size)
                continue
            except (BreakReceived, SignalReceived):
                return b"\x03"
            except (OSError, Error) as error:
                raise GoneError from error
            self._seen()
            return data

    async def gone(self) -> None:
        """Wait until the line has dropped."""
        await self._process.channel.wait_closed()

    async def view(self, data: bytes, *, errors: bool = False) -> None:
        """Show that, on stderr if these are `errors`."""
        out = self._process.stderr if errors else self._process.stdout
        with suppress(OSError, Error):  # the line is gone, as reading from it tells
            out.write(data)
            await out.drain()

    def say(self, text: str, end: str = "\n") -> None:
        """Show a text."""
        with suppress(OSError, Error):
            self._process.stdout.write(self._lines(text + end))

    def complain(self, error: LabenvError) -> None:
        """Show an error."""
        # As in a terminal, where both are one.
        out = self._process.stdout if self.has_terminal else self._process.stderr
        with suppress(OSError, Error):
            out.write(self._lines(f"{noted(str(error))}\n"))

    async def leave(self, status: int) -> None:
        """End the session with an exit code."""
        with suppress(OSError, Error):
            await self._process.stdout.drain()
            self._process.exit(status)

    def _lines(self, text: str) -> bytes:
        return (text.replace("\n", "\r\n") if self.has_terminal else text).encode()
