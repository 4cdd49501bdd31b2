"""One shell for each machine that stays open.

A `docker exec` costs some 60 ms; a command through a shell that is already open costs two or three. The end of one
command's output is marked in band, by a mark with a random token, so no output can imitate it.
"""

import secrets
import shlex
import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Self

import docker
import docker.errors
import requests

from labenv.engine.dial import Line, Switchboard
from labenv.engine.patience import Patience
from labenv.engine.stream import STDERR, STDOUT, TOOLS, Stream, machine_state
from labenv.errors import EngineError
from labenv.text import decoded

# More than any file that labenv reads; what a machine sends is kept in memory.
LARGEST = 4_000_000
_BESIDE = 1_000_000  # bytes that may come besides both outputs of a command, from what an earlier one left
# Where labenv's own shell is, it runs each command in a copy of itself: to start a shell for it would take three times as long. A
# command comes as a head of so many bytes (mark, length, length of its input), then both: what has a known length bash reads by the
# block, unless it is to be as sh(1p) wants it, and it counts bytes in the C locale.
_HEAD = 53
_SERVE = rf"""
PATH=${{1:+$1:}}$PATH
set +o posix
while LC_ALL=C read -r -N {_HEAD} _head && set -- $_head && LC_ALL=C read -r -N $2 _does; do
    _said=; [ $3 = 0 ] || LC_ALL=C read -r -N $3 _said
    _mark=$1; set --
    printf '\0%s%d\n' $_mark $$; printf '\0%s%d\n' $_mark $$ >&2
    if [ -n "$_said" ]; then (set -o posix; eval "$_does") <<<"$_said"; else (set -o posix; eval "$_does") </dev/null; fi
    _status=$?
    printf '\0%s%d\n' $_mark $_status; printf '\0%s%d\n' $_mark $_status >&2
done
"""


@dataclass(frozen=True)
class Result:
    """The result of a command: its exit status and the bytes of both outputs."""

    rc: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """The output as text; bytes that are not UTF-8 are replaced."""
        return decoded(self.stdout)

    @property
    def complaint(self) -> str:
        """The error output as text, without surrounding blanks."""
        return decoded(self.stderr).strip()


class Channel:
    """A shell in one machine that stays open between commands; threads may share it.

    >>> Channel(client.api, "labenv-asmith15-vm3").run("hostname -d").stdout
    b'asmith15.ops\\n'
    """

    def __init__(
        self,
        api: docker.APIClient,
        container: str,
        patience: Patience | None = None,
        *,
        has_tools: bool = False,
        reads: bool = False,
        over: Switchboard | None = None,
    ) -> None:
        """Open nothing before the first command. `patience` is what all channels of a command have together.

        The shell runs `over` a switchboard, if one is given: where the machine `has_tools`.

        The shell is labenv's own where the machine `has_tools`. With `reads`, commands find the other tools there before the
        machine's own: not for commands that change something, as the scripts that those start expect the machine's.
        """
        self._api = api
        self._patience = patience or Patience()
        busybox = f"{TOOLS}/bin/busybox"
        self._serves = has_tools
        own = [f"{TOOLS}/bin/sh", "-c", _SERVE, "sh", *([f"{TOOLS}/bin"] if reads else [])]
        self._shell = own if has_tools else ["/bin/sh"]
        self._killer = [busybox, "kill", "-s", "KILL"] if has_tools else ["/bin/kill", "-s", "KILL", "--"]
        self.container = container
        self._lock = threading.Lock()
        self._over = over
        self._stream: Stream | Line | None = None

    def run(self, command: str, timeout: float | None = None, most: int = LARGEST, *, told: str = "") -> Result:
        """Run a shell command as root and return its `Result`. Its input is the line `told`, or /dev/null.

        The text of the command stands in no process's arguments (ps(1)); a secret that goes on to another program is told.

        A command that still runs after `timeout` seconds, or has printed more than `most` bytes, is killed in the machine, with
        everything else that this channel has left running there. Without a `timeout` it is a question, and takes its time from
        the patience. Raises EngineError then, and when the machine does not run or
        dies meanwhile. A channel that broke opens again with the next call.
        """
        with self._lock:
            asked = timeout is None
            timeout = self._patience.left(self.container) if timeout is None else timeout
            if not timeout:
                raise EngineError(
                    f"{self.container} did not answer in time before, so it was not asked again: {_shortened(command)}"
                )
            if self._stream is not None and not self._stream.alive():
                self._drop()
            was_open = self._stream is not None
            with self._patience.waiting(self.container) if asked else nullcontext():
                result = self._answer(command, timeout, most, told, may_have_died=was_open)
                while result is None:  # once: the next shell is new
                    result = self._answer(command, timeout, most, told)
                return result

    def _answer(
        self, command: str, timeout: float, most: int, told: str, *, may_have_died: bool = False
    ) -> Result | None:
        """The result, from a shell that is opened unless there is one. Raises as `run` does.

        None if the shell `may_have_died` before, and had: this may be known only now, and it has not begun the command.
        """
        if self._stream is None:
            self._stream = self._over.run(self._shell) if self._over else Stream(self._api, self.container, self._shell)
        self._stream.allow(2 * most + _BESIDE)
        exchange = _Exchange(self._stream, command, told, served=self._serves)
        try:
            return exchange.result(time.monotonic() + timeout, most)
        except OverflowError as error:
            self._kill(exchange.shell)
            raise EngineError(
                f"On {self.container} a command printed more than {most} bytes and was stopped: {_shortened(command)}"
            ) from error
        except TimeoutError as error:
            self._kill(exchange.shell)
            raise EngineError(
                f"On {self.container} a command did not end within {round(timeout, 1):g} s and was stopped: {_shortened(command)}"
            ) from error
        except (OSError, EOFError, ValueError) as error:  # ValueError: whatever runs there is no shell
            self._drop()
            if may_have_died and not exchange.shell:
                return None
            raise EngineError(self._afterwards(command)) from error
        except BaseException:  # Ctrl-C
            self._kill(exchange.shell)
            raise

    def __enter__(self) -> Self:
        """The channel; the end of the block closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """End the shell. The next `run` opens another one."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _kill(self, shell: int) -> None:
        """Kill the shell with its children: an exec starts a session of its own, so they are one process group."""
        # timeout(1) before each command would avoid this, but it costs 2 ms: half of what a command costs.
        self._drop()
        if shell:
            try:
                kill = self._api.exec_create(self.container, [*self._killer, f"-{shell}"])
                self._api.exec_start(kill["Id"], detach=True)  # whatever answers there may be what hangs
            except (docker.errors.DockerException, requests.RequestException) as error:
                raise EngineError(f"{machine_state(self._api, self.container)} and does not answer.") from error

    def _afterwards(self, command: str) -> str:
        """A sentence about the machine after its shell ended during a command."""
        # A dying machine takes its shell with it first; the engine learns of it a moment later.
        deadline = time.monotonic() + 1
        while (said := machine_state(self._api, self.container)).endswith("running"):
            if time.monotonic() > deadline:
                return f"{said}, but its shell ended during: {_shortened(command)}"
        return f"{said}, since a moment ago."


