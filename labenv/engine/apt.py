"""Installing packages of Debian and Ubuntu (apt-get(8)), where labenv may; its last lines are kept for the error."""

import os
import subprocess
from collections import deque

from labenv.computer import Computer
from labenv.errors import EngineError
from labenv.events import Event, Listener

_LAST_LINES = 6
_WAIT = ("-o", "DPkg::Lock::Timeout=120")  # wait for another apt that is running (unattended upgrades)


def can_install(computer: Computer) -> bool:
    """Whether this computer has apt-get, and labenv runs as root."""
    return computer.is_root and computer.program("apt-get") is not None


def install(packages: list[str], step: str, listen: Listener, computer: Computer) -> None:
    """Install packages; the output of apt-get becomes lines of `step`. Raises EngineError with its last lines."""
    apt = computer.program("apt-get") or "apt-get"
    _run(listen, step, computer, apt, *_WAIT, "update")
    _run(listen, step, computer, apt, *_WAIT, "install", "-y", "--no-install-recommends", *packages)


def _run(listen: Listener, step: str, computer: Computer, *command: str) -> None:
    last: deque[str] = deque(maxlen=_LAST_LINES)
    quiet = {**os.environ, "PATH": computer.path, "DEBIAN_FRONTEND": "noninteractive"}
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=quiet,
    ) as process:
        for line in process.stdout or ():
            last.append(line.rstrip())
            listen(Event(step, last[-1]))
    if process.returncode:
        said = "\n".join(f"    {line}" for line in last)
        raise EngineError(
            f"'{' '.join(command)}' failed with status {process.returncode}. Its last lines:\n{said}\n"
            f"Fix the cause (the network, a package source, disk space), then repeat the command."
        )
