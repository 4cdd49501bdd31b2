"""What takes time, started before the first check: what named answers to whom, what each machine finds, and the firewall of host."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from labenv.checks import doors, kernel, units
from labenv.checks.doors import OUTSIDE, Firewall, latecomer
from labenv.checks.evidence import CheckFailed, Waits
from labenv.checks.machine import Machine, Site
from labenv.checks.plugin import probe
from labenv.dns import files
from labenv.dns.asking import Lookup, Reply, ask, ask_both_ways, lookups, pointer
from labenv.labs.lab3.checks import state
from labenv.labs.lab3.checks.common import ALL, PORT, SERVICES, addresses, reverse_zone, zone_steps

Replies = dict[tuple[str, str], Reply]


@dataclass(frozen=True)
class Found:
    """What a machine finds: full names, short names, the names of addresses; each up to the first that is wrong."""

    full: list[Lookup]
    short: list[Lookup]
    back: list[Lookup]


@dataclass(frozen=True)
class Access:
    """What named replies to one question that vm2 asks over UDP, and over TCP; and to host's own addresses in the network and outside it."""

    udp: Reply
    tcp: Reply
    near: Reply
    stranger: Reply


@probe
def found(site: Site) -> dict[str, Found]:
    """What each machine finds."""
    with ThreadPoolExecutor(len(ALL)) as pool:
        return dict(zip(ALL, pool.map(lambda name: _found(site, site[name]), ALL), strict=True))


@probe
def access(site: Site) -> Access:
    """Who gets a reply from named."""
    host, vm2, question = site["host"], site["vm2"], (site.student.domain, "SOA")
    with ThreadPoolExecutor(2) as pool:
        theirs = pool.submit(ask_both_ways, vm2, question, host.address)
        sources = (latecomer(site.student), OUTSIDE)
        near, stranger = (ask(host, [question], host.address, f"-b {source}")[question] for source in sources)
        udp, tcp = theirs.result()
    return Access(udp, tcp, near, stranger)


@probe
def served(site: Site) -> Replies:
    """What named replies to host about all that the zones are to have."""
    student, host = site.student, site["host"]
    back = reverse_zone(student)
    questions = [(student.domain, "SOA"), (student.domain, "NS"), ("localhost", "A"), (back, "SOA")]
    questions += [(name, "A") for name in addresses(site)]
    questions += [(pointer(address), "PTR") for address in addresses(site).values()]
    return ask(host, questions, host.address)


def replied(served: Replies, name: str, kind: str) -> Reply:
    """What named replies about a name. Raises Waits if it replies to nobody, or refuses host."""
    reply = served[name, kind]
    if not reply.status:
        raise Waits("8")
    if reply.status == "REFUSED":
        raise Waits("4")
    return reply


@probe
def firewall_of_host(site: Site) -> Firewall:
    """The saved rules of host, and whether its firewall stops what is not for it."""
    return doors.look(
        site, "host", lambda: [doors.packet(site, "vm2", PORT, protocol) for protocol in ("udp", "tcp")], "vm1", None
    )


@probe
def readings(site: Site) -> None:
    """What the checks need of host's files and services, read while the questions are on their way."""
    host = site["host"]
    units.look(host, SERVICES)
    kernel.listeners(host)
    for zone in zone_steps(site.student):
        with suppress(CheckFailed):  # the checks of the zones report it
            files.read_zone(host, zone)


def _found(site: Site, machine: Machine) -> Found:
    state.of(machine)
    there = addresses(site)
    both = lookups(machine, there | {address: f"{name}." for name, address in there.items()})
    full, back = both[: len(there)], both[len(there) :]
    if not full[-1].found:  # the others would only wait for the same
        return Found(full, [], [])
    return Found(full, lookups(machine, {name.partition(".")[0]: address for name, address in there.items()}), back)
