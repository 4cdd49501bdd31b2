"""The machines of one environment for the checks: testinfra hosts over an open channel, and sockets."""

import imaplib
import smtplib
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from testinfra.backend.base import BaseBackend
from testinfra.host import Host

from labenv import environment as records
from labenv.checks.evidence import CheckFailed
from labenv.engine import Engine, trial
from labenv.engine.channel import Channel
from labenv.engine.patience import Patience
from labenv.environment import Environment
from labenv.mail.office import PROBE
from labenv.student import Student
from labenv.text import decoded

# Seconds until a mail server must have sent its first word. One that cannot look up its client's name is silent for longer
# (resolv.conf(5)), but then its machine's names are what is wrong.
_GREETING = 8
_READY = 220  # RFC 5321 section 4.2.3
_NOTHING = 3  # as maillog.pl knows it
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
    """A machine of the lab: a testinfra host that knows its name and address, and speaks protocols to others."""

    def __init__(self, engine: Engine, record: records.Machine, patience: Patience) -> None:
        """Open nothing yet; the channel opens with the first command."""
        self.name = record.name
        self.fqdn = record.fqdn
        self.address = record.address
        self.has_tools = record.has_tools
        self.firewall = record.firewall
        self.channel = engine.shell(record, reads=True, patience=patience)
        self._calls = engine.switchboard(record)
        self.dialled: set[tuple[str, str | None]] = set()
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
        self._calls.close()

    def close(self) -> None:
        """Close the shell and all connections."""
        self.hang_up()
        self.channel.close()

    def smtp(
        self, other: "Machine", *, source: str | None = None, hopeless: Callable[[], object] | None = None
    ) -> "Smtp":
        """An SMTP session from this machine to another's port 25; `hopeless` as for `dial`. Raises CheckFailed if there is none."""
        try:
            return Smtp(self, other, source, hopeless)
        except (OSError, smtplib.SMTPException) as error:
            raise self._unreached(other, 25, error) from error

    def imap(self, other: "Machine", *, hopeless: Callable[[], object] | None = None) -> "Imap":
        """An IMAP session from this machine to another's port 143; `hopeless` as for `dial`. Raises CheckFailed if there is none."""
        try:
            return Imap(self, other, hopeless)
        except (OSError, imaplib.IMAP4.error) as error:
            raise self._unreached(other, 143, error) from error

    def _unreached(self, other: "Machine", port: int, error: Exception) -> CheckFailed:
        said = error.args[0] if error.args else ""
        words = decoded(said) if isinstance(said, bytes) else str(error) or type(error).__name__
        return CheckFailed(f"{self.name} gets no greeting from {other.name} port {port}: {words}", "one", by=other.name)


class Smtp(smtplib.SMTP):
    """smtplib's client, connecting from inside a machine. `banner` is the greeting line, with its code.

    Two things distinguish it in the logs from a student's own client: the name that it greets with, which smtpd(8) logs when it
    refuses something, and that it does nothing three times, which smtpd counts in the last line of each session.
    """

    def __init__(
        self, machine: Machine, other: Machine, source: str | None, hopeless: Callable[[], object] | None
    ) -> None:
        """Connect and read the greeting. Raises OSError, SMTPException."""
        self._from = machine
        self._hopeless = hopeless
        self._source = source
        self.banner = ""
        super().__init__(other.address, 25, local_hostname=f"{PROBE}.{machine.fqdn}", timeout=_GREETING)

    def connect(self, host: str = "localhost", port: int = 0, source_address: Any = None) -> tuple[int, bytes]:
        """Connect as smtplib does, and keep the greeting."""
        code, text = super().connect(host, port, source_address)
        self.banner = f"{code} {decoded(text)}"
        with suppress(OSError, smtplib.SMTPException):  # whatever comes next reports it
            for _ in range(_NOTHING if code == _READY else 0):
                self.noop()
        return code, text

    def ask(self, *lines: str) -> str:
        """Send commands one after the other, and return the reply to the last one as one line."""
        code, text = 0, b""
        for line in lines:
            code, text = self.docmd(line)
        return f"{code} {decoded(text)}".replace("\n", " ")

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return self._from.dial(host, port, source=self._source, timeout=timeout, hopeless=self._hopeless)


class Imap(imaplib.IMAP4):
    """imaplib's client, connecting from inside a machine."""

    def __init__(self, machine: Machine, other: Machine, hopeless: Callable[[], object] | None) -> None:
        """Connect by name, as a mail client is configured, and read the greeting. Raises OSError, IMAP4.error."""
        self._from = machine
        self._hopeless = hopeless
        super().__init__(other.fqdn, 143, timeout=10)

    @property
    def greeting(self) -> str:
        """The server's greeting line."""
        return decoded(self.welcome)

    def mailboxes(self) -> tuple[str, ...]:
        """The names of the user's mailboxes (RFC 3501 section 7.2.2). Raises IMAP4.error."""
        status, lines = self.list()
        if status != "OK":
            raise self.error(decoded(lines[0]) if isinstance(lines[0], bytes) else "LIST failed")
        said = [decoded(line) for line in lines if isinstance(line, bytes)]
        return tuple(line.rpartition('" ')[2].strip('"') for line in said)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        return self._from.dial(self.host, self.port, hopeless=self._hopeless)


class Site:
    """All machines of one environment, and the student they belong to."""

    def __init__(self, engine: Engine, environment: Environment) -> None:
        """Open nothing yet."""
        self.student: Student = environment.student
        self.names = environment.names
        self._engine = engine
        self._records = {record.name: record for record in environment.machines}
        patience = Patience()  # of one run: a process may make many
        self.machines = {record.name: Machine(engine, record, patience) for record in environment.machines}

    def __getitem__(self, name: str) -> Machine:
        """The machine of that name."""
        return self.machines[name]

    def try_rules(self, name: str, rules: bytes, packets: Sequence[trial.Packet]) -> trial.Verdict:
        """What saved firewall rules of a machine would do with packets; nothing in it changes. Raises as `trial.tried` does."""
        return trial.tried(self._engine, self.student.id, self._records[name], rules, packets)

    def close(self) -> None:
        """Close every channel."""
        with ThreadPoolExecutor(len(self.machines)) as pool:
            list(pool.map(Machine.close, self.machines.values()))


def last_words(result: Any) -> str:
    """Why a command failed: the last line that it printed, best to stderr, or its status."""
    lines = str(result.stderr or result.stdout).strip().splitlines()
    return lines[-1] if lines else f"status {result.rc}"
