"""Several computers for tests of Docker Swarm: each has an engine as in `rig`, an address, a host name and an SSH server.

They are namespaces of this computer. Each has a link to one bridge, which is in a network namespace of its own, so nothing
else reaches them. `Node.run` runs a command on one. What the nodes share is this computer's files, except /run, /etc/docker,
and root's .ssh and .docker; what else is written to root's home on a node stays on that node.
"""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from labenv.computer import Computer
from labenv.engine import apt
from labenv.events import silent
from tests.e2e import rig

_SSHD: Final = "/usr/sbin/sshd"  # it starts itself again, by this path
_BRIDGE: Final = "10.99.0.254"
_HOME: Final = Path("/root")  # where ssh and sshd look, whatever HOME says

# Whatever a node sends elsewhere is refused at once (such as a question to a name server), as on a computer without a network.
_SWITCH: Final = f"""
ip link add bridge type bridge
ip address add {_BRIDGE}/24 dev bridge
ip link set bridge up
ip route add default dev bridge
iptables --append FORWARD ! --destination {_BRIDGE}/24 --jump REJECT
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 0 >/proc/sys/net/ipv4/icmp_ratelimit
echo up
exec sleep infinity
"""

# $2 is the node's folder, $3 its name, $4 its address, $5 the process of the switch, and $6 the images.
# No engine writes to the files of an image's layers, so all nodes may have the same; to copy them takes longer than the rest.
# The kernel takes packets from elsewhere only with a default route (rp_filter); this one leads to a refusal.
_BOOT: Final = f"""
[ ! -e "$2/disk" ] || mount -o loop "$2/disk" "$2/data"
if [ -n "$6" ] && [ ! -e "$2/data/image" ]; then
    [ -e "$2/disk" ] || links=--link
    cp -a "$6/image" "$2/data"
    cp -a ${{links-}} "$6/overlay2" "$2/data"
fi
{rig.APART}
mkdir /run/sshd /sys/fs/cgroup/programs
mkdir -p -m 700 /run/user/0
echo $$ >/sys/fs/cgroup/programs/cgroup.procs
echo "$3" >/proc/sys/kernel/hostname
mount -t overlay -o "lowerdir={_HOME},upperdir=$2/root,workdir=$2/work" overlay {_HOME}
ip link add eth0 type veth peer name "$3" netns "$5"
ip address add "$4/24" dev eth0
ip link set eth0 up
ip route add default via {_BRIDGE}
nsenter --net="/proc/$5/ns/net" ip link set "$3" master bridge up
echo up
exec {_SSHD} -D -e -f "$2/sshd_config"
"""
_JOIN: Final = 'echo $$ >/sys/fs/cgroup/programs/cgroup.procs && exec "$@"'

_SSHD_CONFIG: Final = """
HostKey {key}
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM yes
PidFile none
Subsystem sftp internal-sftp
"""


