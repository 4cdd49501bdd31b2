"""What a computer's own numbers mean for a lab: each function looks at one of them and returns a sentence and the fix.

None stands for what cannot be found out here (another system, a file that this user may not read).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from labenv.computer import Computer
from labenv.engine import limits, recipe
from labenv.environments import room
from labenv.environments.networks import port_in_use

_MIB = 1 << 20
_GIB = 1 << 30
_MACHINES = 3  # of a lab
_LAB_MEMORY = _MACHINES * room.MEMORY


@dataclass(frozen=True)
class Finding:
    """The result of one exam: its `topic`, its status, a sentence for a student, and the fix (empty if all is well)."""

    topic: str
    status: Literal["ok", "warn", "fail"]
    sentence: str
    mend: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The finding as `doctor --json` shows it."""
        return asdict(self)


def systemd(facts: recipe.Facts) -> Finding:
    """How systemd will run as PID 1 in the machines of an engine with these facts."""
    tree = "v1 with v2 beside it" if facts.hybrid else f"v{facts.cgroup}"
    way = f"The kernel's control groups are {tree} (driver {facts.driver}); method for systemd: '{{}}'."
    sentence = way.format(recipe.choose(facts).name)
    if facts.rootless and facts.cgroup == "1":
        fix = "Boot the computer with the kernel parameter systemd.unified_cgroup_hierarchy=1, or use Docker as root."
        return Finding("cgroup", "fail", f"{sentence} A rootless engine cannot run systemd on v1.", fix)
    if facts.userns and facts.driver == "cgroupfs":
        fix = 'Put "exec-opts": ["native.cgroupdriver=systemd"] into /etc/docker/daemon.json and restart Docker.'
        return Finding("cgroup", "fail", f"{sentence} With userns-remap, systemd needs the systemd driver.", fix)
    if facts.cgroup == "1" and not facts.hybrid and not facts.podman:
        fix = "Boot the computer with the kernel parameter systemd.unified_cgroup_hierarchy=1."
        return Finding("cgroup", "warn", f"{sentence} Without the v2 tree, stopping a service can be slow.", fix)
    return Finding("cgroup", "ok", sentence)


def limited(facts: recipe.Facts) -> Finding:
    """Which limits on a machine the engine cannot hold."""
    lacking = limits.lacking(facts.limits)
    if recipe.raisable(facts):
        sentence = (
            "Root in a machine can raise the machine's limits, because control groups are mounted without nsdelegate."
        )
        return Finding("limits", "warn", sentence, "As root: mount -o remount,nsdelegate /sys/fs/cgroup (cgroups(7))")
    if not lacking:
        return Finding("limits", "ok", f"Each machine is limited in {_listed(limits.NAMES)}.")
    held = [name for name in limits.NAMES if name in facts.limits]
    sentence = f"{limits.sentence(lacking)} Each machine is limited in {_listed(held) if held else 'nothing'}."
    if lacking == [limits.DISK]:
        return Finding("limits", "ok", sentence)
    if facts.rootless or facts.podman:
        fix = "Let your user's service manager pass the controllers on: Delegate=cpu memory pids (user@.service, systemd.resource-control(5))."
    elif facts.cgroup == "1":
        fix = "Boot the computer with the kernel parameters cgroup_enable=memory swapaccount=1."
    else:
        fix = "See which controllers the kernel has: cat /sys/fs/cgroup/cgroup.controllers"
    return Finding("limits", "ok" if lacking == ["swap"] else "warn", sentence, fix)


def disk(path: str, free: int) -> Finding:
    """Whether `free` bytes where the engine keeps its data (`path`) are enough."""
    sentence = f"{free / _GIB:.1f} GiB are free where the engine keeps its data ({path})."
    fix = "See what uses the space: docker system df. Remove images of earlier versions: labenv images remove --old"
    if free < _GIB:
        return Finding("disk", "fail", f"Only {sentence} Building the images needs more.", fix)
    if free < 3 * _GIB:
        return Finding(
            "disk", "warn", f"Only {sentence} The images take 1 GiB, and each lab's mail and logs some more.", fix
        )
    return Finding("disk", "ok", sentence)


def memory(computer: Computer) -> Finding | None:
    """Whether this computer has enough memory for a lab; None if that cannot be found out."""
    free = room.available_memory(computer)
    return memory_of(free, "are available") if free is not None else None


