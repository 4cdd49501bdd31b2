"""Effective settings: what Postfix and Dovecot take a parameter for, and how often the file says it."""

import re
from dataclasses import dataclass

from labenv.checks.evidence import CheckFailed, Evidence
from labenv.checks.machine import Machine


@dataclass(frozen=True)
class Setting:
    """A parameter's effective value, and the lines of `file` that set it at line start, as the course's marker greps."""

    name: str
    value: str
    file: str
    lines: tuple[str, ...]


def set_in_file(setting: Setting, evidence: Evidence) -> None:
    """Have a doubt if the value, right as it is, comes from elsewhere than the file that the sheet names."""
    if not setting.lines:
        evidence.doubt(f"{setting.name} is {setting.value}, but not from {setting.file}", "set there, at line start")


def postconf(machine: Machine, name: str, *, expand: bool = True) -> Setting:
    """A parameter of main.cf (postconf(1)), with `$name` expanded or literally. Raises CheckFailed with the complaint."""
    return _setting(machine, f"postconf -{'x' if expand else ''}h", name, "/etc/postfix/main.cf")


def doveconf(machine: Machine, name: str, file: str) -> Setting:
    """A parameter of Dovecot (doveconf(1)) and the lines that set it in `file`, below /etc/dovecot.

    Raises CheckFailed where Dovecot is not installed or its configuration is broken.
    """
    if machine.run("command -v doveconf").rc:
        raise CheckFailed(f"Dovecot is not installed on {machine.name} (expected: {name} set in /etc/dovecot/{file})")
    return _setting(machine, "doveconf -h", name, f"/etc/dovecot/{file}")


def words(value: str) -> list[str]:
    """The members of a list value, which Postfix separates by commas or blanks."""
    return [word for word in re.split(r"[,\s]+", value) if word]


def _setting(machine: Machine, ask: str, name: str, file: str) -> Setting:
    both = f"{ask} %s && {{ grep -E %s %s || true; }}"
    value, *lines = machine.output(both, name, rf"^{name}[[:space:]]*=", file).split("\n")
    return Setting(name, value.strip(), file, tuple(lines))