class Node:
    """A computer that can be switched on and off, and whose link can be cut and slowed down.

    `name` is its host name, `address` its IP address, `home` the folder that has its files, also while it is off.
    """

    def __init__(self, name: str, address: str, home: Path, switch: "_Switch", images: Path | None) -> None:
        self.name = name
        self.address = address
        self.home = home
        self.log = home / "dockerd.log"
        self._switch = switch
        self._images = images
        self._cgroup: Path | None = None
        self._machine: subprocess.Popen[str] | None = None
        self._engine: subprocess.Popen[str] | None = None

    @property
    def data(self) -> Path:
        """Its engine's data folder, which outlives `kill`. What is on a small disk is seen from inside only."""
        return self.home / "data"

    @property
    def socket(self) -> Path:
        """Its engine's socket as seen from outside and from inside. Inside, the engine also has the usual /var/run/docker.sock."""
        return self.home / "docker.sock"

    @property
    def docker_host(self) -> str:
        """Its engine's address for DOCKER_HOST, from outside and from inside."""
        return f"unix://{self.socket}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of root on the node: the engine is the one at the usual socket, and labenv's folders are the node's own."""
        return {
            **rig.without_engine(),
            "HOME": str(_HOME),
            "XDG_STATE_HOME": str(self.home / "state"),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "XDG_RUNTIME_DIR": "/run/user/0",
        }

    @property
    def pid(self) -> int:
        """A process in its namespaces, which ends only when the node does."""
        assert self._machine, f"{self.name} is off"
        return self._machine.pid

    def inside(self, argv: Sequence[str]) -> list[str]:
        """The command line that runs `argv` on the node, in the current directory. It ends with the node."""
        return rig.entered(self.pid, ["sh", "-c", _JOIN, "sh", *argv])

    def run(
        self, argv: Sequence[str], *, check: bool = True, timeout: float = 120, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `argv` on the node with its `environment` (and `env` added), as `rig.Engine.run` does."""
        return rig.finished(self.inside(argv), {**self.environment, **(env or {})}, timeout, check=check)

    def start(self) -> None:
        """Switch the node on, with what it had on its disk; returns once its engine answers, and its SSH server."""
        etc = rig.configured(self.home, "unix:///run/docker.sock")
        arguments = (etc, self.home, self.name, self.address, self._switch.pid, self._images or "")
        name = f"{self.home.parent.name}-{self.name}"
        self._cgroup, self._machine = _booted(name, _BOOT, *map(str, arguments), log=self.home / "machine.log")
        self.start_engine()
        self.run(["sh", "-c", "until ss -Hltn sport = 22 | grep -q .; do sleep 0.1; done"], timeout=30)

    def start_engine(self) -> None:
        """Start dockerd; returns once it answers."""
        with self.log.open("ab") as log:
            command = rig.entered(self.pid, ["sh", "-euc", rig.DOCKERD])
            self._engine = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, text=True)
        rig.wait_for(self.socket, self._engine, self.log, time.monotonic() + 60)

    def stop_engine(self) -> None:
        """End dockerd as `systemctl stop docker` does, with all containers."""
        assert self._engine, f"{self.name}'s engine is off"
        self._engine.send_signal(signal.SIGTERM)
        self._engine.wait(timeout=60)

    def restart_engine(self) -> None:
        """End dockerd and start it again."""
        self.stop_engine()
        self.start_engine()

    def kill(self) -> None:
        """Switch the node off as when it loses power: it says nothing to anybody any more. Its link is whole again when it starts."""
        if self._cgroup:
            # The link first, as the kernel would tell the others that the processes' connections end. It went with the last process.
            with contextlib.suppress(rig.RigError):
                self._switch.run("ip", "link", "delete", self.name)
            rig.end(self._cgroup)
            for process in (self._engine, self._machine):
                if process:
                    process.wait()
            self._cgroup = self._machine = self._engine = None

    def cut(self) -> None:
        """Pull its network cable: the node lives, and nobody reaches it."""
        self._switch.run("ip", "link", "set", self.name, "down")

    def mend(self) -> None:
        """Plug its network cable in again."""
        self._switch.run("ip", "link", "set", self.name, "up")

    def slow(self, rate: str) -> None:
        """Let no more through its cable than that rate in each direction, such as "2mbit" (tc-tbf(8))."""
        limit = ["root", "tbf", "rate", rate, "burst", "32kbit", "latency", "400ms"]
        rig.finished(self.inside(["tc", "qdisc", "replace", "dev", "eth0", *limit]))
        self._switch.run("tc", "qdisc", "replace", "dev", self.name, *limit)

    def fast(self) -> None:
        """End what `slow` began."""
        rig.finished(self.inside(["tc", "qdisc", "delete", "dev", "eth0", "root"]))
        self._switch.run("tc", "qdisc", "delete", "dev", self.name, "root")


class _Switch:
    """What the nodes' cables lead to."""

    def __init__(self, home: Path) -> None:
        self._cgroup, self._process = _booted(home.name, _SWITCH, log=home / "switch.log")

    @property
    def pid(self) -> int:
        return self._process.pid

    def run(self, *argv: str) -> None:
        rig.finished(["nsenter", f"--net=/proc/{self.pid}/ns/net", *argv])

    def end(self) -> None:
        rig.end(self._cgroup)
        self._process.wait()


def _booted(name: str, script: str, *arguments: str, log: Path) -> tuple[Path, subprocess.Popen[str]]:
    """Start a script in a new cgroup and namespaces of its own; returns once it says "up", so these are there. Raises RigError."""
    cgroup = rig.new_cgroup(name)
    with log.open("wb") as errors:
        process = rig.spawned(cgroup, script, *arguments, stdout=subprocess.PIPE, stderr=errors)
    assert process.stdout
    with process.stdout as said:
        if said.readline() == "up\n":
            return cgroup, process
    rig.end(cgroup)
    process.wait()
    raise rig.RigError(f"{name} could not be started:\n{rig.tail(log)}")


@contextlib.contextmanager
def nodes(
    workdir: Path, count: int = 3, *, images: Path | None = None, megabytes: Mapping[str, int] | None = None
) -> Iterator[list[Node]]:
    """That many nodes, n1 and so on, with all their files in a new directory below `workdir`; nothing of them is left at the end.

    `images` is the data folder of an engine that has ended, on the same file system: the nodes begin with its images. `megabytes` says
    whose data is on a disk of that size, such as {"n2": 900}. Raises RigError. Keep `workdir` short, as for `rig.cgroup2_engine`.
    """
    with rig.new_home(workdir) as home, contextlib.ExitStack() as ending:
        switch = _Switch(home)
        ending.callback(switch.end)
        made = []
        for number in range(1, count + 1):
            folder = home / f"n{number}"
            _furnish(folder, (megabytes or {}).get(folder.name))
            made.append(Node(folder.name, f"10.99.0.{10 + number}", folder, switch, images))
            ending.callback(made[-1].kill)
        with ThreadPoolExecutor(count) as together:
            list(together.map(Node.start, made))
        yield made


def _furnish(folder: Path, megabytes: int | None) -> None:
    """Make what a node has on its disk before it is started for the first time."""
    for name in ("data", "work", "root/.ssh", "root/.docker"):
        (folder / name).mkdir(mode=0o700, parents=True)
    for hidden in (folder / "root").iterdir():
        os.setxattr(hidden, "trusted.overlay.opaque", b"y")  # overlayfs shows nothing of this computer's own there
    key = folder / "ssh_host_ed25519_key"
    rig.finished(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", folder.name, "-f", str(key)])
    (folder / "sshd_config").write_text(_SSHD_CONFIG.format(key=shlex.quote(str(key))))
    if megabytes:
        disk = folder / "disk"
        with disk.open("wb") as file:
            file.truncate(megabytes << 20)
        rig.finished(["mkfs.ext4", "-q", "-m", "0", str(disk)])


def provide_sshd() -> str | None:
    """Install OpenSSH's server where no service starts with its package; why there is none, as a sentence, or None."""
    if not Path(_SSHD).exists() and os.access("/usr/sbin/policy-rc.d", os.X_OK) and apt.can_install(Computer()):
        apt.install(["openssh-server"], "openssh-server", silent, Computer())
    missing = [tool for tool in (_SSHD, "ssh", "ssh-keygen", "tc", "mkfs.ext4") if shutil.which(tool) is None]
    if missing:
        return f"Nodes need {', '.join(missing)}: install openssh-server, openssh-client, iproute2, e2fsprogs."
    return None
