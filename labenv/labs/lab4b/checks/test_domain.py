"""Investigation 2, "Setup your MTA to use correct domain": origin, destination, MX."""

from labenv.checks.evidence import Evidence
from labenv.checks.machine import Machine
from labenv.checks.maillog import Hop
from labenv.checks.plugin import step
from labenv.checks.settings import postconf, words
from labenv.labs.lab4b.checks import common
from labenv.labs.lab4b.checks.dns import Answer, Zone, shown
from labenv.labs.lab4b.checks.probes import Dialogue, Journey
from labenv.student import Student


@step("9", machine=("vm2", "vm3"))
def test_origin_is_the_domain(machine: Machine, domain: str, evidence: Evidence) -> None:
    origin = postconf(machine, "myorigin")
    evidence(origin.value == domain, f"myorigin on {machine.name} is {origin.value}", domain)
    count = len(origin.lines)
    evidence(count == 1, f"main.cf on {machine.name} sets myorigin {count} times", "once")


@step("10", machine="vm2")
def test_vm2_writes_as_the_domain(root_to_vm3: Hop, domain: str, evidence: Evidence) -> None:
    _from_the_domain(root_to_vm3, "vm3", "vm2", domain, evidence)


@step("10", machine="vm3")
def test_vm3_writes_as_the_domain(root_to_vm2: Hop, domain: str, evidence: Evidence) -> None:
    _from_the_domain(root_to_vm2, "vm2", "vm3", domain, evidence)


@step("11", machine="vm3")
def test_vm3_alone_is_the_destination(vm2: Machine, vm3: Machine, domain: str, evidence: Evidence) -> None:
    names = words(postconf(vm3, "mydestination").value)
    missing = [name for name in (domain, f"vm3.{domain}", "localhost") if name not in names]
    evidence(not missing, f"mydestination on vm3 is {', '.join(names)}", f"{domain}, vm3.{domain} and localhost in it")
    others = words(postconf(vm2, "mydestination").value)
    evidence(domain not in others, f"mydestination on vm2 is {', '.join(others)}", f"without {domain}")


@step("11b", machine="vm3")
def test_vm3_takes_mail_for_the_domain(vm2_asks_vm3: Dialogue, domain: str, evidence: Evidence) -> None:
    reply = vm2_asks_vm3.postmaster
    evidence(reply.startswith("250 "), f"vm3 answers RCPT for postmaster@{domain} with {reply}", "250")


@step("12", machine="host")
def test_zone_file_has_the_mx(zone: Zone, domain: str, student: Student, evidence: Evidence) -> None:
    evidence(
        zone.names_vm3(zone.in_file),
        f"{zone.path} (serial {zone.serial}) has {shown(zone.in_file)}",
        f"MX vm3.{domain}.",
    )
    usual = f"/var/named/mydb-for-{student.id}-ops"
    if zone.path != usual:
        evidence.doubt(f"the zone's file is {zone.path}", f"{usual}, where the marker looks")


@step("13", machine="host")
def test_named_serves_the_file(host: Machine, zone: Zone, evidence: Evidence) -> None:
    common.service(host, "named", evidence)
    saw = f"named answers with serial {zone.served_serial or 'none'} and {shown(zone.served)}"
    same = (zone.served_serial, zone.served) == (zone.serial, zone.in_file)
    evidence(same and zone.served, saw, f"serial {zone.serial} and an MX record, as in {zone.path}")


@step("14", machine="vm2")
def test_dns_names_vm3(answer_to_vm2: Answer, vm3: Machine, domain: str, evidence: Evidence) -> None:
    answer = answer_to_vm2
    good = answer.status == "NOERROR" and "aa" in answer.flags
    evidence(good, f"dig on vm2 gets {answer.status}, flags {' '.join(answer.flags) or 'none'}", "NOERROR with aa")
    best = answer.exchangers[0].split()[-1] if answer.exchangers else "nobody"
    evidence(best == f"vm3.{domain}.", f"the DNS has {shown(answer.exchangers)} for {domain}", f"MX vm3.{domain}.")
    evidence(answer.address == vm3.address, f"vm3.{domain} has the address {answer.address or 'none'}", vm3.address)


@step("15", machine="vm2")
def test_vm2_sends_to_vm3(mail_for_root: Journey, vm3: Machine, domain: str, evidence: Evidence) -> None:
    deliveries = [d for d in mail_for_root.vm2.deliveries if d.to == f"root@{domain}"]
    right = [d for d in deliveries if d.status == "sent" and d.relay == f"vm3.{domain}[{vm3.address}]:25"]
    evidence(
        right, f"the log of vm2 has {mail_for_root.vm2.fate}", f"relay=vm3.{domain}[{vm3.address}]:25, status=sent"
    )


@step("16", machine="vm3")
def test_mail_arrives_on_vm3(
    mail_for_user: Journey, vm3: Machine, student: Student, domain: str, evidence: Evidence
) -> None:
    recipient = f"{student.id}@{domain}"
    hop = mail_for_user.on_vm3()
    arrived = [delivery for delivery in hop.deliveries if delivery.to == recipient and delivery.status == "sent"]
    evidence(arrived, f"the log of vm3 has {hop.fate}", f"{recipient} delivered")
    found = vm3.run("grep -rlF --exclude='dovecot*' %s /var/mail /home 2>/dev/null", mail_for_user.id).stdout.split()
    evidence(found, f"the message is in {', '.join(found) or 'no mailbox'}", f"the mailbox of {student.id} on vm3")


def _from_the_domain(hop: Hop, receiver: str, sender: str, domain: str, evidence: Evidence) -> None:
    evidence(
        hop.sender == f"root@{domain}", f"{receiver} got root's mail of {sender} from <{hop.sender}>", f"root@{domain}"
    )
