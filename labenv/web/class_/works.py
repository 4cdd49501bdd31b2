"""Long work for the whole class, one at a time: a command of labenv, which goes on whichever pages are closed meanwhile."""

import asyncio
import json
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from labenv.errors import UsageError
from labenv.gate import programs
from labenv.gate.state import Gate
from labenv.text import decoded, one_line

_LINE, _LINES = 300, 8  # characters of a line of progress, and how many lines are kept to say what went wrong
_MOST = 64 << 20  # bytes of a document


@dataclass(frozen=True)
class Work:
    """A command: `line` is the last that it said, `document` what it printed, `problem` why it printed nothing."""

    title: str
    arguments: Sequence[str]
    began: datetime
    line: str = ""
    ended: datetime | None = None
    document: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""

    @property
    def runs(self) -> bool:
        """Whether it goes on."""
        return self.ended is None


Seer = Callable[[Work | None], None]


class Works:
    """What is done for the class now, or was done last. `done` has the last of each command that printed a document."""

    def __init__(self, gate: Gate) -> None:
        """Nothing yet."""
        self.now: Work | None = None
        self.done: dict[str, Work] = {}
        self._gate = gate
        self._process: Process | None = None
        self._seers: set[Seer] = set()

    def show(self, seer: Seer) -> Callable[[], None]:
        """Tell `seer` of the work, now and after each change; returns a function that ends this."""
        self._seers.add(seer)
        seer(self.now)
        return lambda: self._seers.discard(seer)

    def start(self, title: str, *arguments: str) -> None:
        """Begin `labenv class` with these arguments and --json. Raises UsageError while another work goes on."""
        if self.now and self.now.runs:
            raise UsageError(f"{self.now.title} is not done yet. Wait until it is, or end it.")
        self._gate.note("", "teacher", line=" ".join(arguments))
        self._tell(Work(title, arguments, datetime.now(self._gate.of.zone)))
        self._gate.spawn(self._run(arguments))

    def end(self) -> None:
        """Break off what goes on, as Ctrl-C does."""
        if self._process and self.now and self.now.runs:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGINT)

    async def _run(self, arguments: Sequence[str]) -> None:
        name, *rest = arguments
        command = programs.labenv("class", name, *rest, "-c", str(self._gate.of.folder), "--json")
        said: list[str] = []
        try:
            self._process = process = await asyncio.create_subprocess_exec(
                *command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, cwd="/", start_new_session=True
            )
        except OSError as error:
            self._over(problem=f"The command cannot be started: {error.strerror}. Try again.")
            return
        assert process.stdout
        assert process.stderr
        out, _ = await asyncio.gather(_whole(process.stdout), self._follow(process.stderr, said))
        code = await process.wait()
        try:
            document = json.loads(out)
            self._over(document=document if isinstance(document, dict) else {})
        except ValueError:
            why = " ".join(said).removeprefix("labenv: ") or f"The command ended too early ({code})."
            self._over(problem="It was ended." if code in (130, -signal.SIGINT) else why)

    async def _follow(self, stream: asyncio.StreamReader, said: list[str]) -> None:
        while data := await _line(stream):
            if line := one_line(decoded(data).strip())[:_LINE]:
                said.append(line)
                del said[:-_LINES]
                if self.now:
                    self._tell(replace(self.now, line=line))

    def _over(self, document: Mapping[str, Any] | None = None, problem: str = "") -> None:
        if self.now:
            ended = datetime.now(self._gate.of.zone)
            self._tell(replace(self.now, ended=ended, document=document or {}, problem=problem))

    def _tell(self, work: Work) -> None:
        self.now = work
        if work.document:
            self.done[work.arguments[0]] = work
        for seer in list(self._seers):
            seer(work)


async def _line(stream: asyncio.StreamReader) -> bytes:
    """The next line; one that is too long is left out."""
    while True:
        try:
            return await stream.readline()
        except ValueError:
            continue


async def _whole(stream: asyncio.StreamReader) -> bytes:
    """All that comes, as far as it is not too much; what is more is read and forgotten."""
    found = bytearray()
    while data := await stream.read(1 << 16):
        if len(found) < _MOST:
            found += data
    return bytes(found)
