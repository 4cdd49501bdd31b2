"""What several modules of these checks use."""

import re
from typing import Any

import pytest

from labenv.checks import kernel, services, units
from labenv.checks.evidence import Evidence
from labenv.checks.machine import Machine
from labenv.checks.running import RUN
from labenv.errors import EngineError
from labenv.mail.servers import PROGRAMS
from labenv.student import Student

# RFC 2606 section 2: nobody's domain, ever.
ELSEWHERE = "somebody@elsewhere.test"

# The programs that the services run, where it is known.
_PROGRAMS = {**PROGRAMS, "named": ("/usr/sbin/named",)}
# The services of each machine that the checks judge.
_SERVICES = {"host": ("named",), "vm2": ("postfix", "iptables"), "vm3": ("postfix", "iptables", "dovecot")}
# Regular users (login.defs(5), UID_MIN and UID_MAX), and a name as useradd(8) accepts it.
_FIRST_PERSON, _LAST_PERSON = 1000, 60000
_NAME = r"[a-z_][a-z0-9_.-]{0,31}"


def later(request: pytest.FixtureRequest, name: str) -> Any:
    """The result of a probe that a check needs only for some values, without waiting for it otherwise. Raises what it raised."""
    run = request.config.stash[RUN]
    run.start({name})
    return run.outcome(name)


def first_name(vm3: Machine, student: Student) -> str:
    """The account on vm3 for the student's first name: the one that `labenv up` was told or made up, or else what the student chose.

    Sheet, Investigation 3: "Create a new account on your vm3 machine using only your first name". What that is, only the student
    knows; so without the account that labenv expects, the newest regular one counts that is not the student's own.
    """
    try:
        entries = [line.split(":") for line in vm3.once("getent passwd").stdout.splitlines()]
    except EngineError:  # the checks of vm3 report it
        return student.first
    people = [
        (int(entry[2]), entry[0])
        for entry in entries
        if len(entry) == 7 and re.fullmatch(_NAME, entry[0]) and re.fullmatch(r"[0-9]{4,5}", entry[2])
    ]
    chosen = [name for number, name in sorted(people) if _FIRST_PERSON <= number <= _LAST_PERSON and name != student.id]
    known = {entry[0] for entry in entries}
    return chosen[-1] if chosen and student.first not in known else student.first


def look_ahead(machine: Machine) -> None:
    """Ask a machine once for what the checks of its services need."""
    units.look(machine, _SERVICES[machine.name])
    kernel.listeners(machine)
    kernel.processes(machine)


def service(machine: Machine, name: str, evidence: Evidence) -> None:
    """The service runs and starts at boot, as a program of its own package."""
    among = _SERVICES[machine.name]
    services.runs_and_starts(machine, name, evidence, among=among)
    programs = _PROGRAMS.get(name, ())
    services.runs_its_program(machine, name, programs, evidence, among=among, named=name == "dovecot")
