"""The systemd unit that serves a class from boot on."""

import getpass
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from labenv.classroom.folder.model import Class
from labenv.errors import UsageError

# What is not here would break labenv: it makes folders of locks with the set-group-ID bit in /run/lock or /tmp (RestrictSUIDSGID,
# PrivateTmp), keeps histories in a home (ProtectHome), and as root raises limits of the kernel and tidies control groups
# (ProtectKernelTunables, ProtectControlGroups), and builds images in namespaces (RestrictNamespaces). The engine's socket is
# reached under /run.
_UNIT = """\
# Written by: labenv class serve --unit
[Unit]
Description=labenv: the gate, the page and the timers of {name}
Documentation=man:ssh(1)
Wants=network-online.target
After=network-online.target docker.service
StartLimitIntervalSec=0

[Service]
Type=exec
User={user}
WorkingDirectory={folder}
{environment}
ExecStart={command}
Restart=on-failure
RestartSec=5
KillMode=mixed
TimeoutStopSec=60
UMask=0077
NoNewPrivileges=yes
ProtectSystem=full
ProtectClock=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectHostname=yes
PrivateDevices=yes
RestrictRealtime=yes
LockPersonality=yes
SystemCallArchitectures=native
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
CapabilityBoundingSet=~CAP_SYS_BOOT CAP_SYS_MODULE CAP_SYS_RAWIO CAP_SYS_TIME CAP_WAKE_ALARM CAP_MAC_ADMIN CAP_MAC_OVERRIDE

[Install]
WantedBy=multi-user.target
"""
# What labenv, and the engine's client, take from the environment of who installs the unit.
_KEPT = (
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "XDG_STATE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_CACHE_HOME",
    "LABENV_LABS",
    "LABENV_DRILLS",
)
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def name(of: Class) -> str:
    """The usual name of the unit's file."""
    return f"labenv-{of.id}.service"


def text(of: Class, address: str, port: int, more: Sequence[str] = ()) -> str:
    """The unit (systemd.service(5)) that runs this labenv, by this user, for this class. `more` are further options of `class serve`.

    Raises UsageError for a path that no unit can name.
    """
    python = Path(sys.executable)
    for path in (of.folder, python):
        if any(sign in str(path) for sign in "\n\r\t\0"):
            raise UsageError(f"{path!s} cannot stand in a unit of systemd. Move it to another folder.")
    arguments = ["-P", "-m", "labenv", "class", "serve", "-c", str(of.folder), "--port", str(port)]
    arguments += [*(["--address", address] if address else []), *more]
    kept = {"PATH": _PATH} | {name: os.environ[name] for name in _KEPT if name in os.environ}
    return _UNIT.format(
        name=_plain(of.name),
        user=getpass.getuser(),
        folder=_escaped(str(of.folder)),
        environment="\n".join(f"Environment={_quoted(f'{name}={value}', dollar='$')}" for name, value in kept.items()),
        command=" ".join(map(_quoted, [str(python), *arguments])),
    )


def install(of: Class) -> str:
    """The commands that install the unit, for a person to type."""
    file = f"/etc/systemd/system/{name(of)}"
    return (
        f"labenv class serve -c {shlex.quote(str(of.folder))} --unit | sudo tee {file} >/dev/null && "
        f"sudo systemctl daemon-reload && sudo systemctl enable --now {name(of)}"
    )


def _escaped(value: str) -> str:
    """A value in which nothing is a specifier (systemd.unit(5), SPECIFIERS)."""
    return value.replace("%", "%%")


def _quoted(word: str, *, dollar: str = "$$") -> str:
    """A word of a command line (systemd.service(5), COMMAND LINES), where a dollar sign stands twice."""
    escaped = _escaped(word).replace("\\", "\\\\").replace('"', '\\"').replace("$", dollar)
    return f'"{escaped}"' if set(escaped) & set(" '\"\\;$") or not escaped else escaped


def _plain(value: str) -> str:
    return _escaped(" ".join(value.split()))
