"""One shell for each machine that stays open, and real sockets that start inside a machine.

A `docker exec` costs some 60 ms; a command through a shell that is already open costs two or three. The shell's standard
output and error come back separately, in the frames of Docker's attach stream (Engine API, "Attach to a container": one
byte of kind, three of padding, four of length). The end of one command's output is marked in band, by a mark with a random
token, so no output can imitate it.
"""

import contextlib
import ipaddress
import math
import secrets
import select
import shlex
import socket
import struct
import threading
import time
from dataclasses import dataclass
from typing import Any, Self, cast

import docker
import docker.errors
import requests

from labenv.errors import EngineError

_STDOUT, _STDERR = 1, 2


@dataclass(frozen=True)
class Result:
    """The result of a command: its exit status and the bytes of both outputs."""

    rc: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """The output as text; bytes that are not UTF-8 are replaced."""
        return self.stdout.decode(errors="replace")

    @property
    def complaint(self) -> str:
        """The error output as text, without surrounding blanks."""
        return self.stderr.decode(errors="replace").strip()


class _Stream:
    """The hijacked connection of one exec: bytes in, frames of stdout and stderr out."""

    def __init__(self, api: docker.APIClient, container: str, argv: list[str]) -> None:
        try:
            exec_id = api.exec_create(container, argv, stdin=True, environment={"LC_ALL": "C.UTF-8"})["Id"]
            self._owner = cast(Any, api.exec_start(exec_id, socket=True))
        except (docker.errors.DockerException, requests.RequestException) as error:
            raise EngineError(f"{_machine(api, container)}, so no command can run there.") from error
        # A plain socket is wrapped in a SocketIO here, a TLS or ssh one is not.
        self._socket = cast(socket.socket, getattr(self._owner, "_sock", self._owner))
        # Blocking, and select waits for it: a time limit on the socket would apply to both directions, and `dial` reads and
        # writes from two threads.
        self._socket.setblocking(True)
        self._buffer = bytearray()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def end_of_input(self) -> None:
        """Close the standard input of the command."""
        self._socket.shutdown(socket.SHUT_WR)

    def frame(self, deadline: float | None) -> tuple[int, bytes] | None:
        """The next frame, or None when the command has ended. Raises TimeoutError past the deadline."""
        while True:
            if len(self._buffer) >= 8:
                kind, length = struct.unpack_from(">BxxxI", self._buffer)
                if len(self._buffer) >= 8 + length:
                    data = bytes(self._buffer[8 : 8 + length])
                    del self._buffer[: 8 + length]
                    return kind, data
            if not self._more(deadline):
                return None

    def alive(self) -> bool:
        """Whether the command still runs; discards what it has written meanwhile."""
        with contextlib.suppress(ConnectionError):
            try:
                while self.frame(time.monotonic()) is not None:
                    pass
            except TimeoutError:
                return True
        return False

    def close(self) -> None:
        with contextlib.suppress(OSError):  # the other end may have closed it first
            self._socket.shutdown(socket.SHUT_RDWR)
        self._owner.close()
        self._socket.close()

    def _more(self, deadline: float | None) -> bool:
        if deadline is not None and not self._readable(max(deadline - time.monotonic(), 0)):
            raise TimeoutError
        data = self._socket.recv(65536)
        self._buffer += data
        return bool(data)

    def _readable(self, seconds: float) -> bool:
        pending = getattr(self._socket, "pending", int)  # select does not see what TLS has already decrypted
        return bool(pending() or select.select([self._socket], [], [], seconds)[0])


class Channel:
    """A shell in one machine that stays open between commands; threads may share it.

    >>> Channel(client.api, "labenv-asmith15-vm3").run("hostname -d").stdout
    b'asmith15.ops\\n'
    """

    def __init__(self, api: docker.APIClient, container: str) -> None:
        """Open nothing before the first command."""
        self._api = api
        self.container = container
        self._lock = threading.Lock()
        self._stream: _Stream | None = None

    def run(self, command: str, timeout: float = 30) -> Result:
        """Run a shell command as root, with /dev/null as its input, and return its `Result`.

        A command that still runs after `timeout` seconds is killed in the machine, with everything else that this channel has
        left running there. Raises EngineError then, and when the machine does not run or dies meanwhile. A channel that broke
        opens again with the next call.
        """
        with self._lock:
            if self._stream is not None and not self._stream.alive():
                self._drop()
            if self._stream is None:
                self._stream = _Stream(self._api, self.container, ["/bin/sh"])
            exchange = _Exchange(self._stream, command)
            try:
                return exchange.result(time.monotonic() + timeout)
            except TimeoutError as error:
                self._kill(exchange.shell)
                raise EngineError(
                    f"On {self.container} a command did not end within {timeout:g} s and was stopped: {_shortened(command)}"
                ) from error
            except (OSError, EOFError) as error:
                self._drop()
                raise EngineError(f"{self._afterwards()} during: {_shortened(command)}") from error
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
                kill = self._api.exec_create(self.container, ["/bin/sh", "-c", f"kill -s KILL -- -{shell}"])
                self._api.exec_start(kill["Id"])
            except (docker.errors.DockerException, requests.RequestException) as error:
                raise EngineError(f"{_machine(self._api, self.container)} and does not answer.") from error

    def _afterwards(self) -> str:
        """The state of the machine after its shell ended, as the beginning of a sentence."""
        # A dying machine takes its shell with it first; the engine learns of it a moment later.
        deadline = time.monotonic() + 1
        while (said := _machine(self._api, self.container)).endswith("running"):
            if time.monotonic() > deadline:
                return f"{said}, but its shell ended"
        return said


