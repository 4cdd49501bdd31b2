"""Tunnels: ports of 127.0.0.1 that lead through the engine into an environment, where no port is published.

Each connection becomes one from another machine of the environment, whose network and firewalls decide about it as about any other.
Nothing but the engine has to be reached for that, so it may also be far away.
"""

import os
import socket
import threading
from contextlib import suppress

from labenv.engine import Engine
from labenv.engine.dial import dial
from labenv.environment import Environment, Machine
from labenv.environments.networks import port_in_use
from labenv.environments.plan import topology_of
from labenv.environments.reach import HERE
from labenv.errors import EngineError, LabenvError, UsageError
from labenv.events import Event, Listener
from labenv.lab.topology import port_at

_QUIET = 3600.0  # seconds after which a connection ends over which nothing came; an IMAP client says something each 29 minutes (RFC 2177)
_MOST = 40  # connections of one port at once, each of which is an exec of the engine
_SHIFTS = 8


class Tunnels:
    """The tunnels into one environment; each is open from the first time that its port here is asked for until `close`."""

    def __init__(self, engine: Engine, environment: Environment, listen: Listener) -> None:
        """`listen` is told, from other threads, why there is no connection."""
        self._engine = engine
        self._environment = environment
        self._listen = listen
        self._open: dict[tuple[str, int], socket.socket] = {}

    def service(self, machine: Machine, port: str) -> tuple[str, int] | None:
        """The address and port here that lead to a port of a machine ("25"); None if it does not run. Raises UsageError."""
        if machine.state != "running":
            return None
        return HERE, self.open(machine, int(port))

    def open(self, machine: Machine, port: int, here: int | None = None) -> int:
        """The port here that leads to a port of a machine: `here`, the one where it would be published, or any that is free.

        Raises UsageError if `here` is taken, EngineError if the machine does not run.
        """
        if there := self._open.get((machine.name, port)):
            return int(there.getsockname()[1])
        if machine.state != "running":
            raise EngineError(f"{machine.name} is switched off. Start it: labenv up {self._environment.student.id}")
        wanted = here if here is not None else _usual(self._environment, machine, port)
        try:
            listener = socket.create_server((HERE, wanted), backlog=_MOST)
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else error
            raise UsageError(f"Port {wanted} of {HERE} cannot be had: {why}. Choose another: --port PORT") from error
        self._open[machine.name, port] = listener
        threading.Thread(target=self._serve, args=(listener, machine, port), daemon=True).start()
        return int(listener.getsockname()[1])

    def close(self) -> None:
        """End the tunnels. Connections that are open end with this process."""
        for listener in self._open.values():
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _serve(self, listener: socket.socket, machine: Machine, port: int) -> None:
        places = threading.BoundedSemaphore(_MOST)

        def lead(near: socket.socket) -> None:
            try:
                with near, self._dialled(machine, port) as far:
                    _joined(near, far)
            except (OSError, LabenvError) as error:
                self._listen(Event("tunnel", f"{machine.name} port {port}: {error}", "warn"))
            finally:
                places.release()

        with suppress(OSError):  # it was closed
            while True:
                places.acquire()
                near, _ = listener.accept()
                threading.Thread(target=lead, args=(near,), daemon=True).start()

    def _dialled(self, machine: Machine, port: int) -> socket.socket:
        """A connection to a port of a machine from another one, because what a firewall lets in shows only there; or from itself.

        Raises OSError, EngineError.
        """
        for by in self._environment.regular:
            if by.name != machine.name:
                with suppress(EngineError):  # it does not run
                    return dial(self._engine.api, by.container, machine.address, port, timeout=_QUIET)
        return dial(self._engine.api, machine.container, machine.address, port, timeout=_QUIET)


def published(environment: Environment) -> list[tuple[Machine, int]]:
    """The machines with their TCP ports that the topology publishes, where the engine can. Raises UsageError."""
    there = {machine.name: machine for machine in environment.machines}
    nodes = [node for node in topology_of(environment).nodes if node.name in there]
    return [(there[node.name], port.number) for node in nodes for port in node.ports if port.protocol == "tcp"]


def _usual(environment: Environment, machine: Machine, port: int) -> int:
    """Where the port would be published, so that a client's settings last; 0 for one that would not be, or where that is taken."""
    for node in topology_of(environment).nodes:
        for each in node.ports if node.name == machine.name else ():
            if each.number == port and each.protocol == "tcp":
                usual = (port_at(environment.student.x, each.index, shift) for shift in range(_SHIFTS))
                return next((number for number in usual if not port_in_use(number)), 0)
    return 0


def _joined(near: socket.socket, far: socket.socket) -> None:
    """Copy both ways until both ends have said all."""

    def copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    back = threading.Thread(target=copy, args=(far, near), daemon=True)
    back.start()
    copy(near, far)
    back.join()
