"""A second Docker engine for tests: cgroup v2 only, on a machine without any network, apart from the first engine.

The engine runs in namespaces of its own. Its network namespace has only a loopback, so docker0 and the iptables rules of
the machine's first engine are never touched. Its /run is a tmpfs, so the two engines share no pid file, socket or shim. Its
/etc/docker is a folder of its own, so they share no configuration and no id.
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
from typing import IO, Final, TypeAlias

_TOOLS: Final = ("dockerd", "containerd", "iptables", "ip", "mount", "umount", "unshare", "nsenter")
_SOCKET: Final = "docker.sock"
_LOG: Final = "dockerd.log"
_DATA: Final = "data"

Output: TypeAlias = IO[bytes] | int  # as subprocess takes it

# $1 is the new cgroup. The process enters it before the cgroup namespace is made, because that fixes its root.
_ENTER: Final = 'echo $$ >"$1/cgroup.procs" && shift && exec unshare --mount --net --uts --cgroup sh -euc "$@"'

# What an engine sees of the computer. $1 becomes its /etc/docker, where a Docker before 23 keeps the engine's id.
APART: Final = """
ip link set lo up
mount --bind "$1" /etc/docker
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -m 1777 /run/lock
umount --lazy --recursive /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir /sys/fs/cgroup/engine
"""

# The engine itself moves to a leaf: a cgroup that passes controllers on may contain no process (cgroups(7)).
DOCKERD: Final = """
echo $$ >/sys/fs/cgroup/engine/cgroup.procs
exec dockerd
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

        What labenv keeps outside the engine has a folder of its own.
        """
        state = str(self.socket.with_name("state"))
        return {**without_engine(), "DOCKER_HOST": self.docker_host, "XDG_STATE_HOME": state}

    def inside(self, argv: Sequence[str]) -> list[str]:
        """The command line that runs `argv` inside the engine's namespaces, in the current directory.

        Published ports are reached only from there, and only there does /sys/fs/cgroup show what the engine sees.
        """
        return entered(self.pid, argv)

    def run(
        self, argv: Sequence[str], *, check: bool = True, timeout: float = 120, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `argv` inside the engine's namespaces with DOCKER_HOST set (and `env` added); its output is text.

        Raises RigError with the output when it fails and `check` is set, TimeoutExpired after `timeout` seconds.
        """
        return finished(self.inside(argv), {**self.environment, **(env or {})}, timeout, check=check)


def without_engine() -> dict[str, str]:
    """This process's environment with nothing that would choose an engine."""
    rivals = {"DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"}
    return {name: value for name, value in os.environ.items() if name not in rivals}


def entered(pid: int, argv: Sequence[str]) -> list[str]:
    """The command line that runs `argv` in the namespaces of that process, in the current directory."""
    enter = ["nsenter", f"--target={pid}", "--mount", "--net", "--uts", "--cgroup"]
    # Entering a mount namespace leads to its root directory.
    return [*enter, "env", f"--chdir={Path.cwd()}", *argv]


def finished(
    argv: Sequence[str], environ: Mapping[str, str] | None = None, timeout: float = 120, *, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a command without input; raises as `Engine.run` does."""
    done = subprocess.run(
        argv, env=environ, check=False, timeout=timeout, stdin=subprocess.DEVNULL, capture_output=True, text=True
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
    (home / _DATA).mkdir(exist_ok=True)
    disk = f"mount -t tmpfs -o size={megabytes}m tmpfs {shlex.quote(str(home / _DATA))}\n" if megabytes else ""
    cgroup = new_cgroup(home.name)
    folder = configured(home, nofile=nofile)
    with (home / _LOG).open("wb") as log:
        process = spawned(cgroup, disk + APART + DOCKERD, str(folder), stdout=log, stderr=log)
    try:
        wait_for(home / _SOCKET, process, home / _LOG, time.monotonic() + deadline)
        yield Engine(home / _SOCKET, process.pid, home / _LOG)
    finally:
        end(cgroup)
        process.wait()


def new_cgroup(name: str) -> Path:
    """A new cgroup, whose processes `end` kills. Raises RigError when there can be none."""
    reason, hierarchy = available(), _hierarchy()
    if reason or hierarchy is None:
        raise RigError(reason)
    cgroup = hierarchy / f"labenv-{name}"
    cgroup.mkdir()
    return cgroup


def spawned(cgroup: Path, script: str, *arguments: str, stdout: Output, stderr: Output) -> subprocess.Popen[str]:
    """Start a shell script in that cgroup, in namespaces of its own."""
    return subprocess.Popen(
        ["sh", "-euc", _ENTER, "rig", str(cgroup), script, "rig", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        text=True,
        start_new_session=True,
    )


def configured(home: Path, *addresses: str, nofile: int | None = None) -> Path:
    """A folder in `home` as /etc/docker of an engine that has its data there, and its socket; and listens at more `addresses`."""
    folder = home / "etc"
    folder.mkdir(exist_ok=True)
    limits = {"default-ulimits": {"nofile": {"Name": "nofile", "Soft": nofile, "Hard": nofile}}} if nofile else {}
    hosts = [f"unix://{home / _SOCKET}", *addresses]
    (folder / "daemon.json").write_text(json.dumps({"data-root": str(home / _DATA), "hosts": hosts, **limits}))
    return folder


def wait_for(address: Path, process: subprocess.Popen[str], log: Path, deadline: float) -> None:
    """Return once the engine of that process answers. Raises RigError with the end of its log if it will not."""
    while not _answers(address):
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = process.wait(timeout=0.05)
            raise RigError(f"dockerd ended with status {status}. Its last lines:\n{tail(log)}")
        if time.monotonic() > deadline:
            raise RigError(f"dockerd did not answer in time. Its last lines:\n{tail(log)}")


def _answers(address: Path) -> bool:
    """Whether the engine at that socket says it is ready (GET /_ping of the Engine API)."""
    with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(OSError):
        client.settimeout(5)
        client.connect(str(address))
        client.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
        return b" 200 " in client.recv(64)
    return False


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log."""
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


def end(cgroup: Path) -> None:
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
