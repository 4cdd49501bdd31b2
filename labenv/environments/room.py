"""What the kernel counts for all machines of a computer together, and whether that is enough for the next ones.

A machine that gets none of it dies at boot, and does not say why. So `up` asks before it makes the first machine.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from labenv.computer import Computer
from labenv.engine import Engine
from labenv.errors import EngineError
from labenv.events import Event, Listener

INOTIFY = "fs.inotify.max_user_instances"
MEMORY = 45 << 20  # bytes that one machine and the engine's programs for it use; measured with twelve
NEIGHBOURS = "net.ipv4.neigh.default.gc_thresh3"
TASKS = "kernel.pid_max"
_FILES = "fs.file-max"
# What one machine takes of each: of inotify its systemd, of the others measured with twelve.
EACH = {INOTIFY: 3, NEIGHBOURS: 5, TASKS: 40, _FILES: 300}
_INSTANCES = EACH[INOTIFY]
_OTHERS = 12  # and the services of a usual computer together
_FEW = 16  # of them are tried; more are counted, because for a moment a trial takes them from everybody


@dataclass(frozen=True)
class Supply:
    """Something that the kernel limits with a `sysctl`: how many are `used`, and how many one machine needs.

    A machine without it `dies`, or only works badly. `about` is whether `used` is an estimate.
    """

    sysctl: str
    name: str
    used: int
    limit: int
    each: int
    dies: bool = True
    about: bool = False

    @property
    def room(self) -> int:
        """For how many more machines it is enough."""
        return max(self.limit - self.used, 0) // self.each

    @property
    def sentence(self) -> str:
        """How much there is."""
        about = "about " if self.about else ""
        return f"Of {self.limit} {self.name} {about}{self.used} are in use; the rest is enough for {self.room} more machines."

    def enough(self, machines: int) -> int:
        """A limit that is enough for so many more machines: a power of two, at least 1024."""
        return max(1024, 1 << (max(self.limit, self.used) + self.each * machines - 1).bit_length())


def ensure(engine: Engine, machines: int, listen: Listener, computer: Computer | None = None) -> None:
    """Ask whether the kernel has enough for so many more machines, and raise its limits where labenv may; it says so.

    Raises EngineError, with the commands, if the machines would die. Does nothing about an engine elsewhere.
    """
    if not engine.is_local or machines < 1:
        return
    computer = computer or Computer()
    short = []
    for supply in _supplies(engine, machines, computer):
        if supply.room >= machines:
            continue
        value = supply.enough(machines)
        if _raised(supply, value, computer):
            text = f"raised {supply.sysctl} from {supply.limit} to {value} for {machines} more machines; {lasting(supply.sysctl, value, computer)}"
            listen(Event("room", text, "note"))
        elif supply.dies:
            short.append((supply, value))
        else:
            text = (
                f"{supply.sentence} Connections may be slow. Raise the limit: {setting(supply.sysctl, value, computer)}"
            )
            listen(Event("room", text, "warn"))
    if short:
        said = " ".join(supply.sentence for supply, _ in short)
        commands = "\n".join(setting(supply.sysctl, value, computer) for supply, value in short)
        raise EngineError(
            f"There is no room for {machines} more machines, so none was made. {said} Raise the limit and repeat the command:\n{commands}"
        )
    free = available_memory(computer)
    if free is not None and free < machines * MEMORY:
        text = (
            f"only {free >> 20} MiB of memory are available, and {machines} more machines need about "
            f"{machines * MEMORY >> 20}: this computer may become slow, or end programs"
        )
        listen(Event("room", text, "warn"))


def setting(sysctl: str, value: int, computer: Computer) -> str:
    """The command that raises a limit now."""
    return f"{computer.sudo}sysctl -w {sysctl}={value}"


def lasting(sysctl: str, value: int, computer: Computer) -> str:
    """How to make a raised limit last (sysctl.d(5))."""
    return f"to keep it after a reboot: echo {sysctl}={value} | {computer.sudo}tee -a /etc/sysctl.d/60-labenv.conf"


def available_memory(computer: Computer) -> int | None:
    """The bytes of memory that programs can still get; None if that cannot be found out."""
    for line in computer.read("proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def inotify(computer: Computer, running: int | None) -> Supply | None:
    """The inotify instances of the user that machines run as (inotify(7)); None if that cannot be found out.

    Root counts them, as far as it sees them; for other users they are estimated from the `running` machines, if these are known.
    """
    used = running and running * _INSTANCES + (0 if computer.is_root else _OTHERS)
    if computer.is_root:
        used = max(_instances(computer), used or 0)  # in a container, root sees only its own processes
    limit = _number(computer, INOTIFY)
    if limit is None or used is None:
        return None
    return Supply(INOTIFY, "inotify instances", used, limit, _INSTANCES, about=not computer.is_root)


def others(computer: Computer, uid: int = 0) -> Iterator[Supply]:
    """What else machines share, as far as it can be found out; `uid` is whose they are."""
    files = computer.read("proc/sys/fs/file-nr").split()
    if len(files) == 3:
        yield Supply(_FILES, "open files", int(files[0]), int(files[2]), EACH[_FILES])
    tasks = computer.read("proc/loadavg").partition("/")[2].split()
    limit = _number(computer, TASKS)
    if tasks and limit:
        yield Supply(TASKS, "processes and threads", int(tasks[0]), limit, EACH[TASKS])
    for row in computer.read("proc/key-users").splitlines():  # proc(5)
        owner, _, numbers = row.partition(":")
        if owner.strip() == str(uid) and len(fields := numbers.split()) == 4:
            used, most = fields[2].split("/")
            yield Supply(f"kernel.keys.{'' if uid else 'root_'}maxkeys", "kernel keys", int(used), int(most), 1)
    counted = computer.read("proc/net/stat/arp_cache").splitlines()[1:2]
    limit = _number(computer, NEIGHBOURS)
    if counted and limit:
        neighbours = int(counted[0].split()[0], 16)
        yield Supply(NEIGHBOURS, "entries of the ARP table", neighbours, limit, EACH[NEIGHBOURS], dies=False)


def instances_left(wanted: int) -> bool:
    """Whether this user can still get so many inotify instances: they are made, and given back at once."""
    import ctypes  # its import costs more than the trial, and most commands make no machine

    libc = ctypes.CDLL(None)
    made: list[int] = []
    while len(made) < wanted and (descriptor := libc.inotify_init1(os.O_CLOEXEC)) >= 0:
        made.append(descriptor)
    for descriptor in made:
        os.close(descriptor)
    return len(made) == wanted


def _supplies(engine: Engine, machines: int, computer: Computer) -> Iterator[Supply]:
    ours = engine.facts.rootless
    if not ((computer.is_root or ours) and machines * _INSTANCES <= _FEW and instances_left(machines * _INSTANCES)):
        running = sum(machine.state == "running" for there in engine.environments() for machine in there.machines)
        if counted := inotify(computer, running):
            yield counted
    yield from others(computer, computer.uid if ours else 0)


def _instances(computer: Computer) -> int:
    """How many inotify instances this user's processes use (proc(5), /proc/PID/fd)."""
    count = 0
    for process in (computer.root / "proc").glob("[0-9]*"):
        try:
            if process.stat().st_uid == computer.uid:
                count += sum(os.readlink(file.path) == "anon_inode:inotify" for file in os.scandir(process / "fd"))
        except OSError:  # it ended meanwhile
            continue
    return count


def _file(sysctl: str) -> str:
    return f"proc/sys/{sysctl.replace('.', '/')}"


def _number(computer: Computer, sysctl: str) -> int | None:
    text = computer.read(_file(sysctl)).strip()
    return int(text) if text.isdecimal() else None


def _raised(supply: Supply, value: int, computer: Computer) -> bool:
    """Raise a limit, if this user may."""
    with suppress(OSError):
        if computer.is_root:
            Path(computer.root, _file(supply.sysctl)).write_text(f"{value}\n", encoding="utf-8")
            return _number(computer, supply.sysctl) == value
    return False
