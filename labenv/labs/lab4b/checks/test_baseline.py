"""Where the sheet starts, Lab 4a complete, and what stays true all along (the sheet's warning and its error box)."""

from labenv.checks.evidence import Evidence
from labenv.checks.machine import Machine
from labenv.checks.plugin import step
from labenv.checks.settings import postconf
from labenv.labs.lab4b.checks import common
from labenv.student import Student

MAIL_MACHINES = ("vm2", "vm3")


@step("0", machine=MAIL_MACHINES)
def test_postfix_runs(machine: Machine, evidence: Evidence) -> None:
    common.service(machine, "postfix", evidence)


@step("0", machine=MAIL_MACHINES)
def test_postfix_serves_the_network(machine: Machine, domain: str, evidence: Evidence) -> None:
    for name, wanted in (("inet_interfaces", "all"), ("mydomain", domain)):
        value = postconf(machine, name).value
        evidence(value == wanted, f"{name} on {machine.name} is {value}", wanted)
    common.on_every_interface(machine, 25, evidence)


@step("0", machine=MAIL_MACHINES)
def test_names_are_found(machine: Machine, student: Student, evidence: Evidence) -> None:
    for name in ("vm2", "vm3", f"{student.prefix}.4"):
        answer = machine.run("host %s", name)
        lines = answer.stdout.strip().splitlines() or ["no answer"]
        evidence(answer.rc == 0, f"{machine.name} asks for {name}: {lines[-1]}", "an answer")
    listed = machine.run("grep -nE '^[^#]*vm[0-9]' /etc/hosts | grep -vw %s", machine.fqdn).stdout.strip()
    if listed:
        evidence.doubt(f"/etc/hosts on {machine.name} has the line {listed}", "only the DNS names the machines")


@step("0", machine="vm2")
def test_vm2_greets_host(banner_of_vm2: str, domain: str, evidence: Evidence) -> None:
    evidence(banner_of_vm2.startswith("220 "), f"vm2 greets host with '{banner_of_vm2}'", "220")


@step("47", machine="vm3")
def test_full_name(vm3: Machine, domain: str, evidence: Evidence) -> None:
    for option, wanted in (("-f", f"vm3.{domain}"), ("-d", domain)):
        name = vm3.output(f"hostname {option}")
        evidence(name == wanted, f"`hostname {option}` on vm3 says {name or 'nothing'}", wanted)
    complaint = vm3.run("grep -m 1 'Invalid settings' /var/log/maillog").stdout.strip()
    if complaint:
        evidence.doubt(f"the mail log of vm3 has the line {complaint}", "none, from when the name was right")
