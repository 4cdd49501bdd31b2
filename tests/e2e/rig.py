"""A second Docker engine for tests: cgroup v2 only, on a machine without any network, apart from the first engine.

The engine runs in namespaces of its own. Its network namespace has only a loopback, so docker0 and the iptables rules of
the machine's first engine are never touched. Its /run is a tmpfs, so the two engines share no pid file, socket or shim.
Its cgroup namespace is rooted in one new cgroup, and cgroup v2 is mounted from there: everything that the engine starts
is below that cgroup, so one write (`cgroup.kill`) ends it all. The mounts and interfaces then go with the namespaces,
because nothing outside uses them.
"""

import contextlib
import json
import os
import select
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TOOLS: Final = ("dockerd", "containerd", "iptables", "ip", "mount", "umount", "unshare", "nsenter")
_SOCKET: Final = "docker.sock"
_LOG: Final = "dockerd.log"
_DATA: Final = "data"

# $1 is the new cgroup. The process enters it before the cgroup namespace is made, because that fixes its root.
_ENTER: Final = 'echo $$ >"$1/cgroup.procs" && shift && exec unshare --mount --net --cgroup sh -euc "$@"'

# The engine itself moves to a leaf: a cgroup that passes controllers on may contain no process (cgroups(7)).
_START: Final = """
ip link set lo up
mount -t tmpfs -o mode=755 tmpfs /run
umount --lazy --recursive /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir /sys/fs/cgroup/engine
echo $$ >/sys/fs/cgroup/engine/cgroup.procs
exec dockerd --config-file "$1"
"""


class RigError(RuntimeError):
    """The engine could not be started or removed; the message has the reason."""


