"""Investigation 2, "Relay email through another server"."""

import ipaddress
import re

from labenv.checks.evidence import Evidence, Waits
from labenv.checks.machine import Machine
from labenv.checks.plugin import step
from labenv.checks.settings import expect, not_restarted, postconf, set_in_file, words
from labenv.labs.lab4b.checks import common
from labenv.labs.lab4b.checks.common import OUTSIDE
from labenv.labs.lab4b.checks.probes import ELSEWHERE, Dialogue, Journey
from labenv.student import Student


@step("17", machine="vm2")
def test_vm2_has_a_relay_host(vm2: Machine, vm3: Machine, student: Student, domain: str, evidence: Evidence) -> None:
    relay, onward = postconf(vm2, "relayhost"), postconf(vm3, "relayhost")
    right = common.leads_to_vm3(relay.value, student)
    expect(relay, right, f"vm3.{domain}", evidence, "" if right else _oddity(relay.value, vm2, domain))
    expect(onward, not onward.value, "not set, as vm3 sends by itself", evidence)
    if not re.match(r"\[?vm3\.", relay.value, re.IGNORECASE):
        evidence.doubt(f"relayhost on vm2 is {relay.value}, which is vm3", f"vm3.{domain}, as in the sheet")
    set_in_file(relay, evidence)


@step("18", machine="vm2")
def test_vm2_uses_it(mail_for_elsewhere: Journey, vm2: Machine, vm3: Machine, evidence: Evidence) -> None:
    hop = mail_for_elsewhere.vm2
    right = any(f"[{vm3.address}]:25" in delivery.relay for delivery in hop.deliveries)
    remark = "" if right else not_restarted(vm2, "postfix")
    evidence(right, f"the log of vm2 has {hop.fate}{remark}", f"relay=vm3…[{vm3.address}]:25", by="vm2")


@step("19", machine="vm3")
def test_vm3_trusts_the_network(vm3: Machine, student: Student, evidence: Evidence) -> None:
    setting = postconf(vm3, "mynetworks")
    trusted = words(setting.value)
    for file in [word for word in trusted if word.startswith("/")]:
        trusted += words(vm3.output("grep -v '^#' %s", file))
    nets = [net for word in trusted if (net := _network(word))]
    wide = [str(net) for net in nets if not _is_near(net, student.network)]
    evidence(
        not wide,
        f"mynetworks on vm3 trusts {', '.join(wide) or 'nobody else'}",
        f"no network but yours, {student.network}",
    )
    mine = ipaddress.collapse_addresses(net for net in nets if isinstance(net, ipaddress.IPv4Network))
    covered = any(student.network.subnet_of(net) for net in mine)
    expect(setting, covered, f"{student.network} in it", evidence, f"your network is {student.network}")
    set_in_file(setting, evidence)


@step("20", machine="vm3")
def test_vm3_relays_for_vm2(
    vm2_asks_vm3: Dialogue, mail_for_elsewhere: Journey, vm2: Machine, vm3: Machine, evidence: Evidence
) -> None:
    reply = vm2_asks_vm3.elsewhere
    taken = reply.startswith("250 ")
    remark = "" if taken else not_restarted(vm3, "postfix")
    evidence(taken, f"vm3 answers vm2's RCPT for {ELSEWHERE} with {reply}{remark}", "250", by="vm3")
    if not any(f"[{vm3.address}]" in delivery.relay for delivery in mail_for_elsewhere.vm2.deliveries):
        raise Waits("18")
    if mail_for_elsewhere.unlogged:
        raise mail_for_elsewhere.unlogged
    arrived = mail_for_elsewhere.vm3
    client = arrived.client if arrived else "nobody"
    evidence(
        f"[{vm2.address}]" in client,
        f"the log of vm3 has the message to {ELSEWHERE} from client={client}",
        f"[{vm2.address}]",
    )


@step("20", machine="vm3")
def test_vm3_refuses_strangers(stranger_asks_vm3: str, evidence: Evidence) -> None:
    refused = not stranger_asks_vm3.startswith("2")
    evidence(refused, f"vm3 answers {OUTSIDE}, outside the network: {stranger_asks_vm3}", "454 or 554, or silence")


def _oddity(relayhost: str, machine: Machine, domain: str) -> str:
    """What may be wrong with a relay host, in words."""
    name = re.sub(r"[\[\]]|:\w+$", "", relayhost).lower()
    if not name:
        return ""
    unknown = machine.run("host -W 2 -R 1 %s.", name.rstrip(".")).rc != 0
    remarks = [f"the DNS does not know {name}"] if unknown else []
    remarks += [f"your domain is {domain}"] if not name.endswith(domain) else []
    return "; ".join(remarks)


def _network(word: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """A member of mynetworks that is a network; tables and exclusions are not. IPv6 is in brackets (postconf(5))."""
    try:
        return ipaddress.ip_network(word.replace("[", "").replace("]", ""), strict=False)
    except ValueError:
        return None


def _is_near(net: ipaddress.IPv4Network | ipaddress.IPv6Network, lab: ipaddress.IPv4Network) -> bool:
    if isinstance(net, ipaddress.IPv6Network):
        return net.is_loopback or net.is_link_local
    return net.subnet_of(lab) or net.is_loopback
