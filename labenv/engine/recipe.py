"""How systemd runs as PID 1 on a given engine with the least privilege.

systemd needs a cgroup subtree that it may write. Each kind of engine has one way to grant exactly that; none of them is
`--privileged`, and SYS_ADMIN appears only inside a rootless engine's user namespace, where it has no power over the host.
The binding `/sys/fs/cgroup:ro` with a private cgroup namespace, seen in many guides, does not work: it leaves the host's
controllers writable and puts all machines in one cgroup.
"""

import hashlib
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from labenv.engine import limits, moves
from labenv.errors import UsageError
from labenv.lab.topology import Node

# Becomes systemd, after it has laid the student's files over the image (images/machine). Podman recognises it by this name.
INIT = "/usr/local/sbin/init"

# remount needs SYS_ADMIN; setpriv drops it before systemd starts. `bind` limits the remount to the mount point, which a
# user namespace allows.
_REMOUNT = (
    'mount -o remount,bind,rw /sys/fs/cgroup && exec setpriv --bounding-set -sys_admin --inh-caps -sys_admin "$0" "$@"'
)
SHIM = ("sh", "-c", _REMOUNT, INIT)


# NET_ADMIN is for the firewall lesson. With SYS_PTRACE, `ss -p` and lsof name processes that have changed their user, such as
# Postfix's (ptrace(2), "Ptrace access mode checking"). Where neither AppArmor nor a user namespace forbids it, root in the
# machine can also trace what an engine starts there before that has given up the engine's rights (runc, CVE-2016-9962). So a
# machine that somebody else has sent does not get it, nor there one of a class, whose root is a student.
_TRACE = "SYS_PTRACE"
_CAPABILITIES = ("NET_ADMIN", _TRACE)


@dataclass(frozen=True)
class Facts:
    """What the engine says about itself, as far as it decides how systemd can run there."""

    version: tuple[int, int]
    podman: bool = False
    cgroup: str = "2"
    driver: str = "cgroupfs"
    userns: bool = False
    rootless: bool = False
    apparmor: bool = False
    selinux: bool = False
    desktop: bool = False
    hybrid: bool = False  # cgroup v1 with a v2 tree at /sys/fs/cgroup/unified
    limits: frozenset[str] = frozenset()  # those of limits.NAMES that it can hold
    ident: str = ""  # the engine's own
    delegates: bool = True  # a cgroup namespace protects the limits of its own root: nsdelegate in cgroups(7)


@dataclass(frozen=True)
class Recipe:
    """One way: its `name`, and what it adds to a container (keys of a Compose service)."""

    name: str
    command: tuple[str, ...] = (INIT,)
    cap_add: tuple[str, ...] = _CAPABILITIES
    security_opt: tuple[str, ...] = ()
    cgroup: str | None = None
    own_slice: bool = False
    userns: bool = False
    binds: tuple[str, ...] = field(default_factory=tuple)  # with {path}, the machine's own subtree
    parent: str = ""  # with {ident}
    path: str = ""  # with {ident}: that parent's path below the hierarchy's root
    limits: frozenset[str] = frozenset()
    confined: bool = False  # AppArmor or a user namespace keeps a machine's root from what the engine starts there


# A fresh network namespace lets ten log messages wait for rsyslog; journald drops the eleventh, and with it a line that a
# student or a check looks for (unix(7)). It reports closed ports only at a limited rate (icmp(7)): while the name server
# boots, the third query would wait for a second for nothing. And trying a port that a firewall blocks, as the sheet asks
# for, would take more than two minutes; on the course's machines nc gives up after ten seconds (tcp(7)).
# And host routes between its LAN and the world outside (ip-sysctl).
_SYSCTLS = {
    "net.unix.max_dgram_qlen": "512",
    "net.ipv4.icmp_ratelimit": "0",
    "net.ipv4.tcp_syn_retries": "2",
    "net.ipv4.ip_forward": "1",
}

# The engine has a name server in every machine (127.0.0.11), which asks this one what it does not know. Without it, it would
# ask this computer's, from this computer: a road out of the lab. As it is, it asks the machine's own, if there is one.
_DNS = "127.0.0.1"

