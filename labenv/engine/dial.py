"""Real sockets that start inside a machine: nc(1) runs there, and its input and output come here.

`dial` starts nc with an exec of its own. A `Switchboard` keeps one exec open for all connections from a machine, where a
small program starts them: an exec costs the engine some 50 ms of a processor, and the checks connect ten times. Both programs are
labenv's own (images/tools) where a machine has them; a machine that an earlier version made runs dial.pl and its own nc.
"""

import contextlib
import ipaddress
import itertools
import math
import queue
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import docker

from labenv.engine.stream import STDOUT, TOOLS, Stream, machine_state
from labenv.errors import EngineError
from labenv.text import decoded

_HEADER = struct.Struct(">IBI")  # number of the command, kind, length: as in dial.pl
_START, _INPUT, _END_OF_INPUT, _KILL = range(4)
_ENDED = 3
_NO_ANSWER = b"no answer yet"  # as connect.c says it; in a machine with earlier tools nobody does
_RUN = 45.0  # seconds that the connections of one run have, all together: a server may say one byte at a time, for ever
_LARGEST_FRAME = 65_536  # bytes; dial.pl reads no more at once
_LARGEST = 4_000_000  # bytes that may come over one connection; they wait here until they are read
_PROGRAM = Path(__file__).with_suffix(".pl")


class Talk(Protocol):
    """A command that runs in a machine, as `Stream` is one."""

    def send(self, data: bytes) -> None:
        """Send bytes to it."""

    def end_of_input(self) -> None:
        """Close its standard input."""

    def frame(self, deadline: float | None) -> tuple[int, bytes] | None:
        """Its next output, None when it has ended. Raises TimeoutError past the deadline."""

    def close(self) -> None:
        """End it."""


def dial(
    api: docker.APIClient,
    container: str,
    host: str,
    port: int,
    *,
    source: str | None = None,
    patience: float = 3,
    timeout: float = 10,
) -> socket.socket:
    """Connect to host:port from inside a machine and return a socket to the other end.

    As with socket.create_connection, `source` is the address to come from; ConnectionRefusedError, TimeoutError,
    socket.gaierror and OSError say why there is no connection, in nc's own words. The connection must be made within
    `patience` seconds, and ends when nothing moves for `timeout` seconds. Raises EngineError if the machine does not run.
    """
    # nc waits for a line before it starts: bytes that arrive together with the engine's HTTP answer would be lost in the
    # buffer of the library that reads it.
    talk = Stream(
        api, container, ["/bin/sh", "-c", 'read -r go; echo >&2; exec "$@"', "sh", *_nc(host, port, source, timeout)]
    )
    with _closed_on_error(talk):
        talk.send(b"go\n")
    return _socket(talk, host, port, patience, timeout, None, None)


