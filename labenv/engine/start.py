"""Starting an installed engine, and installing one where labenv may.

Each way to start is a row: the command, where the engine will answer, whether the command stays. A started engine belongs
to the computer, not to labenv, and keeps running.
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from labenv.computer import Computer
from labenv.engine import advice, apt
from labenv.engine.endpoint import DEFAULT_SOCKET, Connection, Endpoint, probe
from labenv.events import Event, Listener, announced

_PATIENCE = 60.0  # seconds; containerd and dockerd take 2 to 10 on a slow disk
_POLL = 0.1  # seconds between two looks; nothing can wait for a socket that does not exist
_LAST_LINES = 6

# Where Docker notes whose process it is. It takes any process of that number for its own, and so does not start where a computer
# or a container kept the file of an engine that was killed, and gave the number to another process since.
_DOCKERD = ("var/run/docker.pid", "dockerd")
_CONTAINERD = ("var/run/docker/containerd/containerd.pid", "containerd")


@dataclass(frozen=True)
class Way:
    """One way to start an engine.

    A command that `stays` is the engine itself, so its end is a failure. `alive` is for a starter that does not wait until the
    engine works: a command that fails if the engine has died.
    """

    command: tuple[str, ...]
    endpoint: Endpoint
    stays: bool = False
    alive: tuple[str, ...] = ()


class _NotStartedError(Exception):
    """One way did not start an engine; the text says why."""


def start_engine(
    listen: Listener, computer: Computer, confirm: Callable[[str], bool] | None, *, may_install: bool
) -> Connection:
    """Start an installed engine, or install Docker and start it, and return the connection to it.

    `confirm`, if given, is asked before an installation. Raises EngineError with the way out.
    """
    possible = ways(computer)
    if not possible and may_install:
        _install(listen, computer, confirm)
        possible = ways(computer)
    if not possible:
        raise advice.for_none(computer)
    if computer.is_root:
        _forget_the_dead(listen, computer)
    reasons = []
    for way in possible:
        command = " ".join(way.command)
        try:
            with announced(listen, "engine", f"no engine answers; starting the installed one: {command}"):
                return _launch(way, computer)
        except _NotStartedError as error:
            reasons.append(f"{command}: {error}")
            listen(Event("engine", " ".join(reasons[-1].split()), "warn"))
    raise advice.NoEngineError("An engine is installed but could not be started.", "\n".join(reasons))


def ways(computer: Computer) -> list[Way]:
    """The ways in which this user can start an engine here, best first. Podman's only where Docker is not installed.

    None on macOS: an engine there is an application with a window, which only the user starts.
    """
    if computer.platform == "darwin":
        return []
    if dockerd := computer.program("dockerd"):
        return list(_docker_ways(computer, dockerd))
    if podman := computer.program("podman"):
        return list(_podman_ways(computer, podman))
    return []


def _docker_ways(computer: Computer, dockerd: str) -> Iterator[Way]:
    socket = Endpoint(f"unix://{computer.root / DEFAULT_SOCKET}", f"Docker's socket /{DEFAULT_SOCKET}")
    if not computer.is_root:
        runtime, home = computer.environ.get("XDG_RUNTIME_DIR"), computer.environ.get("HOME")
        if runtime and home and Path(home, ".config/systemd/user/docker.service").exists():
            path = f"{runtime}/docker.sock"
            rootless = Endpoint(f"unix://{path}", f"rootless Docker's socket {path}")
            yield Way(("systemctl", "--user", "start", "docker"), rootless)
    elif computer.has_systemd:
        yield Way(("systemctl", "start", "docker"), socket)
    else:
        service = computer.program("service")
        if service and (computer.root / "etc/init.d/docker").exists():
            yield Way((service, "docker", "start"), socket, alive=(service, "docker", "status"))
        yield Way((dockerd,), socket, stays=True)


def _podman_ways(computer: Computer, podman: str) -> Iterator[Way]:
    runtime = computer.root / "run" if computer.is_root else computer.environ.get("XDG_RUNTIME_DIR")
    if runtime is None:
        return
    socket = Endpoint(f"unix://{runtime}/podman/podman.sock", f"Podman's socket {runtime}/podman/podman.sock")
    if computer.has_systemd:
        user = () if computer.is_root else ("--user",)
        yield Way(("systemctl", *user, "start", "podman.socket"), socket)
    yield Way((podman, "system", "service", "--time=0", socket.url), socket, stays=True)


def _launch(way: Way, computer: Computer) -> Connection:
    if way.stays and way.endpoint.socket:
        way.endpoint.socket.parent.mkdir(parents=True, exist_ok=True)
    folder = "/var/log" if os.access("/var/log", os.W_OK) else tempfile.gettempdir()
    descriptor, name = tempfile.mkstemp(prefix="labenv-engine-", suffix=".log", dir=folder)
    log = Path(name)
    with open(descriptor, "wb") as output:
        # A session of its own: neither the end of labenv nor Ctrl-C in its terminal reaches the engine.
        process = subprocess.Popen(
            way.command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd="/",
            env={**os.environ, "PATH": computer.path},
        )
    try:
        found = _await_engine(way, computer, process, log)
    except _NotStartedError:
        if process.poll() is None:
            process.terminate()
            process.wait()
        log.unlink()
        raise
    if process.poll() is None:
        process.returncode = 0  # it keeps running: this stops Python from warning about it
    if not way.stays:
        log.unlink()
    return found


def _await_engine(way: Way, computer: Computer, process: "subprocess.Popen[bytes]", log: Path) -> Connection:
    deadline = time.monotonic() + _PATIENCE
    while True:
        found = probe(way.endpoint)
        if isinstance(found, Connection):
            return found
        status = process.poll()
        if status is not None and not _lives(way, computer, status):
            raise _NotStartedError(f"it ended with status {status}, and no engine is running{_tail(log)}")
        if time.monotonic() > deadline:
            raise _NotStartedError(f"{way.endpoint.source} {found.detail} after {_PATIENCE:.0f} seconds{_tail(log)}")
        time.sleep(_POLL)


def _lives(way: Way, computer: Computer, status: int) -> bool:
    """Whether an engine may still come up although the command that starts it has ended."""
    if computer.is_root and _runs(computer, *_DOCKERD):  # another command is starting it: there can be only one
        return True
    if way.alive:
        return subprocess.run(way.alive, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0
    return status == 0 and not way.stays


def _forget_the_dead(listen: Listener, computer: Computer) -> None:
    """Remove the notes of Docker's processes that have ended."""
    for file, program in (_DOCKERD, _CONTAINERD):
        path = computer.root / file
        if path.exists() and not _runs(computer, file, program):
            path.unlink(missing_ok=True)
            listen(Event("engine", f"{path} was left by a {program} that has ended; removed it", "note"))


