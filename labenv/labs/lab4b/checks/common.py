"""What several modules of these checks use."""

import re
from typing import Any

import pytest

from labenv.checks import kernel, services, units
from labenv.checks.evidence import Evidence
from labenv.checks.machine import Machine
from labenv.checks.restarts import not_restarted
from labenv.checks.running import RUN
from labenv.errors import EngineError
from labenv.mail.restarts import DOVECOT, needs_more_than_a_reload
from labenv.student import Student

# RFC 2606 section 2: nobody's domain, ever.
ELSEWHERE = "somebody@elsewhere.test"

# The programs that hold the ports, by their services. Postfix's and BIND's change their user, and then no kernel names them.
_PROGRAMS = {
    "postfix": ("/usr/lib/postfix/",),
    "dovecot": ("/usr/sbin/dovecot", "/usr/lib/dovecot/"),
    "named": ("/usr/sbin/named",),
}
_SERVES = {25: "postfix", 143: "dovecot"}
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


def on_every_interface(machine: Machine, port: int, evidence: Evidence) -> None:
    """The port listens for the network, at best on all IPv4 addresses, and the service that belongs to it holds it."""
    addresses = services.listening(machine, port)
    saw = f"port {port} of {machine.name} listens on {', '.join(sorted(addresses)) or 'no address'}"
    if port == 25 and not addresses and not machine.run("postconf -M smtp/inet").stdout:
        saw += "; master.cf has no line for the service smtp inet"
    elif not addresses & {"0.0.0.0", machine.address}:
        saw += needs_more_than_a_reload(machine) if port == 25 else not_restarted(machine, DOVECOT)
    evidence(addresses & {"0.0.0.0", machine.address}, saw, "0.0.0.0, every interface")
    if "0.0.0.0" not in addresses:
        evidence.doubt(saw, "0.0.0.0, every interface")
    running = kernel.processes(machine)
    inodes = {socket.inode for socket in kernel.listeners(machine) if socket.near.port == port}
    service = _SERVES[port]
    # One that ended while it was looked at has no program any more: Dovecot's master starts others, which inherit its sockets.
    holders = [process for process in running if process.program and process.sockets & inodes]
    for process in holders:
        if not _is_own(process, service):
            saw = f"port {port} of {machine.name} belongs to {process.program} in {process.unit or 'no unit'}"
            evidence(False, saw, f"{_PROGRAMS[service][0]} in {service}.service")
    if service == "dovecot" and _names_programs(running) and not holders:
        evidence(False, f"port {port} of {machine.name} belongs to no process of Dovecot's", "Dovecot's master process")


def _is_own(process: kernel.Process, service: str) -> bool:
    """Whether a process runs a program of the service's. One that was replaced since it started is " (deleted)" (proc(5))."""
    return any(
        process.program == own or (own.endswith("/") and process.program.startswith(own))
        for own in _PROGRAMS[service]
        if not process.program.endswith(" (deleted)")
    )


def _names_programs(running: list[kernel.Process]) -> bool:
    return any(process.program for process in running if process.number == 1)


def _runs(machine: Machine, name: str) -> bool:
    """Whether the unit of a service has a process, and its own program where the kernel names programs at all."""
    running = kernel.processes(machine)
    mine = [process for process in running if process.unit == f"{name}.service"]
    own = [process for process in mine if _is_own(process, name)]
    return bool(own if name == "dovecot" and _names_programs(running) else mine) or not running


def service(machine: Machine, name: str, evidence: Evidence) -> None:
    """The service runs and starts at boot, as a program of its own package."""
    services.runs_and_starts(machine, name, evidence, among=_SERVICES[machine.name])
    unit = units.look(machine, _SERVICES[machine.name])[name]
    saw = f"{name} on {machine.name} is {unit.active} and {unit.enabled}"
    if name in _PROGRAMS and not _runs(machine, name):
        evidence(False, f"{saw}, but no process of its own program runs", f"{_PROGRAMS[name][0]} in {name}.service")
    if unit.changed:
        saw = f"{unit.changed[-1]} on {machine.name} was changed after {name} started"
        evidence.doubt(saw, f"restart {name}, or see what a boot makes of it with labenv check --after-reboot")