class Switchboard:
    """Connections from one machine, and commands in it, over one exec; safe to share between threads.

    The connections all end 45 seconds after the first.
    """

    def __init__(self, api: docker.APIClient, container: str, *, has_tools: bool = False) -> None:
        """Nothing is opened before the first connection."""
        self._has_tools = has_tools
        self._api = api
        self._container = container
        self._is_hung_up = False
        self._end = 0.0  # of time.monotonic(); the first connection sets it
        self._lock = threading.Lock()
        self._stream: Stream | None = None
        self._lines: dict[int, Line] = {}
        self._calls: set[Line] = set()  # those that are connections
        self._numbers = itertools.count(1)

    def dial(
        self,
        host: str,
        port: int,
        *,
        source: str | None = None,
        patience: float = 3,
        timeout: float = 10,
        hopeless: Callable[[], object] | None = None,
    ) -> socket.socket:
        """A socket to host:port, as `dial` gives one. Raises as `dial` does.

        `hopeless` is asked once, when nothing has been answered for a tenth of a second: if it is true, patience ends.
        """
        self._end = self._end or time.monotonic() + _RUN
        words = _nc(host, port, source, timeout)
        if self._has_tools:
            words[0] = f"{TOOLS}/bin/connect"
        else:
            words = ["/bin/sh", "-c", 'echo >&2; exec "$@"', "sh", *words]
        if self._is_hung_up:
            raise BrokenPipeError("nobody waits for it any more")
        line = self._started(words)
        self._calls.add(line)
        if self._is_hung_up:  # a moment ago
            line.close()
        return _socket(line, host, port, patience, timeout, self._end, hopeless)

    def run(self, argv: list[str]) -> "Line":
        """Start a command there that is no connection; its session is its own. Raises EngineError if the machine does not run."""
        try:
            return self._started([f"{TOOLS}/bin/busybox", "setsid", *argv])
        except OSError as error:
            raise EngineError(f"{machine_state(self._api, self._container)}, so no command can run there.") from error

    def _started(self, words: list[str]) -> "Line":
        stream, is_new = self._opened()
        line = Line(self, stream, next(self._numbers))
        self._lines[line.number] = line
        try:
            with _closed_on_error(line):
                self.send(line, _START, "\0".join(words).encode())
        except OSError:
            if is_new:
                raise
            self._ended(stream)  # long ago, maybe, which nobody has noticed
            return self._started(words)
        return line

    def send(self, line: "Line", kind: int, data: bytes = b"") -> None:
        """Send a frame of a connection. Raises OSError if the exec that it belongs to has ended."""
        with self._lock:
            if self._stream is not line.stream:
                raise BrokenPipeError("the machine has stopped")
            line.stream.send(_HEADER.pack(line.number, kind, len(data)) + data)

    def forget(self, line: "Line") -> None:
        """No longer listen to a connection."""
        self._lines.pop(line.number, None)
        self._calls.discard(line)

    def hang_up(self) -> None:
        """End all connections, and make no further ones; commands go on."""
        self._is_hung_up = True
        for line in list(self._calls):
            line.close()

    def close(self) -> None:
        """End everything. A further command opens another exec."""
        self._is_hung_up = True
        with self._lock:
            if self._stream is not None:
                self._stream.close()
                self._stream = None

    def _opened(self) -> tuple[Stream, bool]:
        """The exec for the next connection, and whether it is new. Raises EngineError if the machine does not run."""
        with self._lock:
            is_new = self._stream is None
            if self._stream is None:
                theirs = ["perl", "-e", _PROGRAM.read_text(encoding="utf-8")]
                command = [f"{TOOLS}/bin/board"] if self._has_tools else theirs
                self._stream = Stream(self._api, self._container, command)
                threading.Thread(target=self._listen, args=(self._stream,), daemon=True).start()
            return self._stream, is_new

    def _ended(self, stream: Stream) -> None:
        """Use an exec no longer."""
        with self._lock:
            if self._stream is stream:
                self._stream.close()
                self._stream = None

    def _listen(self, stream: Stream) -> None:
        """Hand each frame to the connection that it belongs to, until the exec ends."""
        read = bytearray()
        with contextlib.suppress(OSError, ValueError):  # it was closed here
            while (frame := stream.frame(None)) is not None:
                if frame[0] != STDOUT:
                    continue
                read += frame[1]
                while len(read) >= _HEADER.size:
                    number, kind, length = _HEADER.unpack_from(read)
                    if length > _LARGEST_FRAME:
                        raise ValueError("not a frame of dial.pl")
                    if len(read) < _HEADER.size + length:
                        break
                    data = bytes(read[_HEADER.size : _HEADER.size + length])
                    del read[: _HEADER.size + length]
                    if line := self._lines.get(number):
                        line.hear(None if kind == _ENDED else (kind, data))
        self._ended(stream)
        for line in list(self._lines.values()):
            if line.stream is stream:  # another one may have been opened since
                line.hear(None)


