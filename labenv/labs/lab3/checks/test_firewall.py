"""Investigation 1, "Firewall rules update": port 53 of host over both protocols, now and after the next boot."""

from labenv.checks import doors, services
from labenv.checks.doors import Firewall
from labenv.checks.evidence import Evidence, Waits
from labenv.checks.firewall import who_drops
from labenv.checks.machine import Machine, Site
from labenv.checks.plugin import step
from labenv.labs.lab3.checks.common import PORT, SERVICES
from labenv.labs.lab3.checks.probes import Access


@step("15", machine="host")
def test_questions_come_in_over_udp(access: Access, host: Machine, vm2: Machine, evidence: Evidence) -> None:
    _comes_in(access, "udp", host, vm2, evidence)


@step("15", machine="host")
def test_questions_come_in_over_tcp(access: Access, host: Machine, vm2: Machine, evidence: Evidence) -> None:
    _comes_in(access, "tcp", host, vm2, evidence)


def _comes_in(access: Access, protocol: str, host: Machine, vm2: Machine, evidence: Evidence) -> None:
    reply, how = (access.tcp, "+tcp") if protocol == "tcp" else (access.udp, "+notcp")
    dropped = ""
    if not reply.status:
        if not access.near.status:  # nor does host itself get one
            raise Waits("8")
        again = f"dig @{host.address} {how} +tries=1 +time=1 localhost"
        dropped = who_drops(vm2, host, lambda: vm2.channel.run(again), PORT)
    saw = f"vm2 asks {host.address} over {protocol.upper()}: {reply}{dropped}"
    evidence(reply.status, saw, "an answer")


@step("16", machine="host")
def test_rules_are_saved(
    access: Access, firewall_of_host: Firewall, host: Machine, site: Site, evidence: Evidence
) -> None:
    services.runs_and_starts(host, "iptables", evidence, among=SERVICES)
    found = firewall_of_host
    doors.rules_load(site, host, found, "vm1", None, evidence)
    if found.same and access.udp.status and access.tcp.status:
        evidence(True, "the rules that are saved on host are those in force", "they do the same")
        return
    packets = [doors.packet(site, "vm2", PORT, protocol) for protocol in ("udp", "tcp")]
    if found.same:
        found = doors.tried(site, "host", packets)
    for packet in packets:
        doors.stays_open(host, found, packet, "vm2", evidence, f"port {{port}} over {packet.protocol.upper()}")