@dataclass(frozen=True)
class Engine:
    """A running engine: its `socket`, the `pid` of dockerd in its namespaces, and its `log`."""

    socket: Path
    pid: int
    log: Path

    @property
    def data(self) -> Path:
        """The engine's data folder, as seen from inside."""
        return self.socket.with_name(_DATA)

    @property
    def docker_host(self) -> str:
        """The engine's address for DOCKER_HOST. It can be reached from inside and from outside the namespaces."""
        return f"unix://{self.socket}"

    @property
    def environment(self) -> dict[str, str]:
        """This process's environment with DOCKER_HOST naming the engine, and nothing that would override it.

        What labenv keeps outside the engine has a folder of its own, as both engines have one id (dockerd's key.json).
        """
        rivals = {"DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"}
        kept = {name: value for name, value in os.environ.items() if name not in rivals}
        return {**kept, "DOCKER_HOST": self.docker_host, "XDG_STATE_HOME": str(self.socket.with_name("state"))}

    def inside(self, argv: Sequence[str]) -> list[str]:
        """The command line that runs `argv` inside the engine's namespaces, in the current directory.

        Published ports are reached only from there, and only there does /sys/fs/cgroup show what the engine sees.
        """
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--net", "--cgroup"]
        # Entering a mount namespace leads to its root directory.
        return [*enter, "env", f"--chdir={Path.cwd()}", *argv]

    def run(
        self, argv: Sequence[str], *, check: bool = True, timeout: float = 120, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `argv` inside the engine's namespaces with DOCKER_HOST set (and `env` added); its output is text.

        Raises RigError with the output when it fails and `check` is set, TimeoutExpired after `timeout` seconds.
        """
        done = subprocess.run(
            self.inside(argv),
            env={**self.environment, **(env or {})},
            check=False,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if check and done.returncode != 0:
            raise RigError(f"{shlex.join(argv)} ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
        return done


def available() -> str | None:
    """Why the engine is not possible on this machine, as a sentence; None if it is."""
    if os.geteuid() != 0:
        return "A second engine needs root: run the tests with sudo."
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        return f"A second engine needs {', '.join(missing)} on PATH: install docker.io, iptables, iproute2, util-linux."
    if _hierarchy() is None:
        return "No writable cgroup2 file system with child cgroups (Linux 5.14 or newer) is mounted on this machine."
    return None


@contextlib.contextmanager
def cgroup2_engine(
    workdir: Path, *, megabytes: int | None = None, nofile: int | None = None, deadline: float = 60
) -> Iterator[Engine]:
    """Start the engine with all its files in a new directory below `workdir`; end and remove everything on leaving.

    Raises RigError when the engine is not possible, dies, does not answer within `deadline` seconds or cannot be removed.
    Keep `workdir` short: the path of the socket in it has 107 bytes (unix(7)). A test run that was itself killed leaves
    the engine running; `echo 1 >…/labenv-rig-*/cgroup.kill` in the cgroup2 file system ends it.
    """
    with new_home(workdir) as home, running(home, megabytes=megabytes, nofile=nofile, deadline=deadline) as engine:
        yield engine


@contextlib.contextmanager
def new_home(workdir: Path) -> Iterator[Path]:
    """A new directory below `workdir` for the files of an engine that runs more than once; removed at the end."""
    home = Path(tempfile.mkdtemp(prefix="rig-", dir=workdir.resolve()))
    try:
        yield home
    finally:
        shutil.rmtree(home)


@contextlib.contextmanager
def running(
    home: Path, *, megabytes: int | None = None, nofile: int | None = None, deadline: float = 60
) -> Iterator[Engine]:
    """The engine whose files are in `home`; at the end all its processes are killed at once, as when a machine loses power.

    With `megabytes` its data is on a disk of that size, in memory, which is removed with the engine. `nofile` is the number of
    open files that its containers get unless they ask for another (dockerd --default-ulimit).
    Raises RigError as `cgroup2_engine` does.
    """
    reason, hierarchy = available(), _hierarchy()
    if reason or hierarchy is None:
        raise RigError(reason)
    cgroup = hierarchy / f"labenv-{home.name}"
    cgroup.mkdir()
    process = _launch(home, cgroup, megabytes, nofile)
    try:
        yield _ready(home, process, time.monotonic() + deadline)
    finally:
        _end(cgroup)
        process.wait()


def _launch(home: Path, cgroup: Path, megabytes: int | None, nofile: int | None) -> subprocess.Popen[bytes]:
    """Start dockerd in that cgroup, with its files in `home`."""
    # A configuration of its own; otherwise it would read the first engine's.
    config = home / "daemon.json"
    data = home / _DATA
    data.mkdir(exist_ok=True)
    limits = {"default-ulimits": {"nofile": {"Name": "nofile", "Soft": nofile, "Hard": nofile}}} if nofile else {}
    config.write_text(json.dumps({"data-root": str(data), "hosts": [f"unix://{home / _SOCKET}"], **limits}))
    disk = f"mount -t tmpfs -o size={megabytes}m tmpfs {shlex.quote(str(data))}\n" if megabytes else ""
    with (home / _LOG).open("wb") as log:
        return subprocess.Popen(
            ["sh", "-euc", _ENTER, "rig", str(cgroup), disk + _START, "rig", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _ready(home: Path, process: subprocess.Popen[bytes], deadline: float) -> Engine:
    """The engine, once it answers."""
    engine = Engine(home / _SOCKET, process.pid, home / _LOG)
    while not _answers(engine.socket):
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = process.wait(timeout=0.05)
            raise RigError(f"dockerd ended with status {status}. Its last lines:\n{_tail(engine.log)}")
        if time.monotonic() > deadline:
            raise RigError(f"dockerd did not answer in time. Its last lines:\n{_tail(engine.log)}")
    return engine


def _answers(address: Path) -> bool:
    """Whether the engine at that socket says it is ready (GET /_ping of the Engine API)."""
    with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(OSError):
        client.settimeout(5)
        client.connect(str(address))
        client.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
        return b" 200 " in client.recv(64)
    return False


def _tail(log: Path, lines: int = 15) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _hierarchy() -> Path | None:
    """The mount point of a writable cgroup2 file system whose cgroups can be killed; None if there is none."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, options, *_ = line.split()
        if kind == "cgroup2" and "rw" in options.split(","):
            probe = next((path for path in Path(where).iterdir() if path.is_dir()), None)
            if probe is None or (probe / "cgroup.kill").exists():
                return Path(where)
    return None


def _end(cgroup: Path) -> None:
    """Kill every process in and below the cgroup, wait until they are gone, and remove it."""
    (cgroup / "cgroup.kill").write_text("1")
    _wait_empty(cgroup, time.monotonic() + 30)
    for path in sorted((path for path in cgroup.rglob("*") if path.is_dir()), reverse=True):
        path.rmdir()
    cgroup.rmdir()


def _wait_empty(cgroup: Path, deadline: float) -> None:
    """Return when no process is left in or below the cgroup. The kernel flags changes of cgroup.events (cgroups(7))."""
    with (cgroup / "cgroup.events").open() as events:
        changes = select.poll()
        changes.register(events, select.POLLPRI)
        while "populated 0" not in events.read():
            left = deadline - time.monotonic()
            if left <= 0:
                raise RigError(f"Processes in {cgroup} outlived being killed: {_members(cgroup)}.")
            changes.poll(left * 1000)
            events.seek(0)


def _members(cgroup: Path) -> str:
    return " ".join(pid for path in cgroup.rglob("cgroup.procs") for pid in path.read_text().split())