class Line:
    """One command of a switchboard, such as a connection."""

    def __init__(self, board: Switchboard, stream: Stream, number: int) -> None:
        self.number = number
        self.stream = stream
        self._frames: queue.SimpleQueue[tuple[int, bytes] | None] = queue.SimpleQueue()
        self._left = _LARGEST
        self._board = board

    def allow(self, most: int) -> None:
        """Let so many bytes come from now on; more end it."""
        self._left = most

    def alive(self) -> bool:
        """Whether the command still runs and can be heard; discards what it has written meanwhile."""
        with contextlib.suppress(queue.Empty):
            while self._frames.get_nowait() is not None:
                pass
            return False
        return True

    def hear(self, frame: tuple[int, bytes] | None) -> None:
        """Take a frame that came, None for the end; what is too much counts as the end."""
        self._left -= len(frame[1]) if frame else 0
        if self._left < 0:
            self.close()
        else:
            self._frames.put(frame)

    def send(self, data: bytes) -> None:
        """Send bytes to it. Raises OSError if its exec has ended."""
        self._board.send(self, _INPUT, data)

    def end_of_input(self) -> None:
        """Close its standard input."""
        self._board.send(self, _END_OF_INPUT)

    def frame(self, deadline: float | None) -> tuple[int, bytes] | None:
        """Its next output, None when it has ended. Raises TimeoutError past the deadline."""
        try:
            return self._frames.get(timeout=None if deadline is None else max(deadline - time.monotonic(), 0))
        except queue.Empty:
            raise TimeoutError from None

    def close(self) -> None:
        """End it."""
        self._board.forget(self)
        self._frames.put(None)
        with contextlib.suppress(OSError):  # the machine may have been faster
            self._board.send(self, _KILL)


def _nc(host: str, port: int, source: str | None, timeout: float) -> list[str]:
    words = ["nc", "-v", "-q", "1", "-w", str(max(1, math.ceil(timeout)))]
    words += ["-n"] if _is_address(host) else []
    words += ["-s", source] if source else []
    return [*words, host, str(port)]


@contextlib.contextmanager
def _closed_on_error(talk: Talk) -> Iterator[None]:
    try:
        yield
    except BaseException:
        talk.close()
        raise


def _socket(
    talk: Talk,
    host: str,
    port: int,
    patience: float,
    timeout: float,
    end: float | None,
    hopeless: Callable[[], object] | None,
) -> socket.socket:
    """A socket to the far end, once nc has its connection; it is closed at `end` (time.monotonic)."""
    with _closed_on_error(talk):
        try:
            first = _connected(talk, min(time.monotonic() + timeout, end or math.inf), patience, hopeless)
        except TimeoutError as error:
            raise TimeoutError(f"connect to {host} port {port} timed out") from error
    ours, theirs = socket.socketpair()
    threading.Thread(target=_pump, args=(talk, theirs, first, end), daemon=True).start()
    ours.settimeout(timeout)
    return ours


def _connected(stream: Talk, deadline: float, patience: float, hopeless: Callable[[], object] | None) -> bytes:
    """Wait until nc has its connection; return what the other end has already sent."""
    words = b""
    while (frame := stream.frame(deadline)) is not None:
        kind, data = frame
        if kind == STDOUT:
            return data
        if not words:  # nc starts now; the time that a busy engine needed to get here does not count
            deadline = time.monotonic() + patience
        words += data
        if b"succeeded!" in words:
            return b""
        if hopeless and _NO_ANSWER in words:
            if hopeless():
                raise TimeoutError
            hopeless = None
    lines = decoded(words).strip().splitlines()
    reason = lines[-1].removeprefix("nc: ") if lines else "nc ended without a word"
    if "refused" in reason:
        raise ConnectionRefusedError(reason)
    if "timed out" in reason:
        raise TimeoutError(reason)
    raise socket.gaierror(reason) if "getaddrinfo" in reason else OSError(reason)


def _pump(stream: Talk, pair: socket.socket, first: bytes, end: float | None) -> None:
    """Copy from the far end to ours, and in a second thread the other way, until either ends or the time is over."""
    outward = threading.Thread(target=_outward, args=(stream, pair), daemon=True)
    outward.start()
    try:
        pair.sendall(first)
        while (frame := stream.frame(end)) is not None:
            if frame[0] == STDOUT:
                pair.sendall(frame[1])
    except OSError:
        pass  # our end is closed, the engine is gone, or the time is over: each ends the connection
    finally:
        with contextlib.suppress(OSError):
            pair.shutdown(socket.SHUT_RDWR)  # wakes the other thread; what is on its way can still be read
        stream.close()
        outward.join()
        pair.close()


def _outward(stream: Talk, pair: socket.socket) -> None:
    """Copy from our end to the far one; its end is nc's end of input."""
    with contextlib.suppress(OSError):  # the connection is over, and _pump closes it
        while data := pair.recv(65536):
            stream.send(data)
        stream.end_of_input()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