def _runs(computer: Computer, file: str, program: str) -> bool:
    """Whether the process that a file names is one of this program, and has not ended (proc_pid_stat(5); Z is a zombie)."""
    process = computer.read(file).strip()
    stat = computer.read(f"proc/{process}/stat") if process.isdecimal() else ""
    name, _, rest = stat.partition("(")[2].rpartition(")")
    return name == program and rest.split()[0] != "Z"


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:]
    return f"; its last lines:\n{_indented(lines)}" if lines else ""


def _install(listen: Listener, computer: Computer, confirm: Callable[[str], bool] | None) -> None:
    packages = [*advice.PACKAGES, *_parser_for_apparmor(computer)]
    if not apt.can_install(computer) or advice.DEBIAN.isdisjoint(computer.families):
        raise advice.for_none(computer)
    named = " and ".join(packages)
    system = computer.release.get("PRETTY_NAME", "the distribution")
    listen(Event("engine", f"no container engine is installed; labenv needs {named} from {system}", "note"))
    if confirm and not confirm(f"Install {named} with apt-get?"):
        raise advice.for_none(computer)
    with announced(listen, "engine", f"installing {named} with apt-get"):
        apt.install(packages, "engine", listen, computer)


def _parser_for_apparmor(computer: Computer) -> list[str]:
    """AppArmor's parser where the kernel has AppArmor: Docker starts no container without it, but only recommends it."""
    enabled = computer.read("sys/module/apparmor/parameters/enabled").strip() == "Y"
    return ["apparmor"] if enabled and not computer.program("apparmor_parser") else []


def _indented(lines: Iterable[str]) -> str:
    return "\n".join(f"    {line}" for line in lines)
