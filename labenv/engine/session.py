"""A command in a machine, connected to a person's terminal or pipes: an exec of its own, like `docker exec -it`."""

import socket
import time
from typing import Any

import docker.errors

from labenv.engine import Engine
from labenv.engine.errors import refusals
from labenv.engine.stream import early
from labenv.errors import EngineError

_ENDING = 2.0  # seconds in which an engine notices that a command has ended
_POLL = 0.05


class Session:
    """A command that runs in a container: `socket` carries both directions, framed by the engine unless it has a terminal.

    `early` is what the command had said before the socket was there.
    """

    def __init__(self, engine: Engine, container: str, command: list[str], *, terminal: str | None) -> None:
        """Start the command, with a terminal of the type `terminal` (term(7)) if one is given. Raises EngineError."""
        self._api = engine.api
        self._doing = f"running {command[0]} in {container}"
        with refusals(self._doing):
            environment = {"TERM": terminal} if terminal else None
            made: dict[str, Any] = self._api.exec_create(
                container, command, stdin=True, tty=bool(terminal), environment=environment, workdir="/root"
            )
            self._id = made["Id"]
            # A plain socket is wrapped in a SocketIO, a TLS one is not. The stream is kept: its end closes the socket.
            self._stream = self._api.exec_start(self._id, tty=bool(terminal), socket=True)
        self.socket: socket.socket = getattr(self._stream, "_sock", self._stream)
        self.early = early(self._stream, self.socket)

    def resize(self, lines: int, columns: int) -> None:
        """Set the size of its terminal; a command that has ended needs none. Raises EngineError."""
        with refusals(self._doing):
            try:
                self._api.exec_resize(self._id, height=lines, width=columns)
            except docker.errors.APIError:
                if self._api.exec_inspect(self._id)["Running"]:
                    raise

    def status(self) -> int:
        """The exit code of a command that has ended (127: no such command).

        Raises EngineError, also if it runs on: then its connection was lost.
        """
        deadline = time.monotonic() + _ENDING
        with refusals(self._doing):
            while (seen := self._api.exec_inspect(self._id))["Running"]:
                if time.monotonic() > deadline:
                    raise EngineError(f"The connection was lost while {self._doing}. The command may still run there.")
                time.sleep(_POLL)
        return int(seen["ExitCode"] or 0)


def life(engine: Engine, container: str) -> str:
    """Identifies the life of a container from one start to its end; empty for one that is not running. Raises EngineError."""
    with refusals(f"looking at {container}"):
        try:
            found: dict[str, Any] = engine.api.inspect_container(container)
        except docker.errors.NotFound:
            return ""
    return f"{found['Id']} {found['State']['StartedAt']}" if found["State"]["Running"] else ""