# Open files of one process, soft as systemd has it. An engine's own default may be 1024 for all, or a billion, which some
# programs count up to before they start another, and which a kernel may refuse (getrlimit(2), fs.nr_open in proc(5)).
NOFILE = {"soft": 1024, "hard": 16384}

# From 28 on, Docker drops what is addressed to one of its containers and comes from any other bridge, before it asks whether it is
# routed at all. So two networks could not have the same addresses: bridged packets pass those rules, too. The wall drops what comes
# from outside (wall.nft).
_ALIKE = {"com.docker.network.bridge.gateway_mode_ipv4": "nat-unprotected"}

RAISABLE = "Root in a machine can raise the machine's limits, because control groups are mounted without nsdelegate."

_SHIM = Recipe("rootless remount", SHIM, (*_CAPABILITIES, "SYS_ADMIN"), userns=True)
_PODMAN = Recipe("podman", cap_add=(*_CAPABILITIES, "NET_RAW"))
_USERNS = Recipe("user namespace", userns=True)


def facts(version: dict[str, Any], info: dict[str, Any], *, hybrid: bool, delegates: bool = True) -> Facts:
    """The facts in an engine's answers to /version and /info, and those about its computer's control groups.

    `hybrid` is whether the v2 tree is mounted beside v1, `delegates` whether v2 is mounted with nsdelegate.
    """
    options = {text.split(",")[0].removeprefix("name=") for text in info.get("SecurityOptions") or []}
    number = re.match(r"(\d+)\.(\d+)", version.get("Version") or "")
    return Facts(
        version=(int(number[1]), int(number[2])) if number else (0, 0),
        podman=any(part.get("Name") == "Podman Engine" for part in version.get("Components") or []),
        cgroup=str(info.get("CgroupVersion") or "1"),
        driver=info.get("CgroupDriver") or "cgroupfs",
        userns="userns" in options,
        rootless="rootless" in options,
        apparmor="apparmor" in options,
        selinux="selinux" in options,
        desktop="Docker Desktop" in (info.get("OperatingSystem") or ""),
        hybrid=hybrid and str(info.get("CgroupVersion") or "1") == "1",
        limits=limits.held(info),
        ident=str(info.get("ID") or ""),
        delegates=delegates,
    )


def candidates(known: Facts) -> list[Recipe]:
    """The recipes to try on that engine, best first. A later one is for an engine that refuses the one before."""
    confined = known.apparmor or known.userns or known.rootless
    ways = [replace(way, limits=known.limits, confined=confined) for way in _ways(known)]
    # Whether a disk on another computer counts what a container uses shows only when it refuses to.
    return [*ways, *(replace(way, limits=known.limits - {limits.DISK}) for way in ways if limits.DISK in known.limits)]


def _ways(known: Facts) -> list[Recipe]:
    if known.podman:
        return [replace(_PODMAN, userns=known.rootless)]  # it sets up systemd mode itself, by the command's name
    if known.rootless:
        return [_SHIM]
    if known.userns:
        return [_USERNS]  # the engine mounts the cgroup writable there
    own = _own_slice(known)
    # A back-ported or oddly numbered engine may still refuse the option: then its refusal decides.
    return [_writable(known), own] if known.cgroup == "2" and known.version >= (28, 0) else [own]


def choose(known: Facts) -> Recipe:
    """The first candidate: how machines will run unless the engine refuses."""
    return candidates(known)[0]


def _writable(known: Facts) -> Recipe:
    label = ("label=disable",) if known.selinux else ()
    return Recipe("writable cgroups", security_opt=("writable-cgroups=true", *label), cgroup="private")


