"""Investigation 2, "Relay email through another server"."""

import ipaddress
import re

from labenv.checks.evidence import Evidence
from labenv.checks.machine import Machine
from labenv.checks.plugin import step
from labenv.checks.settings import postconf, words
from labenv.labs.lab4b.checks.probes import ELSEWHERE, OUTSIDE, Dialogue, Journey
from labenv.student import Student


@step("17", machine="vm2")
def test_vm2_has_a_relay_host(vm2: Machine, vm3: Machine, domain: str, evidence: Evidence) -> None:
    value = postconf(vm2, "relayhost").value
    right = re.fullmatch(rf"(vm3\.{re.escape(domain)}|\[vm3\.{re.escape(domain)}\])(:25|:smtp)?", value)
    evidence(right, f"relayhost on vm2 is {value or 'not set'}", f"vm3.{domain}")
    onward = postconf(vm3, "relayhost").value
    evidence(not onward, f"relayhost on vm3 is {onward or 'not set'}", "not set")


@step("18", machine="vm2")
def test_vm2_uses_it(mail_for_elsewhere: Journey, vm3: Machine, evidence: Evidence) -> None:
    deliveries = mail_for_elsewhere.vm2.deliveries
    right = [d for d in deliveries if d.status == "sent" and f"[{vm3.address}]:25" in d.relay]
    evidence(right, f"the log of vm2 has {mail_for_elsewhere.vm2.fate}", f"relay=vm3…[{vm3.address}]:25, status=sent")


@step("19", machine="vm3")
def test_vm3_trusts_the_network(vm3: Machine, student: Student, evidence: Evidence) -> None:
    value = postconf(vm3, "mynetworks").value
    nets = [net for word in words(value) if (net := _network(word))]
    evidence(student.network in nets, f"mynetworks on vm3 is {value}", f"{student.network} in it")
    wide = [str(net) for net in nets if not (net.subnet_of(student.network) or net.is_loopback)]
    evidence(not wide, f"mynetworks on vm3 trusts {', '.join(wide) or 'nobody else'}", "no network but the lab's")


@step("20", machine="vm3")
def test_vm3_relays_for_vm2(
    vm2_asks_vm3: Dialogue, mail_for_elsewhere: Journey, vm2: Machine, evidence: Evidence
) -> None:
    reply = vm2_asks_vm3.elsewhere
    evidence(reply.startswith("250 "), f"vm3 answers vm2's RCPT for {ELSEWHERE} with {reply}", "250")
    arrived = mail_for_elsewhere.vm3
    client = arrived.client if arrived else "nobody"
    evidence(
        f"[{vm2.address}]" in client,
        f"the log of vm3 has the message to {ELSEWHERE} from client={client}",
        f"[{vm2.address}]",
    )


@step("20", machine="vm3")
def test_vm3_refuses_strangers(stranger_asks_vm3: str, vm2_asks_vm3: Dialogue, evidence: Evidence) -> None:
    relays = vm2_asks_vm3.elsewhere.startswith("250 ")
    evidence(
        relays, f"vm3 answers vm2's RCPT for {ELSEWHERE} with {vm2_asks_vm3.elsewhere}", "250, before strangers matter"
    )
    evidence(
        not stranger_asks_vm3.startswith("2"), f"vm3 answers {OUTSIDE}: {stranger_asks_vm3}", "454 or 554, or silence"
    )


def _network(word: str) -> ipaddress.IPv4Network | None:
    """A member of mynetworks that is an IPv4 network; patterns, tables, exclusions and IPv6 are not."""
    try:
        return ipaddress.IPv4Network(word, strict=False)
    except ValueError:
        return None