class _Exchange:
    """One command through the shell, and its answer. `shell` is the shell's process id, once the shell has sent it."""

    def __init__(self, stream: Stream | Line, command: str, told: str, *, served: bool) -> None:
        self.shell = 0
        self._stream = stream
        token = secrets.token_hex(16)
        self._mark = b"\0" + token.encode()
        if served:
            parts = [command.encode(), told.encode()]
            self._asks = f"{token} {len(parts[0]):<9} {len(parts[1]):<9}\n".encode() + b"".join(parts)
            return
        say = rf"printf '\000{token}%d\n'"
        source, lines = (f"<<'{token}'", f"{told}\n{token}\n") if told else ("</dev/null", "")
        does = f"{say} $$; {say} $$ >&2; (eval {shlex.quote(command)}) {source}; r=$?; {say} $r; {say} $r >&2\n{lines}"
        self._asks = does.encode()

    def result(self, deadline: float, most: int) -> Result:
        """The result. Raises TimeoutError past the deadline, EOFError when the shell ends before the command.

        Raises OverflowError once an output has more than `most` bytes.
        """
        # Both outputs begin and end with the mark: anything before it is from a process that an earlier command left.
        self._stream.send(self._asks)
        said = {STDOUT: bytearray(), STDERR: bytearray()}
        begun: set[int] = set()
        ended: set[int] = set()
        status = 0
        while len(ended) < len(said):
            if (frame := self._stream.frame(deadline)) is None:
                raise EOFError
            kind, output = frame[0], said[frame[0]]
            output += frame[1]
            if kind not in begun and (mark := self._find(output, 0)):
                self.shell, _, after = mark
                del output[:after]
                begun.add(kind)
            if len(output) > most + 2 * len(self._mark):
                raise OverflowError
            if kind in begun and (mark := self._find(output, -64)):
                status, before, _ = mark
                del output[before:]
                ended.add(kind)
        return Result(status, bytes(said[STDOUT]), bytes(said[STDERR]))

    def _find(self, output: bytearray, start: int) -> tuple[int, int, int] | None:
        """The number in a complete mark, where the mark begins, and where it ends."""
        before = output.find(self._mark, start)
        after = output.find(b"\n", before) + 1
        return (int(output[before + len(self._mark) : after]), before, after) if before >= 0 and after else None


def _shortened(command: str) -> str:
    line = " ".join(command.split())
    return line if len(line) <= 100 else line[:99] + "…"