def _own_slice(known: Facts) -> Recipe:
    systemd = known.driver == "systemd"
    parent = "labenv-{ident}.slice" if systemd else "/labenv/{ident}"
    path = "labenv.slice/labenv-{ident}.slice" if systemd else "labenv/{ident}"
    if known.cgroup == "2":
        # Root in the machine can write what it is given, with the limits in there. So it gets a level of its own, and the one
        # above, which it can only read, has the limits too (labenv.engine.cgroups.cap). On v1 it is given no controller.
        inner = "labenv-{ident}-machine.slice" if systemd else "machine"
        parent, path = inner if systemd else f"{parent}/{inner}", f"{path}/{inner}"
        # If runc mounted the tree in the host's cgroup namespace, the whole computer would lose the option nsdelegate.
        binds: tuple[str, ...] = ("/sys/fs/cgroup:/sys/fs/cgroup:ro", "/sys/fs/cgroup/{path}:/sys/fs/cgroup/{path}:rw")
    elif known.hybrid:
        binds = (
            "/sys/fs/cgroup/unified:/sys/fs/cgroup:ro",
            "/sys/fs/cgroup/unified/{path}:/sys/fs/cgroup/{path}:rw",
        )
    else:  # pure v1: only systemd's own hierarchy, and again only the machine's subtree
        binds = (
            "/sys/fs/cgroup/systemd:/sys/fs/cgroup/systemd:ro",
            "/sys/fs/cgroup/systemd/{path}:/sys/fs/cgroup/systemd/{path}:rw",
        )
    # On v1 the host's cgroup namespace is the default, and the only one that old Compose supports.
    return Recipe(
        f"own cgroup on v{known.cgroup}",
        cgroup="host" if known.cgroup == "2" else None,
        own_slice=True,
        binds=binds,
        parent=parent,
        path=path,
    )


def ident(student_id: str, machine: str) -> str:
    """A name for the machine's cgroup; a hash, because a hyphen means hierarchy in a systemd slice's name."""
    return hashlib.sha256(f"{student_id}/{machine}".encode()).hexdigest()[:12]


def service_keys(
    recipe: Recipe, student_id: str, node: Node, *, foreign: bool = False, shared: bool = False
) -> dict[str, Any]:
    """What the recipe adds to that machine, as keys of a Compose service; little for a machine without systemd.

    A `foreign` machine may not trace; one of a class (`shared`) may where it is confined.
    """
    if node.moves and recipe.name == _PODMAN.name:
        raise UsageError(
            "With Podman, no two environments can have the same X: it makes a container a machine by the name of its first program. "
            "Choose another --net, or use Docker."
        )
    name = ident(student_id, node.name)
    traces = not foreign and (recipe.confined or not shared)
    # Inside a user namespace older kernels have no sysctls, and a limit cannot be higher than that of the user.
    sysctls = {} if recipe.userns else {"sysctls": dict(_SYSCTLS), "ulimits": {"nofile": dict(NOFILE)}}
    common = sysctls | limits.keys(node.limits, recipe.limits) | {"dns": [_DNS]}
    if not node.systemd:
        return {
            "command": moves.command(node.moves, [INIT]),
            "cap_add": ["NET_ADMIN"],
            "tmpfs": limits.tmpfs(node.limits, locks=False),
            **common,
        }
    keys: dict[str, Any] = {
        "command": moves.command(node.moves, recipe.command),
        "cap_add": [right for right in recipe.cap_add if right != _TRACE or traces],
        "tmpfs": limits.tmpfs(node.limits, locks=True),
        **common,
    }
    if recipe.security_opt:
        keys["security_opt"] = list(recipe.security_opt)
    if recipe.cgroup:
        keys["cgroup"] = recipe.cgroup
    if recipe.own_slice:
        path = recipe.path.format(ident=name)
        keys["cgroup_parent"] = recipe.parent.format(ident=name)
        keys["volumes"] = [bind.format(path=path) for bind in recipe.binds]
    return keys


def raisable(known: Facts) -> bool:
    """Whether root in a machine can raise the machine's limits: it can write its cgroup, and nothing above it has them."""
    return known.cgroup == "2" and not known.delegates and not choose(known).own_slice and bool(known.limits)


def local_delegates() -> bool:
    """Whether cgroup v2 is mounted with nsdelegate on this computer; True if it is not mounted."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    options = [row[3].split(",") for row in mounts if row[2] == "cgroup2"]
    return not options or any("nsdelegate" in row for row in options)


def local_hybrid() -> bool:
    """Whether this computer has cgroup v1 with the v2 tree beside it."""
    return Path("/sys/fs/cgroup/unified/cgroup.controllers").exists()


def network_options(facts: Facts) -> dict[str, str]:
    """Driver options with which networks of the same addresses can exist side by side on an engine (docker-network-create(1))."""
    return dict(_ALIKE) if facts.version >= (28, 0) and not facts.podman else {}
