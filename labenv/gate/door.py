"""Who comes in: keys and one-time passwords, and what one connection may ask for."""

import asyncio
from typing import cast

from asyncssh import (
    DISC_TOO_MANY_CONNECTIONS,
    EXTENDED_DATA_STDERR,
    OPEN_RESOURCE_SHORTAGE,
    ChannelOpenError,
    SFTPServer,
    SSHKey,
    SSHReader,
    SSHServer,
    SSHServerChannel,
    SSHServerConnection,
    SSHServerProcess,
    SSHWriter,
)
from asyncssh.channel import SSHChannel

from labenv.classroom.folder.model import Member
from labenv.classroom.serving import keys
from labenv.errors import LabenvError
from labenv.gate import login
from labenv.gate.files import Files
from labenv.gate.state import EACH, Gate
from labenv.gate.throttle import network
from labenv.gate.visit import Visit
from labenv.text import decoded

_TRIES = 6  # passwords of one connection
_STRANGERS, _FROM_ONE = 200, 40  # connections that nobody has logged in on: of all, and of one address

_NOBODY = Member("", "")


class _InMachine(SSHServerProcess[bytes]):
    """A session for a machine: there the machine's own programs do everything, sftp too, which AsyncSSH would do itself."""

    def subsystem_requested(self, subsystem: str) -> bool:
        return True

    def session_started(self) -> None:
        channel = self.channel
        out, err = SSHWriter[bytes](self, channel), SSHWriter[bytes](self, channel, EXTENDED_DATA_STDERR)
        self._start_process(SSHReader[bytes](self, channel), out, err)


class Door(SSHServer):
    """One connection. Nothing is forwarded: a method that this class does not have refuses."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._student = self._machine = self._address = ""
        self._key = ""  # the one whose owner is being asked for a proof
        self._by = ""
        self._tries = 0
        self._is_stranger = False
        self._connection: SSHServerConnection | None = None

    def connection_made(self, conn: SSHServerConnection) -> None:
        """Turn away what is too much."""
        self._connection = conn
        self._gate.connections.add(conn)
        peer = conn.get_extra_info("peername") or ("",)
        self._address = str(peer[0])
        near = network(self._address)
        if self._gate.strangers[near] >= _FROM_ONE or self._gate.strangers.total() >= _STRANGERS:
            conn.disconnect(DISC_TOO_MANY_CONNECTIONS, "Too many connections. Try again in a minute.")
            return
        self._gate.strangers[near] += 1
        self._is_stranger = True

    def connection_lost(self, exc: Exception | None) -> None:
        """The end of it."""
        if self._connection:
            self._gate.connections.discard(self._connection)
        self._no_stranger()

    def begin_auth(self, username: str) -> bool:
        """Everybody is asked for a key or a password, whether there is such a student or not."""
        student, _, machine = username.partition("+")
        self._student, self._machine = student.lower()[:64], machine[:64]
        return True

    def public_key_auth_supported(self) -> bool:
        """Keys of the roster, and those that students have added."""
        return True

    def validate_public_key(self, username: str, key: SSHKey) -> bool:
        """Whether it is a key of that student's; the proof is AsyncSSH's to ask."""
        mine = keys.bare(decoded(key.export_public_key("openssh")))
        member = self._gate.member(self._student) or _NOBODY
        try:
            fits = mine in keys.known(self._gate.of, member)
        except LabenvError as error:
            self._gate.say(str(error), "warn")
            return False
        self._by = f"key {key.get_fingerprint()}" if fits else self._by
        return fits

    def password_auth_supported(self) -> bool:
        """One-time passwords; the client may ask for them in either of SSH's two ways."""
        return True

    async def validate_password(self, username: str, password: str) -> bool:
        """Whether it is one of that student's that was not used yet."""
        self._tries += 1
        number = None
        if self._tries <= _TRIES:
            number = await login.with_password(self._gate, self._student, password, self._address)
        if number is None:
            await asyncio.sleep(1)
            self._disconnect()
            return False
        self._by = f"password {number}"
        return bool(number)

    def auth_completed(self) -> None:
        """Somebody is in."""
        self._no_stranger()
        self._gate.note(self._student, "login", self._address, by=self._by)

    def session_requested(self) -> tuple["SSHServerChannel[bytes]", "SSHServerProcess[bytes]"]:
        """A menu, a command, a shell, or files."""
        assert self._connection
        if self._gate.files[self._student] >= EACH:
            raise ChannelOpenError(OPEN_RESOURCE_SHORTAGE, "Too many sessions are open. Close one, and try again.")
        channel: SSHServerChannel[bytes] = self._connection.create_server_channel(encoding=None)
        if self._machine:
            return channel, _InMachine(self._visit, None, 3, allow_scp=False)
        return channel, SSHServerProcess(self._visit, self._files, 3, allow_scp=True)

    def _visit(self, process: "SSHServerProcess[bytes]") -> None:
        self._gate.spawn(Visit(self._gate, process, self._student, self._machine, self._address).run())

    def _files(self, channel: "SSHChannel[bytes]") -> SFTPServer:
        return Files(cast("SSHServerChannel[bytes]", channel), self._gate, self._student, self._address)

    def _disconnect(self) -> None:
        if self._connection:
            self._connection.disconnect(DISC_TOO_MANY_CONNECTIONS, "Too many tries. Try again later.")

    def _no_stranger(self) -> None:
        if self._is_stranger:
            near = network(self._address)
            self._gate.strangers[near] -= 1
            if not self._gate.strangers[near]:
                del self._gate.strangers[near]
            self._is_stranger = False
