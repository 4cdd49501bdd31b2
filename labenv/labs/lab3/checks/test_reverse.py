"""Investigation 3: names for addresses."""

import re

from labenv.checks.evidence import Evidence, Waits
from labenv.checks.machine import Machine, Site
from labenv.checks.plugin import step
from labenv.checks.restarts import not_restarted
from labenv.dns import files
from labenv.dns.asking import pointer
from labenv.dns.restarts import NAMED
from labenv.labs.lab3.checks.common import ALL, addresses, reverse_zone
from labenv.labs.lab3.checks.probes import Found, Replies, replied
from labenv.student import Student


@step("30", machine="host")
def test_reverse_zone_is_there(host: Machine, student: Student, evidence: Evidence) -> None:
    zones, wanted = files.read_conf(host).zones, reverse_zone(student)
    reverse = [name for name in zones if name.endswith(".in-addr.arpa")]
    numbers = wanted.removesuffix(".in-addr.arpa").split(".")
    inside_out = f"{'.'.join(reversed(numbers))}.in-addr.arpa"
    remark = ": the numbers of the network are not in reverse order" if inside_out in reverse else ""
    saw = f"the reverse zones in {files.CONF} on host: {', '.join(reverse) or 'none'}{remark}"
    evidence(wanted in zones and zones[wanted].file, saw, f"{wanted}, with a file")


@step("31", machine="host")
def test_zone_file_has_host(host: Machine, student: Student, evidence: Evidence) -> None:
    zone = files.read_zone(host, reverse_zone(student))
    owner = f"{pointer(host.address)}."
    there = zone.of(owner, "PTR")
    saw = f"{zone.path} on host has for {host.address} PTR {', '.join(there) or 'none'}"
    evidence(f"{host.fqdn}." in there, f"{saw}{'' if there else _elsewhere(zone, host.address)}", f"{host.fqdn}.")
    usual = f"/var/named/mydb-for-{student.prefix}"
    if zone.path != usual:
        evidence.doubt(f"the zone's file is {zone.path}", f"{usual}, where the marker looks")


@step("33", machine="host")
def test_names_of_addresses_are_served(
    host: Machine, served: Replies, site: Site, student: Student, evidence: Evidence
) -> None:
    back = reverse_zone(student)
    for name, address in addresses(site).items():
        reply = replied(served, pointer(address), "PTR")
        right = reply.of("PTR") == [f"{name}."]
        saw = f"named answers {reply} for {address}"
        evidence(right, saw if right else saw + _why(host, back, name, address), f"{name}. alone", by="host")


@step("34", machine="host")
def test_both_zones_are_those_of_the_files(
    host: Machine, served: Replies, student: Student, domain: str, evidence: Evidence
) -> None:
    for zone in (domain, reverse_zone(student)):
        there = files.read_zone(host, zone)
        serial = next((soa.split()[2] for soa in served[zone, "SOA"].of("SOA")), "none")
        saw = f"named answers with serial {serial} for {zone}, and {there.path} has {there.serial}"
        evidence(
            serial == there.serial, saw if serial == there.serial else saw + not_restarted(host, NAMED), "the same"
        )


@step("34", machine=ALL)
def test_addresses_have_names(machine: Machine, found: dict[str, Found], evidence: Evidence) -> None:
    back = found[machine.name].back
    if not back:
        raise Waits("22")
    for lookup in back:
        evidence(lookup.found, f"{machine.name} gets for {lookup.name}: {lookup.words}", lookup.wanted)


def _why(host: Machine, back: str, name: str, address: str) -> str:
    zone = files.read_zone(host, back)
    there = zone.of(f"{pointer(address)}.", "PTR")
    if there == [f"{name}."]:
        return not_restarted(host, NAMED) or f"; {zone.path} has it"
    if len(there) > 1:
        return f"; {zone.path} has {len(there)} PTR records for it"
    if there and there[0].endswith(f".{back}."):
        return f"; in {zone.path} its name lacks the final dot"
    return _elsewhere(zone, address) if not there else f"; {zone.path} has that name for it"


def _elsewhere(zone: files.ZoneFile, address: str) -> str:
    """That a record's owner is the whole address, or that there is none: the end of a sentence."""
    backwards = ".".join(reversed(address.split(".")))
    full = [
        r.owner
        for r in zone.records
        if r.kind == "PTR" and re.match(rf"({re.escape(address)}|{re.escape(backwards)})\.", r.owner)
    ]
    whole = next((owner for owner in full if owner != f"{backwards}.in-addr.arpa."), "")
    return (
        f"; {zone.path} has {whole}: only the last number belongs there"
        if whole
        else f"; {zone.path} has no PTR record for it"
    )