def memory_of(size: int, what: str) -> Finding:
    """Whether `size` bytes of memory are enough; `what` is the sentence's verb ("are available")."""
    labs = size // _LAB_MEMORY
    sentence = f"{size // _MIB} MiB of memory {what}; a lab takes about {_LAB_MEMORY // _MIB}, so {labs} can run at the same time."
    fix = "Close other programs, or give the engine's virtual machine more memory."
    if labs < 2:
        return Finding("memory", "fail" if labs < 1 else "warn", f"Only {sentence}", fix)
    return Finding("memory", "ok", sentence)


def enough(supply: room.Supply, computer: Computer) -> Finding:
    """For how many more machines something that the kernel limits is enough."""
    topic = "inotify" if supply.sysctl == room.INOTIFY else "kernel"
    if supply.room >= 3 * _MACHINES:
        return Finding(topic, "ok", supply.sentence)
    value = supply.enough(3 * _MACHINES)
    fix = f"{room.setting(supply.sysctl, value, computer)}\n{room.lasting(supply.sysctl, value, computer).capitalize()}"
    if supply.dies and supply.room < _MACHINES:
        silent = " A machine that gets none dies at boot with exit code 255 and an empty log."
        return Finding(topic, "fail", supply.sentence + (silent if topic == "inotify" else ""), fix)
    return Finding(topic, "warn", supply.sentence, fix)


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def ports(wished: Mapping[int, int]) -> Finding:
    """Whether other programs use ports of 127.0.0.1 that environments publish on; `wished` is port → X."""
    busy = {port: x for port, x in wished.items() if port_in_use(port)}
    if not busy:
        return Finding("ports", "ok", "No other program uses the ports of 127.0.0.1 that labs publish.")
    port, x = min(busy.items())
    sentence = f"Another program uses port {port} of 127.0.0.1"
    sentence += f" and {len(busy) - 1} more that labs publish" if len(busy) > 1 else ""
    fix = f"An environment with X = {x} gets other ports. To see which program uses it: ss -lntup 'sport = :{port}'"
    return Finding("ports", "warn", f"{sentence}.", fix)


def bridges(computer: Computer) -> Finding | None:
    """Whether Podman would translate addresses between the machines of one network; None if it would not."""
    if computer.read("proc/sys/net/bridge/bridge-nf-call-iptables").strip() != "1":
        return None
    sentence = (
        "The kernel filters packets on bridges, as Docker sets it; with Podman, labs cannot reach the world outside."
    )
    return Finding("bridges", "warn", sentence, f"{computer.sudo}sysctl -w net.bridge.bridge-nf-call-iptables=0")


def wall(standing: bool | None, networks: int, by_hand: str) -> Finding:
    """Whether the engine's computer is closed to the labs' `networks`; `standing` is None if that cannot be seen."""
    closed = "closed to the labs' networks (nft, tables inet labenv and arp labenv)"
    if standing is None:
        sentence = f"At each `labenv up` the engine's computer is {closed}. That cannot be seen from here; `up` says if it fails."
        return Finding("wall", "ok", sentence)
    if standing:
        return Finding("wall", "ok", f"This computer is {closed}.")
    if not networks:
        return Finding("wall", "ok", f"The next `labenv up` has this computer {closed}.")
    sentence = "Something has removed labenv's rules from this computer's packet filter: the machines of the labs can reach it."
    return Finding("wall", "warn", sentence, f"labenv up STUDENT\nOr by hand: {by_hand}")


def firewall(computer: Computer, kernel: str) -> Finding | None:
    """Whether the kernel has what iptables in the machines needs; None if that cannot be found out."""
    if " nft_do_chain" in computer.read("proc/kallsyms"):
        return Finding("firewall", "ok", "The kernel has nf_tables, which the machines' iptables needs.")
    modules = computer.root / "lib/modules"
    if "nf_tables.ko" in computer.read(f"lib/modules/{kernel}/modules.dep"):
        return Finding("firewall", "ok", "The kernel loads nf_tables when the machines' iptables needs it.")
    if modules.is_dir() and not (modules / kernel).exists():
        sentence = f"The modules of the running kernel ({kernel}) are missing, so the machines' iptables may not work."
        return Finding("firewall", "warn", sentence, "An upgrade replaced the kernel: reboot this computer.")
    if computer.read("proc/kallsyms"):
        sentence = "The kernel seems to lack nf_tables, so the machines' iptables would not work."
        return Finding("firewall", "warn", sentence, "Use your distribution's own kernel.")
    return None
