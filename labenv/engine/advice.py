"""What to do when no engine can be used: sentences and exact commands for this computer.

Nothing here looks for an engine or starts one; find.py and start.py do that, and take their words from here when they fail.
"""

import grp
import os
from typing import TYPE_CHECKING

from labenv.computer import Computer
from labenv.errors import EngineError

if TYPE_CHECKING:
    from labenv.engine.endpoint import Silence

DEBIAN = frozenset({"debian", "ubuntu"})
PACKAGES = ("docker.io", "iptables")

# How to install an engine from the distribution's own packages, by os-release(5) ID. RHEL's family has only Podman.
_DEBIAN_INSTALL = f"apt-get update && {{sudo}}apt-get install -y --no-install-recommends {' '.join(PACKAGES)}"
_INSTALL = {
    "debian": _DEBIAN_INSTALL,
    "ubuntu": _DEBIAN_INSTALL,
    "rhel": "dnf install -y podman",
    "centos": "dnf install -y podman",
    "fedora": "dnf install -y moby-engine",
    "arch": "pacman -S --needed docker",
    "suse": "zypper install -y docker",
    "alpine": "apk add docker",
}
_PODMAN_ONLY = frozenset({"rhel", "centos"})


class NoEngineError(EngineError):
    """No engine can be used: `what` is wrong, and `mend` (sentences and commands) is the way out."""

    def __init__(self, what: str, mend: str) -> None:
        """Make the error; its text is both."""
        super().__init__(f"{what}\n{mend}")
        self.what = what
        self.mend = mend


def for_chosen(silence: "Silence", computer: Computer) -> NoEngineError:
    """The error for an engine that the user chose, or that labenv itself named, and that cannot be used."""
    endpoint = silence.endpoint
    is_users = endpoint.source.startswith(("DOCKER_HOST", "docker context"))
    what = f"The engine that you chose, {endpoint.source}, {silence.detail}." if is_users else _sentence(silence)
    if silence.mend:
        return NoEngineError(what, silence.mend)
    if silence.kind == "denied":
        return NoEngineError(what, _permission(silence, computer))
    if not is_users:
        return NoEngineError(what, "Start the engine there.")
    if endpoint.source.startswith("DOCKER_HOST"):
        other = "let labenv look for another one: unset DOCKER_HOST"
    elif computer.environ.get("DOCKER_CONTEXT"):
        other = "let labenv look for another one: unset DOCKER_CONTEXT"
    else:
        other = "let labenv look for another one: docker context use default"
    return NoEngineError(what, f"Start that engine, or {other}")


def for_silent(silence: "Silence", computer: Computer) -> NoEngineError:
    """The error for an engine that exists but cannot be used, where no other answers."""
    what = _sentence(silence)
    if silence.kind == "denied":
        return NoEngineError(what, _permission(silence, computer))
    return NoEngineError(what, f"Restart the engine: {_service(computer, 'restart')}")


def _sentence(silence: "Silence") -> str:
    source = silence.endpoint.source
    return f"{source[0].upper()}{source[1:]} {silence.detail}."


def for_none(computer: Computer) -> NoEngineError:
    """The error for a computer where no engine answers and labenv does not start or install one."""
    if computer.platform == "darwin":
        return _for_mac(computer)
    if computer.program("dockerd"):
        return NoEngineError("Docker is installed but not running.", f"Start it: {_service(computer, 'start')}")
    if computer.program("podman"):
        return NoEngineError(
            "Podman is installed but its Docker-compatible socket does not exist.", _podman_socket(computer)
        )
    what = "No container engine is running or installed on this computer."
    desktop = (
        "enable this distribution in Docker Desktop (Settings, Resources, WSL integration), or "
        if computer.is_wsl
        else ""
    )
    family = next((name for name in computer.families if name in _INSTALL), None)
    if family is None:
        return NoEngineError(
            what, f"To get one, {desktop}install Docker; docs.docker.com/engine/install shows how on your system."
        )
    command = computer.sudo + _INSTALL[family].format(sudo=computer.sudo)
    after = _podman_socket(computer) if family in _PODMAN_ONLY else _start_and_join(computer)
    return NoEngineError(what, f"To get one, {desktop}run: {command}\n{after}")


def _for_mac(computer: Computer) -> NoEngineError:
    if (computer.root / "Applications/Docker.app").exists():
        what = "Docker Desktop is installed but not running."
        return NoEngineError(
            what, "Start it (open -a Docker), wait until its menu says that it is running, and repeat the command."
        )
    return NoEngineError(
        "No container engine is running on this computer.",
        "Install Docker Desktop (brew install --cask docker-desktop), start it once (open -a Docker), and repeat the command.",
    )


def _start_and_join(computer: Computer) -> str:
    start = f"Then start it: {_service(computer, 'start')}"
    if computer.is_root:
        return start
    return f"{start}\nand allow yourself to use it: {_join('docker', computer)}"


def _service(computer: Computer, verb: str) -> str:
    if computer.platform == "darwin":
        return "quit Docker Desktop from its menu, then: open -a Docker"
    if computer.has_systemd:
        return f"{computer.sudo}systemctl {'enable --now' if verb == 'start' else verb} docker"
    return f"{computer.sudo}service docker {verb}"


def _podman_socket(computer: Computer) -> str:
    if computer.has_systemd:
        user = "" if computer.is_root else "--user "
        return f"Then enable Podman's socket: systemctl {user}enable --now podman.socket"
    path = "/run/podman/podman.sock" if computer.is_root else "$XDG_RUNTIME_DIR/podman/podman.sock"
    return f"Then start Podman's socket: podman system service --time=0 unix://{path} &"


def _join(group: str, computer: Computer) -> str:
    return f"{computer.sudo}usermod -aG {group} {computer.user} && newgrp {group}"


def _permission(silence: "Silence", computer: Computer) -> str:
    path = silence.endpoint.socket
    try:
        group = grp.getgrgid(path.stat().st_gid) if path else None
    except (OSError, KeyError):
        group = None
    if group is None or group.gr_name == "root":
        return "Run labenv as the user who owns that engine."
    if computer.user in group.gr_mem and group.gr_gid not in os.getgroups():
        return f"You are in the group '{group.gr_name}', but you logged in before you were added to it. Run: newgrp {group.gr_name}"
    return f"Allow yourself to use it: {_join(group.gr_name, computer)}"
