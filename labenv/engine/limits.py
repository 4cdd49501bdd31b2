"""What a machine may use at most: which limits an engine can hold, and how they are written.

An engine drops a limit that its kernel lacks, or refuses the machine. So it is asked only for those that it says it has, and
the others are named to the user.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from docker.types import LogConfig

from labenv.lab.topology import Limits

# What /info calls them (Engine API, SystemInfo), by the words with which labenv names them.
_TOLD = {"memory": "MemoryLimit", "swap": "SwapLimit", "processes": "PidsLimit", "processor time": "CPUShares"}
DISK = "disk space"
NAMES = (*_TOLD, DISK)
# What a container prints goes to a file of the engine, outside its disk space: the last megabyte is enough for last words.
_LOG = {"driver": "json-file", "options": {"max-size": "1m", "max-file": "1"}}
_LOCKS = 4 << 20  # /run/lock


def held(info: Mapping[str, Any]) -> frozenset[str]:
    """Which of `NAMES` an engine with this answer to /info can limit."""
    has = {name for name, key in _TOLD.items() if info.get(key)}
    if _has_quotas(info):
        has.add(DISK)
    return frozenset(has)


def lacking(having: Collection[str]) -> list[str]:
    """Which of `NAMES` are not among `having`. Without memory there is no limit on swap either, which goes without saying."""
    return [name for name in NAMES if name not in having and not (name == "swap" and "memory" not in having)]


def sentence(names: list[str]) -> str:
    """What it means that an engine cannot limit these."""
    named = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
    then = " `labenv status` says who fills the disk." if DISK in names else ""
    return f"This engine cannot limit {named}: one machine can take all there is.{then}"


def keys(limits: Limits, having: Collection[str]) -> dict[str, Any]:
    """The limits among `having`, and those that every engine holds, as keys of a Compose service."""
    found: dict[str, Any] = {"logging": _LOG}
    if "memory" in having:
        found["mem_limit"] = limits.memory
        if "swap" in having:
            found["memswap_limit"] = limits.memory  # memory and swap together
    if "processes" in having:
        found["pids_limit"] = limits.pids
    if "processor time" in having:
        found["cpu_shares"] = limits.cpu_shares
    if DISK in having:
        found["storage_opt"] = {"size": str(limits.disk)}
    return found


def settings(keys: Mapping[str, Any]) -> dict[str, Any]:
    """The same limits, out of the keys of a Compose service, as arguments of the SDK's create_host_config."""
    found = {
        key: keys[key]
        for key in ("mem_limit", "memswap_limit", "pids_limit", "cpu_shares", "storage_opt")
        if key in keys
    }
    found["log_config"] = LogConfig(type=keys["logging"]["driver"], config=keys["logging"]["options"])
    return found


def changed(keys: Mapping[str, Any], has: Mapping[str, Any]) -> dict[str, Any]:
    """What to tell an engine so that a machine that `has` this HostConfig gets these limits (ContainerUpdate); empty if it does.

    A disk's limit cannot be changed.
    """
    names = {"Memory": "mem_limit", "MemorySwap": "memswap_limit", "PidsLimit": "pids_limit", "CpuShares": "cpu_shares"}
    wanted = {name: keys[key] for name, key in names.items() if key in keys}
    return wanted if any(has.get(name) != value for name, value in wanted.items()) else {}


def tmpfs(limits: Limits, *, locks: bool) -> list[str]:
    """The tmpfs file systems of a machine; without a size each could take half of the computer's memory (tmpfs(5))."""
    return [f"/run:size={limits.run}", *([f"/run/lock:size={_LOCKS}"] if locks else [])]


def _has_quotas(info: Mapping[str, Any]) -> bool:
    """Whether the storage driver can limit a container's disk space (docker run, --storage-opt)."""
    driver = info.get("Driver")
    if driver == "overlay2":
        status = {row[0]: row[1] for row in info.get("DriverStatus") or [] if len(row) == 2}
        return status.get("Backing Filesystem") == "xfs" and _counts_projects(info.get("DockerRootDir") or "/")
    return driver in ("btrfs", "zfs")


def _counts_projects(folder: str) -> bool:
    """Whether that folder's file system is mounted with project quotas; True if it is not on this computer.

    An engine elsewhere may then still refuse the limit; `labenv.engine.recipe.candidates` has a recipe without it.
    """
    try:
        mounts = [line.split(" ") for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return True
    if not Path(folder).is_dir():
        return True
    above = [row for row in mounts if Path(folder).is_relative_to(row[4])]
    options = max(above, key=lambda row: len(row[4]), default=[""])[-1].split(",")
    return bool({"prjquota", "pquota"} & set(options))
