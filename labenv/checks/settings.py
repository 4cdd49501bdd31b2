"""Effective settings: what Postfix and Dovecot take a parameter for, and how often the file says it."""

import re
from dataclasses import dataclass

from labenv.checks.evidence import CheckFailed
from labenv.checks.machine import Machine


@dataclass(frozen=True)
class Setting:
    """A parameter's effective value, and the lines of the file that set it at line start, as the course's marker greps."""

    value: str
    lines: tuple[str, ...]


def postconf(machine: Machine, name: str, *, expand: bool = True) -> Setting:
    """A parameter of main.cf (postconf(1)), with `$name` expanded or literally. Raises CheckFailed with the complaint."""
    value = machine.output(f"postconf -{'x' if expand else ''}h %s", name)
    return Setting(value, _lines(machine, name, "/etc/postfix/main.cf"))


def doveconf(machine: Machine, name: str, file: str) -> Setting:
    """A parameter of Dovecot (doveconf(1)) and the lines that set it in `file`, below /etc/dovecot.

    Raises CheckFailed where Dovecot is not installed or its configuration is broken.
    """
    if machine.run("command -v doveconf").rc:
        raise CheckFailed(f"Dovecot is not installed on {machine.name} (expected: {name} set in /etc/dovecot/{file})")
    return Setting(machine.output("doveconf -h %s", name), _lines(machine, name, f"/etc/dovecot/{file}"))


def words(value: str) -> list[str]:
    """The members of a list value, which Postfix separates by commas or blanks."""
    return [word for word in re.split(r"[,\s]+", value) if word]


def _lines(machine: Machine, name: str, path: str) -> tuple[str, ...]:
    found = machine.run("grep -E %s %s", rf"^{name}[[:space:]]*=", path)
    return tuple(found.stdout.splitlines())
