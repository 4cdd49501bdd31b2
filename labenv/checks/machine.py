"""The machines of one environment for the checks: testinfra hosts over an open channel, and sockets."""

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from testinfra.backend.base import BaseBackend
from testinfra.host import Host

from labenv import environment as records
from labenv.checks.evidence import CheckFailed
from labenv.engine import Engine, lent, trial
from labenv.engine.channel import Channel
from labenv.engine.patience import Patience
from labenv.environment import Environment
from labenv.errors import EngineError
from labenv.events import silent
from labenv.student import Student
from labenv.text import decoded

if TYPE_CHECKING:
    from labenv.environments.wire.packets import Packet

# Before a command that looks up the machine's own name: a resolver that is dead costs it a second (resolv.conf(5)).
QUICK = "RES_OPTIONS='timeout:1 attempts:1'"


class ChannelBackend(BaseBackend):  # type: ignore[misc]  # testinfra ships no types
    """A testinfra backend with one `Channel` for each machine; the text of all machines is UTF-8."""

    NAME = "labenv"

    def __init__(self, channel: Channel, name: str) -> None:
        """Serve the machine `name` over its channel."""
        super().__init__(name)
        self._channel = channel

    def decode(self, data: bytes) -> str:
        """Text, whatever a student has put into a file. testinfra would ask a Python in the machine for its encoding."""
        return decoded(data)

    def encode(self, data: str) -> bytes:
        """The bytes of a command."""
        return data.encode()

    def run(self, command: str, *args: str, **_: Any) -> Any:
        """Run a command as testinfra's hosts do: each `%s` in it is replaced by a quoted argument."""
        line = self.get_command(command, *args)
        result = self._channel.run(line)
        return self.result(result.rc, self.encode(line), result.stdout, result.stderr)


class Machine(Host):  # type: ignore[misc]  # testinfra ships no types
    """A machine of the lab: a testinfra host that knows its name and address, and connects to others."""

    def __init__(self, engine: Engine, record: records.Machine, patience: Patience) -> None:
        """Open nothing yet; the channel opens with the first command."""
        self.name = record.name
        self.fqdn = record.fqdn
        self.address = record.address
        self.has_tools = record.has_tools
        self.firewall = record.firewall
        self._calls = engine.switchboard(record)
        # One exec for both: it costs an engine some 50 ms of a processor.
        over = self._calls if record.has_tools else None
        self.channel = engine.shell(record, reads=True, patience=patience, over=over)
        self.dialled: set[tuple[str, str | None]] = set()
        self.requested: list[tuple[str, str]] = []  # what was asked of web servers: the host, and the first line
        self._known: dict[str, Any] = {}
        self._asking = threading.Lock()
        super().__init__(ChannelBackend(self.channel, record.name))
        self.backend.set_host(self)

    def output(self, command: str, *args: str) -> str:
        """The output of a command, without the last newline. Raises CheckFailed with its error message when it fails."""
        result = self.run(command, *args)
        if result.rc:
            line = self.backend.quote(command, *args)
            raise CheckFailed(f"`{line}` failed on {self.name}: {last_words(result)}")
        return str(result.stdout).rstrip("\n")

    def once(self, command: str) -> Any:
        """The result of a read-only command, run once for all checks of a run: they change nothing that it shows."""
        with self._asking:
            if command not in self._known:
                self._known[command] = self.run(command)
            return self._known[command]

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
        """A socket from this machine to host:port; `hopeless` as `Switchboard.dial` has it. Raises OSError as that does.

        `dialled` are all hosts and sources of a run.
        """
        self.dialled.add((host, source))
        return self._calls.dial(host, port, source=source, patience=patience, timeout=timeout, hopeless=hopeless)

    def hang_up(self) -> None:
        """Close all connections that were dialled from here."""
        self._calls.hang_up()

    def close(self) -> None:
        """Close the shell and all connections."""
        self.channel.close()
        self._calls.close()


class Site:
    """All machines of one environment, the student they belong to, the addresses of its first network.

    What the class has for all of its students (labenv.engine.lent) is among the machines.
    """

    def __init__(self, engine: Engine, environment: Environment) -> None:
        """Open nothing yet."""
        self.student: Student = environment.judged
        there = (*environment.machines, *lent.of(engine, environment))
        self.names = {address: one.name for one in there for address in (one.address, *one.addresses)}
        self.subnet = environment.subnet
        self._engine = engine
        self._environment = environment
        self._records = {record.name: record for record in there}
        patience = Patience()  # of one run: a process may make many
        self.machines = {record.name: Machine(engine, record, patience) for record in there}

    def __getitem__(self, name: str) -> Machine:
        """The machine of that name. Raises EngineError if the environment has none: it comes with a later stage."""
        if name not in self.machines:
            raise EngineError(
                f"There is no machine {name} here: the lab has it from a later stage on. To go there, after a save: labenv reset --at STAGE"
            )
        return self.machines[name]

    def try_rules(self, name: str, rules: bytes, packets: Sequence[trial.Packet]) -> trial.Verdict:
        """What saved firewall rules of a machine would do with packets; nothing in it changes. Raises as `trial.tried` does."""
        return trial.tried(self._engine, self._environment.student.id, self._records[name], rules, packets)

    @contextmanager
    def captured(self, name: str, *ports: int) -> "Iterator[list[Packet]]":
        """The packets of a machine that come from or go to these ports during the block, labenv's own too.

        The list has them when the block has ended. Raises EngineError, also if it cannot have them all.
        """
        from labenv.environments.capture import Choice, capturing  # few checks need it
        from labenv.environments.wire.packets import packet

        choice = Choice(ports, own=True)
        there: list[Packet] = []
        with capturing(self._engine, self._environment, self._records[name], choice, silent) as going:
            yield there
            going.end()
            there += filter(None, map(packet, going.packets()))
            if going.cut:
                raise EngineError(f"What passed {name} is not known. {going.cut}")

    def close(self) -> None:
        """Close every channel."""
        with ThreadPoolExecutor(len(self.machines)) as pool:
            list(pool.map(Machine.close, self.machines.values()))


def last_words(result: Any) -> str:
    """Why a command failed: the last line that it printed, best to stderr, or its status."""
    lines = str(result.stderr or result.stdout).strip().splitlines()
    return lines[-1] if lines else f"status {result.rc}"
