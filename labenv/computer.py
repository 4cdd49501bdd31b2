"""The computer that labenv itself runs on: its system, the user who runs labenv, the files of its kernel.

Everything is looked up below `root`, so that a test can present another computer.
"""

import getpass
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

_SLOWEST = 3.0  # times longer than usual: with more, a program that hangs would hold up whoever waits for it
_SYSTEM_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"  # where daemons are; a user's PATH often lacks these folders


def slowness() -> float:
    """How many times longer than usual things may take now, from 1 to 3.

    It is how many processes want to run for each processor, on average over the last minute (getloadavg(3)): what takes milliseconds
    takes as many times longer then, and is no sign that it hangs.
    """
    try:
        waiting = os.getloadavg()[0]
    except OSError:  # this kernel does not tell
        return 1.0
    return min(max(waiting / (os.cpu_count() or 1), 1.0), _SLOWEST)


@dataclass(frozen=True)
class Computer:
    """The computer, as seen by the user who runs labenv."""

    root: Path = Path("/")
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    uid: int = field(default_factory=os.geteuid)
    platform: str = sys.platform

    @cached_property
    def release(self) -> dict[str, str]:
        """The fields of os-release(5); empty where there is no such file (macOS)."""
        for name in ("etc/os-release", "usr/lib/os-release"):
            if text := self.read(name):
                pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
                return {key.strip(): value.strip().strip("\"'") for key, value in pairs}
        return {}

    @property
    def families(self) -> list[str]:
        """The distribution's id and those of its ancestors, nearest first: `["ubuntu", "debian"]`."""
        return [name for name in (self.release.get("ID", ""), *self.release.get("ID_LIKE", "").split()) if name]

    @property
    def has_systemd(self) -> bool:
        """Whether systemd runs this computer (sd_booted(3))."""
        return (self.root / "run/systemd/system").is_dir()

    @property
    def is_wsl(self) -> bool:
        """Whether this is Linux inside Windows."""
        return "microsoft" in self.read("proc/sys/kernel/osrelease").lower()

    @property
    def is_container(self) -> bool:
        """Whether this is a container of Docker or Podman, by the file that each puts there as a sign."""
        return any((self.root / sign).exists() for sign in (".dockerenv", "run/.containerenv"))

    @property
    def is_root(self) -> bool:
        """Whether labenv runs as root."""
        return self.uid == 0

    @property
    def sudo(self) -> str:
        """The beginning of a command for root when the user types it: `"sudo "`, or nothing for root."""
        return "" if self.is_root else "sudo "

    @property
    def user(self) -> str:
        """The name of the user, for commands that need it."""
        try:
            return getpass.getuser()
        except (KeyError, OSError):  # a uid without an account, as in some containers
            return '"$USER"'

    def read(self, name: str) -> str:
        """The text of a file below the root; empty if it does not exist or may not be read."""
        try:
            return (self.root / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    @property
    def path(self) -> str:
        """PATH plus the folders of daemons and of what they call (dockerd needs iptables)."""
        return ":".join(filter(None, [self.environ.get("PATH"), _SYSTEM_FOLDERS]))

    def program(self, name: str) -> str | None:
        """The path of a program, looked for in PATH and in the folders of daemons."""
        below = [str(self.root / folder.lstrip("/")) for folder in self.path.split(":")]
        return shutil.which(name, path=":".join(below))
