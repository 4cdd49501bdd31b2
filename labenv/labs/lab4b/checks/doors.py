"""Whom the firewalls of vm2 and vm3 let in: the ports that the sheet opens, and the addresses that they are for."""

from concurrent.futures import ThreadPoolExecutor

from labenv.checks import doors, firewall
from labenv.checks.doors import OUTSIDE, Firewall, Reach, latecomer, neighbour
from labenv.checks.evidence import Evidence
from labenv.checks.machine import Machine, Site
from labenv.engine.trial import Packet
from labenv.labs.lab4b.checks import common

_PORTS = {"vm2": (25,), "vm3": (25, 143)}  # that the sheet opens


def from_others(site: Site) -> dict[str, Reach]:
    """Connections that host makes to IMAP on vm3 from its further addresses, by address."""
    sources = (OUTSIDE, neighbour(site.student), latecomer(site.student))
    dropped = firewall.Drops(site["vm3"])
    with ThreadPoolExecutor() as pool:
        reaches = pool.map(lambda source: doors.reach(site, "host", "vm3", 143, source, hopeless=dropped), sources)
        return dict(zip(sources, reaches, strict=True))


def look(site: Site, name: str) -> Firewall:
    """The saved rules of a machine, and whether its firewall stops a stranger now."""
    return doors.look(site, name, lambda: _packets(site, name), "host", OUTSIDE)


def tried(site: Site, name: str) -> Firewall:
    """What the saved rules of a machine do, whether they are in force or not."""
    return doors.tried(site, name, _packets(site, name))


def _packets(site: Site, name: str) -> list[Packet]:
    student, ports = site.student, _PORTS[name]
    other = "vm2" if name == "vm3" else "vm3"
    packets = [doors.packet(site, start, port) for port in ports for start in ("host", other)]
    return packets + [
        Packet(source, 143) for source in (OUTSIDE, neighbour(student), latecomer(student)) if 143 in ports
    ]


def rules_load(site: Site, machine: Machine, found: Firewall, evidence: Evidence) -> None:
    """The saved rules are valid, are loaded at boot, and do not let everything in."""
    common.service(machine, "iptables", evidence)
    doors.rules_load(site, machine, found, "host", OUTSIDE, evidence)


def stays_open(machine: Machine, found: Firewall, source: str, name: str, port: int, evidence: Evidence) -> None:
    """The saved rules let a connection in, as far as they have been tried."""
    doors.stays_open(machine, found, Packet(source, port), name, evidence)
