"""Investigation 2, "Relay email through another server"."""

import re

from labenv.checks.doors import OUTSIDE
from labenv.checks.evidence import CheckFailed, Evidence, Waits
from labenv.checks.machine import Machine, Site
from labenv.checks.plugin import step
from labenv.checks.restarts import not_restarted
from labenv.labs.lab4b.checks.common import ELSEWHERE
from labenv.labs.lab4b.checks.probes import Dialogue, Journey, reached_vm3
from labenv.labs.lab4b.checks.relay import DECIDING, relay_of, way_without_relayhost
from labenv.labs.lab4b.checks.trust import trust_of
from labenv.mail.post import Post
from labenv.mail.restarts import POSTFIX
from labenv.mail.settings import expect, postconf, set_in_file, set_there
from labenv.mail.tables import Closed, closed
from labenv.student import Student


@step("17", machine="vm2")
def test_vm2_has_a_relay_host(vm2: Machine, vm3: Machine, site: Site, domain: str, evidence: Evidence) -> None:
    setting, onward = postconf(vm2, "relayhost"), postconf(vm3, "relayhost")
    relay = relay_of(site)
    expect(onward, not onward.value, "not set, as vm3 sends by itself", evidence)
    if not relay.value and (way := way_without_relayhost(site)):
        evidence.doubt(f"relayhost on vm2 is not set, and {way}", f"relayhost = vm3.{domain}, as in the sheet")
        return
    right = relay.leads_to_vm3 and not setting.comment
    expect(setting, right, f"vm3.{domain}", evidence, "; ".join(relay.faults))
    if not re.match(r"\[?vm3\.", relay.value, re.IGNORECASE) or len(relay.hops) > 1:
        evidence.doubt(f"relayhost on vm2 is {relay.value}, which is vm3", f"vm3.{domain}, as in the sheet")
    set_in_file(setting, evidence)


@step("18", machine="vm2")
def test_vm2_uses_it(
    mail_for_elsewhere: Journey, site: Site, post: Post, vm2: Machine, vm3: Machine, evidence: Evidence
) -> None:
    for table in closed(vm2, "smtp_.*"):
        evidence(not _is_used(table, vm2), str(table), "a table that exists: postmap makes it from its text")
        evidence.doubt(str(table), "no such line")
    hop = mail_for_elsewhere.vm2
    right = reached_vm3(hop, post, site)
    remark = "" if right else not_restarted(vm2, POSTFIX)
    evidence(right, f"the log of vm2 has {hop.fate}{remark}", f"relay=vm3…[{vm3.address}]:25", by="vm2")


@step("19", machine="vm3")
def test_vm3_trusts_the_network(vm3: Machine, site: Site, student: Student, evidence: Evidence) -> None:
    setting = postconf(vm3, "mynetworks")
    trust = trust_of(vm3, setting.value, site)
    wanted = str(student.network)
    for word, reason in trust.refused:
        expect(setting, False, wanted, evidence, f"Postfix refuses {word}: {reason}")
    wide = sorted({str(pattern) for _, pattern in trust.strangers})
    stranger = f", such as {trust.strangers[0][0].address}" if trust.strangers else ""
    evidence(not wide, f"mynetworks on vm3 trusts {', '.join(wide) or 'nobody else'}{stranger}", f"only {wanted}")
    expect(setting, trust.has_machines, f"{wanted} in it", evidence, trust.narrow(student.network))
    if trust.left_out:
        evidence.doubt(f"{setting}, and {trust.narrow(student.network)}", f"{wanted}, as in the sheet")
    set_in_file(setting, evidence)
    if trust.ignored and not setting.comment:
        evidence.doubt(f"Postfix passes over {', '.join(trust.ignored)} in mynetworks", "only networks")


@step("20", machine="vm3")
def test_vm3_relays_for_vm2(
    vm2_asks_vm3: Dialogue,
    mail_for_elsewhere: Journey,
    site: Site,
    post: Post,
    vm2: Machine,
    evidence: Evidence,
) -> None:
    vm3 = site["vm3"]
    reply = vm2_asks_vm3.elsewhere
    taken = reply.startswith("250 ")
    remark = "" if taken else not_restarted(vm3, POSTFIX) or set_there(vm3, DECIDING)
    evidence(taken, f"vm3 answers vm2's RCPT for {ELSEWHERE} with {reply}{remark}", "250", by="vm3")
    if not reached_vm3(mail_for_elsewhere.vm2, post, site):
        raise Waits("18")
    if mail_for_elsewhere.unlogged:
        raise mail_for_elsewhere.unlogged
    arrived = mail_for_elsewhere.vm3
    if arrived is None:
        sent = mail_for_elsewhere.vm2
        raise CheckFailed(f"the log of vm2 has {post.fate(vm2, sent)}", "vm3 accepts it", by=post.erred(vm2, sent))
    saw = f"the log of vm3 has the message to {ELSEWHERE} from client={arrived.client}"
    evidence(f"[{vm2.address}]" in arrived.client, saw, f"[{vm2.address}]")


@step("20", machine="vm3")
def test_vm3_refuses_strangers(stranger_asks_vm3: str, vm3: Machine, evidence: Evidence) -> None:
    refused = not stranger_asks_vm3.startswith("2")
    decides = "" if refused else set_there(vm3, DECIDING)
    saw = f"vm3 answers {OUTSIDE}, outside the network: {stranger_asks_vm3}{decides}"
    evidence(refused, saw, "454 or 554, or silence")


def _is_used(table: Closed, machine: Machine) -> bool:
    """Whether Postfix would ask it: for credentials only where it is told to log in (postconf(5), smtp_sasl_auth_enable)."""
    return "smtp_sasl_" not in table.parameter or postconf(machine, "smtp_sasl_auth_enable").value.lower() == "yes"
