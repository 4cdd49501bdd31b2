"""What several modules of these checks use: who is who in this lab, and the services that are judged."""

from datetime import datetime

from labenv.checks import services
from labenv.checks.evidence import Evidence
from labenv.checks.machine import Machine, Site
from labenv.mail.servers import PROGRAMS

MAIL_MACHINES = ("vm2", "vm3")
SERVICES = ("postfix", "iptables")  # of these, that the checks judge
PORT = 25


def other(site: Site, machine: Machine) -> Machine:
    """The machine that mail is exchanged with."""
    return site["vm3" if machine.name == "vm2" else "vm2"]


def service(machine: Machine, name: str, evidence: Evidence) -> None:
    """The service runs and starts at boot, as a program of its own package."""
    services.runs_and_starts(machine, name, evidence, among=SERVICES)
    services.runs_its_program(machine, name, PROGRAMS.get(name, ()), evidence, among=SERVICES, named=False)


def when(time: datetime) -> str:
    """A time as a clause."""
    return f"{time:%d %b at %H:%M:%S}"
