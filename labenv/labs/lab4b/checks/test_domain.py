"""Investigation 2, "Setup your MTA to use correct domain": origin, destination, MX."""

import re

from labenv.checks.evidence import CheckFailed, Evidence
from labenv.checks.machine import Machine
from labenv.checks.maillog import Hop
from labenv.checks.plugin import step
from labenv.checks.settings import postconf, words
from labenv.labs.lab4b.checks import common
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
def test_zone_file_has_the_mx(host: Machine, domain: str, student: Student, evidence: Evidence) -> None:
    path, serial, exchangers = _zone_file(host, domain)
    evidence(exchangers, f"{path} (serial {serial}) has {_shown(exchangers)}", f"an MX record for vm3.{domain}.")
    _names_vm3(exchangers, domain, path, evidence)
    usual = f"/var/named/mydb-for-{student.id}-ops"
    if path != usual:
        evidence.doubt(f"the zone's file is {path}", f"{usual}, where the marker looks")


@step("13", machine="host")
def test_named_serves_the_file(host: Machine, domain: str, evidence: Evidence) -> None:
    common.service(host, "named", evidence)
    _, serial, exchangers = _zone_file(host, domain)
    soa = host.output("dig @%s +short SOA %s", host.address, domain).split()
    served = _sorted(host.output("dig @%s +short MX %s", host.address, domain))
    saw = f"named answers with serial {soa[2] if len(soa) > 2 else 'none'} and {_shown(served)}"
    evidence(soa[2:3] == [serial] and served and served == exchangers, saw, f"serial {serial} and the file's MX record")


@step("14", machine="vm2")
def test_dns_names_vm3(vm2: Machine, vm3: Machine, domain: str, evidence: Evidence) -> None:
    answer = vm2.output("dig +time=2 +tries=1 MX %s", domain)
    status = (re.search(r"status: (\w+)", answer) or ["", "no answer"])[1]
    flags = (re.search(r"flags: ([a-z ]+);", answer) or ["", ""])[1].split()
    evidence(
        status == "NOERROR" and "aa" in flags, f"dig on vm2 gets {status}, flags {' '.join(flags)}", "NOERROR with aa"
    )
    exchangers = _sorted("\n".join(re.findall(r"\sIN\s+MX\s+(.+)", answer)))
    evidence(exchangers, f"the DNS has {_shown(exchangers)} for {domain}", f"an MX record for vm3.{domain}.")
    _names_vm3(exchangers, domain, "the DNS", evidence)
    address = vm2.output("dig +short +time=2 +tries=1 A %s", f"vm3.{domain}")
    evidence(address == vm3.address, f"vm3.{domain} has the address {address or 'none'}", vm3.address)


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


def _zone_file(host: Machine, domain: str) -> tuple[str, str, list[str]]:
    """The file of the forward zone, its serial, and its MX records as "10 vm3.asmith15.ops."."""
    config = host.output("named-checkconf -p /etc/named.conf")
    zone = re.search(rf'zone "{re.escape(domain)}\.?"[^{{]*\{{(.*?)\n\}};', config, re.DOTALL)
    file = re.search(r'file "([^"]+)"', zone[1]) if zone else None
    if file is None:
        raise CheckFailed(f"/etc/named.conf on host has no zone {domain} with a file (expected: the forward zone)")
    directory = re.search(r'directory "([^"]+)"', config)
    path = file[1] if file[1].startswith("/") else f"{directory[1].rstrip('/') if directory else ''}/{file[1]}"
    dumped = host.run("named-checkzone -D %s %s", domain, path)
    if dumped.rc:
        complaints = [line for line in (dumped.stderr + dumped.stdout).splitlines() if path in line or "error" in line]
        raise CheckFailed(f"named-checkzone refuses {path}: {(complaints or ['it says nothing'])[0]} (expected: OK)")
    serial = re.search(r"\sSOA\s+\S+\s+\S+\s+(\d+)", dumped.stdout)
    records = re.findall(rf"^{re.escape(domain)}\.\s+\d+\s+IN\s+MX\s+(.+)", dumped.stdout, re.MULTILINE)
    return path, serial[1] if serial else "", _sorted("\n".join(records))


def _names_vm3(exchangers: list[str], domain: str, where: str, evidence: Evidence) -> None:
    """The preferred MX is vm3, whatever the preference."""
    best = exchangers[0].split()[-1] if exchangers else "nobody"
    evidence(best == f"vm3.{domain}.", f"{where} sends the mail of {domain} to {best}", f"vm3.{domain}.")


def _sorted(records: str) -> list[str]:
    lines = [" ".join(line.split()) for line in records.splitlines() if re.match(r"\d+\s+\S+", line.strip())]
    return sorted(lines, key=lambda record: int(record.split()[0]))


def _shown(exchangers: list[str]) -> str:
    return "MX " + ", MX ".join(exchangers) if exchangers else "no MX record"
