"""Where the sheet starts, Lab 4a complete, and what stays true throughout (the sheet's warning and its error box)."""

from labenv.checks import services
from labenv.checks.evidence import CheckFailed, Evidence, Waits
from labenv.checks.firewall import who_drops
from labenv.checks.machine import QUICK, Machine, Site
from labenv.checks.plugin import step
from labenv.dns.asking import Lookup
from labenv.labs.lab4b.checks import common, dns
from labenv.mail import servers
from labenv.mail.settings import expect, postconf, words

MAIL_MACHINES = ("vm2", "vm3")


@step("0", machine=MAIL_MACHINES)
def test_postfix_runs(machine: Machine, evidence: Evidence) -> None:
    common.service(machine, "postfix", evidence)


@step("0", machine=MAIL_MACHINES)
def test_postfix_serves_the_network(machine: Machine, domain: str, evidence: Evidence) -> None:
    interfaces = postconf(machine, "inet_interfaces")
    served = {"all", "0.0.0.0", machine.address, machine.fqdn} & set(words(interfaces.value.lower()))
    expect(interfaces, served, "all", evidence)
    if served != {"all"}:
        evidence.doubt(str(interfaces), "all, as in Lab 4a")
    for name, wanted in (("mydomain", domain), ("myhostname", machine.fqdn)):
        setting = postconf(machine, name)
        expect(setting, setting.value.lower() == wanted, wanted, evidence)
    servers.on_every_interface(machine, 25, evidence)


@step("0", machine=MAIL_MACHINES)
def test_names_are_found(
    machine: Machine, names: dict[str, list[Lookup]], site: Site, domain: str, evidence: Evidence
) -> None:
    servers = ", ".join(machine.output("sed -n 's/^nameserver *//p' /etc/resolv.conf").split()) or "no server"
    for lookup in names[machine.name]:
        lost = ""
        if not lookup.found:
            _dns_itself(site, lookup)
            lost = _lost(machine, site["host"], lookup) or _why(machine, lookup)
        saw = f"{machine.name} asks {servers} for {lookup.name}: {lookup.words}{lost}"
        evidence(lookup.found, saw, lookup.wanted, by="" if lost else "host")
    _dns_alone_knows(machine, domain, evidence)


@step("0", machine="vm2")
def test_vm2_greets_host(banner_of_vm2: str, domain: str, evidence: Evidence) -> None:
    evidence(banner_of_vm2.startswith("220 "), f"vm2 greets host with '{banner_of_vm2}'", "220")


@step("47", machine="vm3")
def test_full_name(vm3: Machine, domain: str, evidence: Evidence) -> None:
    for option, wanted in (("-f", f"vm3.{domain}"), ("-d", domain)):
        name = vm3.output(f"{QUICK} hostname {option}")
        evidence(name == wanted, f"`hostname {option}` on vm3 says {name or 'nothing'}", wanted)
    last = "grep -E 'Invalid settings|saved mail to' /var/log/maillog | tail -n 1 | grep 'Invalid settings'"
    complaint = vm3.run(last).stdout.strip()  # what was delivered after it shows that it is over
    if complaint:
        evidence.doubt(f"the mail log of vm3 has the line {complaint}", "no such line since the name is right")


def _lost(machine: Machine, host: Machine, lookup: Lookup) -> str:
    """Which firewall a question or its answer is lost in, if nothing came back."""
    if "no servers could be reached" not in lookup.words and "timed out" not in lookup.words:
        return ""
    return who_drops(machine, host, lambda: machine.run("dig +tries=1 +time=1 %s", lookup.name), 53)


def _why(machine: Machine, lookup: Lookup) -> str:
    """What keeps a name from being found that the server answers about: its own access list, or a name that nothing completes."""
    if "REFUSED" in lookup.words:
        return f"; named on host does not answer {machine.name}: see allow-query in /etc/named.conf"
    if (
        "not found" in lookup.words
        and "." not in lookup.name
        and machine.run("grep -qE '^(search|domain)[[:space:]]' /etc/resolv.conf").rc
    ):
        return f"; /etc/resolv.conf on {machine.name} has no line search, which completes short names"
    return ""


def _dns_itself(site: Site, lookup: Lookup) -> None:
    """If no name can be found because the zone does not load or named does not run, that is to be fixed first."""
    try:
        zone = dns.read_zone(site)
    except CheckFailed as error:
        raise Waits("12") from error
    host = site["host"]
    unloaded = "SERVFAIL" in lookup.words and not zone.served_serial
    if unloaded or not services.runs(host, "named") or not dns.is_reachable(host):
        raise Waits("13")


def _dns_alone_knows(machine: Machine, domain: str, evidence: Evidence) -> None:
    """No name of the domain is in /etc/hosts (Lab 3); a machine's own name there does no harm."""
    for line in machine.output("cat /etc/hosts").splitlines():
        names = line.partition("#")[0].lower().split()[1:]
        listed = [
            name for name in names if name == domain or name.removesuffix(f".{domain}") in ("host", "vm1", "vm2", "vm3")
        ]
        own = not set(listed) - {machine.name, machine.fqdn}
        evidence(own, f"/etc/hosts on {machine.name} has the line '{line}'", "only the DNS names the machines")
        if listed:
            evidence.doubt(f"/etc/hosts on {machine.name} has the line '{line}'", "only the DNS names the machines")
