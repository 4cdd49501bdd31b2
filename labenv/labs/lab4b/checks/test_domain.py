"""Investigation 2, "Setup your MTA to use correct domain": origin, destination, MX."""

import pytest

from labenv.checks import services
from labenv.checks.evidence import CheckFailed, Evidence, Waits
from labenv.checks.machine import Machine
from labenv.checks.plugin import step
from labenv.checks.restarts import not_restarted, stale
from labenv.dns.restarts import NAMED
from labenv.labs.lab4b.checks import common, dns
from labenv.labs.lab4b.checks.common import later
from labenv.labs.lab4b.checks.dns import Answer, Zone, is_newer
from labenv.labs.lab4b.checks.probes import Dialogue
from labenv.mail.match_list import MatchList
from labenv.mail.restarts import POSTFIX
from labenv.mail.settings import expect, postconf, set_in_file
from labenv.mail.tables import closed
from labenv.student import Student


@step("9", machine=("vm2", "vm3"))
def test_origin_is_the_domain(
    machine: Machine, domain: str, request: pytest.FixtureRequest, evidence: Evidence
) -> None:
    origin = postconf(machine, "myorigin")
    value = origin.value
    if value.startswith("/"):  # a file with the name, as Debian has it (postconf(5), myorigin)
        value = machine.output("head -n 1 %s", value).strip()
    if value.lower() != domain and (rewriting := _rewriting(machine, domain, request)):
        evidence.doubt(f"{origin}, and {rewriting} makes senders of the domain from it", "myorigin = $mydomain")
        return
    expect(origin, value.lower() == domain, domain, evidence)
    count = len(origin.lines)
    evidence(count == 1, f"main.cf on {machine.name} sets myorigin {count} times", "once")


@step("11", machine="vm3")
def test_vm3_alone_is_the_destination(vm2: Machine, vm3: Machine, domain: str, evidence: Evidence) -> None:
    ours, theirs = postconf(vm3, "mydestination"), postconf(vm2, "mydestination")
    names = [domain, f"vm3.{domain}", "localhost"]
    here = MatchList(vm3, ours.value, names)
    missing = [name for name in names if not here.has_name(name)]
    expect(ours, not missing, f"{domain}, vm3.{domain} and localhost in it", evidence, f"without {', '.join(missing)}")
    there = MatchList(vm2, theirs.value, [domain]).has_name(domain)
    expect(theirs, not there, f"without {domain}, whose mail vm2 would keep", evidence)
    set_in_file(ours, evidence)


@step("11b", machine="vm3")
def test_vm3_takes_mail_for_the_domain(vm2_asks_vm3: Dialogue, vm3: Machine, domain: str, evidence: Evidence) -> None:
    faults = closed(vm3, "(?!smtp_|mynetworks|mydestination).*")
    by = "" if faults else "vm3"

    def remark(right: bool) -> str:
        if right:
            return ""
        return f" ({'; '.join(map(str, faults))})" if faults else not_restarted(vm3, POSTFIX)

    reply = vm2_asks_vm3.postmaster
    taken = reply.startswith("250 ")
    evidence(taken, f"vm3 answers RCPT for postmaster@{domain} with {reply}{remark(taken)}", "250", by=by)
    reply = vm2_asks_vm3.unknown
    unknown = "User unknown" in reply  # with soft_bounce, Postfix says 450 instead of 550
    refused = reply.startswith("5") or unknown or not postconf(vm3, "local_recipient_maps").value
    saw = f"vm3 answers RCPT for an unknown name at {domain} with {reply}{remark(refused)}"
    evidence(refused, saw, "550, as the domain is its own", by=by)
    if unknown and reply.startswith("4"):
        evidence.doubt(f"{saw}, so that senders try again for days (soft_bounce)", "550")
    for fault in faults:
        evidence.doubt(str(fault), "a table that exists")


@step("12", machine="host")
def test_zone_file_has_the_mx(zone: Zone, vm3: Machine, domain: str, student: Student, evidence: Evidence) -> None:
    where = f"{zone.path} (serial {zone.serial}) has"
    if zone.elsewhere and not zone.in_file.records:
        where += f" an MX record of {zone.elsewhere[0]}, but for {domain}"
    zone.in_file.judge(where, domain, vm3.address, evidence)
    usual = f"/var/named/mydb-for-{student.id}-ops"
    if zone.path != usual:
        evidence.doubt(f"the zone's file is {zone.path}", f"{usual}, where the marker looks")


@step("13", machine="host")
def test_named_serves_the_file(host: Machine, zone: Zone, evidence: Evidence) -> None:
    common.service(host, "named", evidence)
    addresses = ", ".join(sorted(services.listening(host, dns.PORT))) or "no address"
    saw = f"named listens on {addresses} (listen-on in /etc/named.conf decides)"
    evidence(dns.is_reachable(host), saw, host.address)
    saw = f"named answers with serial {zone.served_serial or 'none'} and {zone.served}"
    if is_newer(zone.served_serial, zone.serial) and zone.served == zone.in_file:
        # named itself raises the serial of a zone that it signs or that clients may update.
        evidence.doubt(f"{saw}, newer than the file's", f"serial {zone.serial}, as in {zone.path}")
        return
    same = (zone.served_serial, zone.served) == (zone.serial, zone.in_file)
    newer = is_newer(zone.serial, zone.served_serial)
    if not same and zone.served_serial and (newer or stale(host, NAMED)):
        what = f"the serial {zone.serial} in {zone.path} is newer" if newer else f"{zone.path} was changed"
        saw += f"; {what}, but named was not reloaded since: systemctl restart named"
    evidence(same and zone.served.records, saw, f"serial {zone.serial} and an MX record, as in {zone.path}", by="host")


@step("14", machine="vm2")
def test_dns_names_vm3(answer_to_vm2: Answer, vm3: Machine, domain: str, evidence: Evidence) -> None:
    answer = answer_to_vm2
    good = answer.status == "NOERROR" and "aa" in answer.flags
    evidence(
        good, f"dig on vm2 gets {answer.status}, flags {' '.join(answer.flags) or 'none'}", "NOERROR with aa", by="host"
    )
    answer.exchangers.judge(f"for {domain} the DNS has", domain, vm3.address, evidence)
    evidence(answer.address == vm3.address, f"vm3.{domain} has the address {answer.address or 'none'}", vm3.address)


def _rewriting(machine: Machine, domain: str, request: pytest.FixtureRequest) -> str:
    """The setting that rewrites the machine's senders to the domain, if a message shows that one does (ADDRESS_REWRITING_README)."""
    there = [
        name
        for name in ("masquerade_domains", "sender_canonical_maps", "canonical_maps")
        if postconf(machine, name).value
    ]
    if not there or not_restarted(machine, POSTFIX):
        return ""
    try:
        crossing = later(request, "vm2_to_vm3" if machine.name == "vm2" else "vm3_to_vm2")
    except (CheckFailed, Waits):
        return ""
    sender = crossing.received.sender if crossing.received else ""
    return there[0] if (sender or "").lower() == f"root@{domain}" else ""
