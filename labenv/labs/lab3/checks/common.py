"""What several modules of these checks use: who is who in this lab, and the zones."""

from labenv.checks.machine import Site
from labenv.dns.asking import pointer
from labenv.student import Student

CLIENTS = ("vm1", "vm2", "vm3")
ALL = ("host", *CLIENTS)
SERVICES = ("named", "iptables")  # of host, that the checks judge
PORT = 53


def addresses(site: Site) -> dict[str, str]:
    """The address of each machine by its full name, as the forward zone is to have it."""
    return {site[name].fqdn: site[name].address for name in ALL}


def reverse_zone(student: Student) -> str:
    """The name of the network's reverse zone, without a final dot."""
    return pointer(str(student.network[0])).partition(".")[2]


def zone_steps(student: Student) -> dict[str, str]:
    """The zones of named.conf in the order of the sheet, with the step whose check judges the file."""
    return {"localhost": "5", student.domain: "6", reverse_zone(student): "31"}