class _Exchange:
    """One command through the shell, and its answer. `shell` is the shell's process id, once the shell has sent it."""

    def __init__(self, stream: _Stream, command: str) -> None:
        self.shell = 0
        self._stream = stream
        self._command = command
        token = secrets.token_hex(16)
        self._mark = b"\0" + token.encode()
        self._say = rf"printf '\000{token}%d\n'"

    def result(self, deadline: float) -> Result:
        """The result. Raises TimeoutError past the deadline, EOFError when the shell ends before the command."""
        # Both outputs begin and end with the mark: anything before it is from a process that an earlier command left.
        self._stream.send(
            f"{self._say} $$; {self._say} $$ >&2; /bin/sh -c {shlex.quote(self._command)} </dev/null; "
            f"r=$?; {self._say} $r; {self._say} $r >&2\n".encode()
        )
        said = {_STDOUT: bytearray(), _STDERR: bytearray()}
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
            if kind in begun and (mark := self._find(output, -64)):
                status, before, _ = mark
                del output[before:]
                ended.add(kind)
        return Result(status, bytes(said[_STDOUT]), bytes(said[_STDERR]))

    def _find(self, output: bytearray, start: int) -> tuple[int, int, int] | None:
        """The number in a complete mark, where the mark begins, and where it ends."""
        before = output.find(self._mark, start)
        after = output.find(b"\n", before) + 1
        return (int(output[before + len(self._mark) : after]), before, after) if before >= 0 and after else None


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
    nc = ["nc", "-v", "-q", "1", "-w", str(max(1, math.ceil(timeout)))]
    nc += ["-n"] if _is_address(host) else []
    nc += ["-s", source] if source else []
    # nc waits for a line before it starts: bytes that arrive together with the engine's HTTP answer would be lost in the
    # buffer of the library that reads it.
    stream = _Stream(api, container, ["/bin/sh", "-c", 'read -r go; echo >&2; exec "$@"', "sh", *nc, host, str(port)])
    try:
        stream.send(b"go\n")
        first = _connected(stream, time.monotonic() + timeout, patience)
    except TimeoutError as error:
        stream.close()
        raise TimeoutError(f"connect to {host} port {port} timed out") from error
    except BaseException:
        stream.close()
        raise
    ours, theirs = socket.socketpair()
    threading.Thread(target=_pump, args=(stream, theirs, first), daemon=True).start()
    ours.settimeout(timeout)
    return ours


def _connected(stream: _Stream, deadline: float, patience: float) -> bytes:
    """Wait until nc has its connection; return what the other end has already sent."""
    words = b""
    while (frame := stream.frame(deadline)) is not None:
        kind, data = frame
        if kind == _STDOUT:
            return data
        if not words:  # nc starts now; the time that a busy engine needed to get here does not count
            deadline = time.monotonic() + patience
        words += data
        if b"succeeded!" in words:
            return b""
    lines = words.decode(errors="replace").strip().splitlines()
    reason = lines[-1].removeprefix("nc: ") if lines else "nc ended without a word"
    if "refused" in reason:
        raise ConnectionRefusedError(reason)
    if "timed out" in reason:
        raise TimeoutError(reason)
    raise socket.gaierror(reason) if "getaddrinfo" in reason else OSError(reason)


def _pump(stream: _Stream, pair: socket.socket, first: bytes) -> None:
    """Copy from the far end to ours, and in a second thread the other way, until either ends."""
    outward = threading.Thread(target=_outward, args=(stream, pair), daemon=True)
    outward.start()
    try:
        pair.sendall(first)
        while (frame := stream.frame(None)) is not None:
            if frame[0] == _STDOUT:
                pair.sendall(frame[1])
    except OSError:
        pass  # our end is closed, or the engine is gone: both end the connection
    finally:
        with contextlib.suppress(OSError):
            pair.shutdown(socket.SHUT_RDWR)  # wakes the other thread; what is on its way can still be read
        stream.close()
        outward.join()
        pair.close()


def _outward(stream: _Stream, pair: socket.socket) -> None:
    """Copy from our end to the far one; its end is nc's end of input."""
    with contextlib.suppress(OSError):  # the connection is over, and _pump closes it
        while data := pair.recv(65536):
            stream.send(data)
        stream.end_of_input()


def _machine(api: docker.APIClient, container: str) -> str:
    """The state of a machine, as the beginning of a sentence: "The machine labenv-asmith15-vm3 is exited (status 137)"."""
    try:
        state = api.inspect_container(container)["State"]
    except docker.errors.NotFound:
        return f"There is no machine {container}"
    except (docker.errors.DockerException, requests.RequestException):
        return f"The container engine of {container} does not answer"
    detail = f" (status {state['ExitCode']})" if state["Status"] == "exited" else ""
    return f"The machine {container} is {state['Status']}{detail}"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _shortened(command: str) -> str:
    line = " ".join(command.split())
    return line if len(line) <= 100 else line[:99] + "…"
