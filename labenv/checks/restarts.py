"""Services that run with the settings from before a change: what was changed, and what makes it take effect.

Whether an edit needs that is not judged here: it is the explanation of a failure, never one. The kits say which services there are.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from labenv.checks.machine import Machine


@dataclass(frozen=True)
class Service:
    """A service that reads its files when it starts: its unit, its name at the beginning of a sentence, and where its files are.

    `files` is a command that prints "SECONDS PATH" for each, as find(1) does with `FOUND`. systemd knows of a reload through it, and
    of one that a service with Type=notify-reload made by itself; a kit has a class of its own for a service that reads them otherwise.
    """

    unit: str
    title: str
    files: str

    @property
    def ask(self) -> str:
        """The command that a machine is asked with, once for all checks of a run: its files come after the empty line."""
        properties = "-p ActiveState -p StateChangeTimestamp"
        return f"systemctl show --timestamp=us+utc {properties} {self.unit}; echo; {self.files}; true"

    def began(self, machine: Machine) -> float:
        """When it last read its files, in seconds since 1970; 0 if it does not run."""
        properties = dict(line.split("=", 1) for line in self._said(machine)[0].splitlines() if "=" in line)
        if properties.get("ActiveState") != "active":
            return 0
        return moment(properties.get("StateChangeTimestamp", ""), "%a %Y-%m-%d %H:%M:%S.%f UTC")

    def changed(self, machine: Machine, since: float) -> str:
        """The file of its own that was changed last, if that was after a time; "" if none was."""
        times = [
            (float(time), path) for time, path in re.findall(r"^([\d.]+) (.+)", self._said(machine)[1], re.MULTILINE)
        ]
        time, path = max(times, default=(0.0, ""))
        return path if time > since else ""

    def _said(self, machine: Machine) -> tuple[str, str]:
        state, _, files = str(machine.once(self.ask).stdout).partition("\n\n")
        return state, files


FOUND = r"-printf '%T@ %p\n'"


@dataclass(frozen=True)
class Stale:
    """A service, and the file of its own that was changed last after it read its files."""

    service: Service
    machine: str
    path: str

    @property
    def remedy(self) -> str:
        """What to type."""
        return f"systemctl restart {self.service.unit}"

    def __str__(self) -> str:
        """It as a sentence, with the way out."""
        return f"{self.service.title} on {self.machine} runs with the settings from before {self.path} was changed: {self.remedy}"


def stale(machine: Machine, service: Service) -> Stale | None:
    """Whether a service runs, and has not read its files since one of them was changed."""
    start = service.began(machine)
    changed = service.changed(machine, start) if start else ""
    return Stale(service, machine.name, changed) if changed else None


def not_restarted(machine: Machine, service: Service) -> str:
    """`stale` as the end of a sentence, else nothing."""
    found = stale(machine, service)
    return f"; {found}" if found else ""


def all_stale(machine: Machine, services: Iterable[Service]) -> list[Stale]:
    """What `stale` finds on a machine."""
    return [found for service in services if (found := stale(machine, service))]


def moment(text: str, form: str) -> float:
    """The time in a text of that form (strptime(3)), which is in UTC, in seconds since 1970; 0 if it is not of that form."""
    try:
        return datetime.strptime(text, form).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0
