"""The road to an engine on another computer: OpenSSH's own client brings the engine's socket here.

It knows the user's keys, settings (~/.ssh/config) and known hosts. One connection in the background for each engine serves all
commands of a user, at once and one after the other. It ends when nobody has used it for ten minutes, or when the other computer
has not answered for some seconds; whoever needs it next opens it again.
"""

import fcntl
import hashlib
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from urllib.parse import unquote

from labenv import places
from labenv.engine.no_road import NoRoadError, of_engine, of_ssh
from labenv.text import decoded

SCHEME = "ssh://"
_ENGINE = "/var/run/docker.sock"
_OPTIONS = (
    "BatchMode=yes",  # there is nobody to ask
    "LogLevel=ERROR",  # without the other computer's greeting
    "ConnectTimeout=5",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
    "ControlPersist=600",
    "StreamLocalBindUnlink=yes",
    "ClearAllForwardings=yes",  # the user's own are for their own connections
)
_OPENING = 30.0  # seconds: far more than ConnectTimeout, for the programs that a user's settings may have in between
_LOST = 25.0  # seconds after which ServerAlive has ended a connection over which nothing comes any more
_LED = 33_000  # where the ports begin that lead to another computer where the same port is taken
_URL = re.compile(r"ssh://(?:([^@/:\s]+)@)?(\[[\w:.%]+\]|[^@/:\[\]\s]+)(?::(\d+))?(/.*)?", re.ASCII)
# A Unix socket's path has 103 bytes on some systems, and while ssh makes one its name has 17 more. In a path of plain letters
# nothing is a sign to ssh.
_FOLDER = re.compile(r"[\w./+@-]{1,60}", re.ASCII)
# Says what is wrong with the engine's socket there, for who cannot use it.
_LOOK = 'sh -c \'if [ ! -S "$0" ]; then echo absent; elif [ ! -w "$0" ]; then echo denied; else echo there; fi\' '


