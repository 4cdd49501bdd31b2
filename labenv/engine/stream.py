"""The connection of one exec, or of a container's first process: bytes in, frames of both outputs out.

They come in the frames of Docker's attach stream (Engine API, "Attach to a container": one byte of kind, three of padding,
four of length).
"""

import contextlib
import select
import socket
import struct
import time
from typing import Any, cast

import docker
import docker.errors
import requests

from labenv.errors import EngineError

STDOUT, STDERR = 1, 2
TOOLS = "/labenv-tools"  # where the tools of labenv.engine.tools are in a machine
_NOISE = 100  # frames


class Frames:
    """A hijacked connection of the engine: bytes in, frames of stdout and stderr out."""

    def __init__(self, owner: Any) -> None:
        """Take the connection over; `owner` is what the SDK gave for it."""
        self._owner = owner
        # A plain socket is wrapped in a SocketIO here, a TLS or ssh one is not.
        self._socket = cast(socket.socket, getattr(self._owner, "_sock", self._owner))
        # Blocking, and select waits for it: a time limit on the socket would apply to both directions, and `dial` reads and
        # writes from two threads.
        self._socket.setblocking(True)
        self._buffer = bytearray(early(self._owner, self._socket))

    def send(self, data: bytes) -> None:
        """Send bytes to the command."""
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

    def next_frame(self) -> tuple[int, bytes] | None:
        """The next frame, however long it takes; None when the command, the machine or the engine has ended."""
        with contextlib.suppress(ConnectionError):
            return self.frame(None)
        return None

    def allow(self, most: int) -> None:
        """Nothing: no more is read than is asked for."""

    def alive(self) -> bool:
        """Whether the command still runs and can be heard; discards what it has written meanwhile."""
        with contextlib.suppress(ConnectionError):
            try:
                for _ in range(_NOISE):  # something left behind may write faster than it is read
                    if self.frame(time.monotonic()) is None:
                        break
            except TimeoutError:
                return True
        return False

    def close(self) -> None:
        """End the connection."""
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


class Stream(Frames):
    """The connection of one exec, which starts with it."""

    def __init__(self, api: docker.APIClient, container: str, argv: list[str]) -> None:
        """Run a command in a container. Raises EngineError if it does not run."""
        try:
            exec_id = api.exec_create(container, argv, stdin=True, environment={"LC_ALL": "C.UTF-8"})["Id"]
            owner = api.exec_start(exec_id, socket=True)
        except (docker.errors.DockerException, requests.RequestException) as error:
            raise EngineError(f"{machine_state(api, container)}, so no command can run there.") from error
        super().__init__(owner)


def early(owner: Any, connection: socket.socket) -> bytes:
    """What a quick command said together with the engine's HTTP answer: it is in the buffer of the library that read that.

    `owner` is what the SDK gave for the connection. The connection blocks afterwards.
    """
    connection.setblocking(False)
    try:
        return bytes(owner._response.raw._fp.fp.peek())
    except (OSError, AttributeError, ValueError):  # nothing yet; another way to the engine has no such buffer
        return b""
    finally:
        connection.setblocking(True)


def machine_state(api: docker.APIClient, container: str) -> str:
    """The state of a machine, as the beginning of a sentence: "The machine labenv-asmith15-vm3 is switched off"."""
    try:
        state = api.inspect_container(container)["State"]
    except docker.errors.NotFound:
        return f"There is no machine {container}"
    except (docker.errors.DockerException, requests.RequestException):
        return f"The container engine of {container} does not answer"
    return f"The machine {container} is {'switched off' if state['Status'] == 'exited' else state['Status']}"