@dataclass(frozen=True)
class Road:
    """The road to the engine at an address such as ssh://user@host:22, with further options of ssh_config(5) for it."""

    url: str
    options: tuple[str, ...] = ()

    def opened(self) -> Path:
        """The socket of this computer that leads to the engine; who connects there may still find no engine.

        Opens the road unless it is open. Raises NoRoadError.
        """
        if not self._is_open():
            began = time.time()
            with self._alone():
                if not self._is_open():
                    self._open(began)
        return self._socket

    def trouble(self) -> NoRoadError | None:
        """Why the engine does not answer, though the road is open; None if the road was lost, so that it can be opened again."""
        _, _, _, path = self._parts
        try:
            done = self._ask("-T", "any", _LOOK + _quoted(path), timeout=_LOST)
        except subprocess.TimeoutExpired:  # this ssh hangs itself
            self._control.unlink(missing_ok=True)
            return None
        if done.returncode == 255 and not self._is_open():
            return None
        seen = decoded(done.stdout).strip()
        if seen == "denied":  # who is in a group from now on is so in a new connection only
            self._ask("-O", "exit", "any", timeout=_LOST)
        return of_engine(seen, path, self.target)

    def led(self, port: int) -> int:
        """A port of 127.0.0.1 here that leads to that port of 127.0.0.1 there, as long as the road is open: the same one, if it is free.

        Raises NoRoadError.
        """
        self.opened()
        for here in chain([port], range(_LED + port % 1000, _LED + 10_000, 1000)):
            way = f"127.0.0.1:{here}:127.0.0.1:{port}"
            if not self._ask("-O", "forward", "-L", way, "any", timeout=_LOST).returncode:  # or it leads there already
                return here
        raise NoRoadError(
            "odd", "is reached over ssh, and no port of 127.0.0.1 is free", "End a program that uses them."
        )

    @property
    def target(self) -> str:
        """The other computer as in a command: `ssh {target}`."""
        user, host, port, _ = self._parts
        return f"{f'-p {port} ' if port else ''}{f'{user}@' if user else ''}{host}"

    @cached_property
    def _parts(self) -> tuple[str, str, str, str]:
        """User, host, port and path; all but the host may be empty, and the path is then the usual one. Raises NoRoadError."""
        there = _URL.fullmatch(self.url)
        if not there or there[2].startswith("-"):
            raise NoRoadError("odd", "is no address that labenv knows", "Write it so: ssh://USER@HOST:PORT")
        return unquote(there[1] or ""), there[2].strip("[]"), there[3] or "", (there[4] or "").rstrip("/") or _ENGINE

    @cached_property
    def _stem(self) -> str:
        """The beginning of its files' paths. Raises EngineError if there is no folder for them."""
        folder = places.runtime() / "ssh"
        if not _FOLDER.fullmatch(str(folder)):
            folder = Path(f"/tmp/labenv-ssh-{os.geteuid()}")
        return f"{places.private(folder, 'sockets')}/{hashlib.sha256(repr((self.url, self.options)).encode()).hexdigest()[:16]}"

    @property
    def _socket(self) -> Path:
        return Path(f"{self._stem}.sock")

    @property
    def _control(self) -> Path:
        return Path(f"{self._stem}.ssh")

    def _is_open(self) -> bool:
        """Whether ssh is there. That somebody asks also begins its ten minutes again."""
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(1)
            try:
                asking.connect(str(self._control))
            except OSError:
                return False
        return self._socket.exists()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While one opens the road, others wait."""
        with open(f"{self._stem}.lock", "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _open(self, began: float) -> None:
        """Open it, unless somebody has tried in vain since `began`, while we waited. Raises NoRoadError."""
        said = Path(f"{self._stem}.said")  # there from a vain trial to the next one
        if not (said.exists() and said.stat().st_mtime > began):
            if self._connected(said):
                said.unlink()
                return
            os.utime(said)
        raise of_ssh(decoded(said.read_bytes()), self.target, users=not self.options)

    def _connected(self, said: Path) -> bool:
        if not (program := shutil.which("ssh")):
            raise NoRoadError(
                "odd", "is reached over ssh, and there is no ssh on this computer", "Install OpenSSH's client."
            )
        user, host, port, path = self._parts
        self._control.unlink(missing_ok=True)
        self._socket.unlink(missing_ok=True)
        there = [*(["-l", user] if user else []), *(["-p", port] if port else []), "--", host]
        options = [f"-o{option}" for option in (*self.options, *_OPTIONS)]
        # A program that the user's settings put in between keeps what ssh writes to open as long as the road: it is no pipe.
        with said.open("wb") as words:
            try:
                done = subprocess.run(
                    [program, "-M", "-N", "-f", "-a", "-x", "-S", self._control, *options, *there],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=words,
                    timeout=_OPENING,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                words.write(b"Connection timed out")
                return False
            if done.returncode:
                return False
            laid = self._ask("-O", "forward", "-L", f"{self._socket}:{_colons(path)}", "any", timeout=_OPENING)
            words.write(laid.stderr)
        if laid.returncode:
            self._ask("-O", "exit", "any", timeout=_OPENING)
            return False
        with suppress(subprocess.TimeoutExpired):
            # A server that has run a command sends small packets at once (TCP_NODELAY); without one, each answer takes 40 ms.
            self._ask("-T", "any", "true", timeout=_OPENING)
        return True

    def _ask(self, *arguments: str, timeout: float) -> "subprocess.CompletedProcess[bytes]":
        """Ask the ssh that is there. Raises subprocess.TimeoutExpired."""
        # Without the user's settings, and without trying a connection of its own where none is there.
        alone = ["-F", "none", "-o", "BatchMode=yes", "-o", "ProxyCommand=false", "-S", str(self._control)]
        return subprocess.run(
            ["ssh", *alone, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False
        )


def _quoted(path: str) -> str:
    return "'" + path.replace("'", "'\\''") + "'"


def _colons(path: str) -> str:
    return path.replace("\\", "\\\\").replace(":", "\\:")


def keyed(folder: Path) -> tuple[str, ...]:
    """Options for computers that labenv itself let in: with the key `id_ed25519` of a folder, and its file `known_hosts`.

    A computer that is not in there yet is believed. The user's own keys are tried as well.
    """
    usual = [Path("~/.ssh").expanduser() / name for name in ("id_ed25519", "id_ecdsa", "id_rsa")]
    keys = [key for key in (folder / "id_ed25519", *usual) if os.path.exists(key)]
    known = ("UserKnownHostsFile=" + _value(folder / "known_hosts"), "StrictHostKeyChecking=accept-new")
    return (*("IdentityFile=" + _value(key) for key in keys), *known)


def _value(path: Path) -> str:
    """A path as a value in ssh_config(5)."""
    return '"{}"'.format(str(path).replace("%", "%%"))
