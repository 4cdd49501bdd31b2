"""What both machines are judged by, vm2 in Investigation 2 and vm3 in Investigation 3."""

import re

from labenv.checks import doors
from labenv.checks.doors import Firewall, Reach
from labenv.checks.evidence import CheckFailed, Evidence, Waits
from labenv.checks.machine import Machine, Site
from labenv.labs.lab4a.checks import common
from labenv.labs.lab4a.checks.common import PORT
from labenv.mail.settings import Setting, expect, postconf, set_in_file, words

# The parameters that the sheet has a student write, and those that others copy.
_ONCE = ("inet_interfaces", "mydomain", "myorigin", "myhostname", "mydestination")


def has(machine: Machine, programs: tuple[str, ...], evidence: Evidence) -> None:
    """Each of the programs is installed."""
    there = machine.once("for program in mail nc postfix postconf; do command -v $program; done").stdout.split()
    names = {str(path).rpartition("/")[2] for path in there}
    missing = [name for name in programs if name not in names]
    saw = f"{machine.name} {'lacks' if missing else 'has'} the program {', '.join(missing or programs)}"
    evidence(not missing, saw, "it is installed")


def listens_for_all(machine: Machine, evidence: Evidence) -> None:
    """main.cf has it listen for the network."""
    setting = postconf(machine, "inet_interfaces")
    served = {"all", "0.0.0.0", machine.address, machine.fqdn} & set(words(setting.value.lower()))
    expect(setting, served, "all", evidence)
    if served != {"all"}:
        evidence.doubt(str(setting), "all, as in the sheet")
    set_in_file(setting, evidence)


def knows_its_domain(machine: Machine, domain: str, evidence: Evidence) -> None:
    """Its domain is the student's."""
    setting = _setting(machine, "mydomain")
    expect(setting, setting.value.lower() == domain, domain, evidence)
    set_in_file(setting, evidence)


def sends_as_itself(machine: Machine, evidence: Evidence) -> None:
    """What follows a bare user name is its full name."""
    setting = _setting(machine, "myorigin")
    value = setting.value
    if value.startswith("/"):  # a file with the name, as Debian has it (postconf(5), myorigin)
        value = machine.output("head -n 1 %s", value).strip()
    expect(setting, value.lower() == machine.fqdn, f"{machine.fqdn}, the value of $myhostname", evidence)
    set_in_file(setting, evidence)


def knows_its_name(machine: Machine, evidence: Evidence) -> None:
    """It calls itself by the machine's full name."""
    setting = _setting(machine, "myhostname")
    expect(setting, setting.value.lower() == machine.fqdn, machine.fqdn, evidence)


def sets_each_once(machine: Machine, evidence: Evidence) -> None:
    """No parameter of the sheet has two lines in force."""
    for name in _ONCE:
        count = len(_setting(machine, name).lines)
        evidence(count < 2, f"main.cf on {machine.name} sets {name} {count} times", "at most once")


def greets_as_itself(greeting: str, machine: Machine, to: str, evidence: Evidence) -> None:
    """The greeting has the machine's full name."""
    said = greeting.split()[:2]
    evidence(said == ["220", machine.fqdn], f"{machine.name} greets {to} with '{greeting}'", f"220 {machine.fqdn}")


def lets_smtp_in(reaches: dict[str, Reach], machine: Machine, evidence: Evidence) -> None:
    """The firewall lets the other machine in; better host as well, as a mail client will be there.

    That the other machine does not let it out itself is for the checks of greetings to say, if host gets in.
    """
    for start, found in reaches.items():
        saw = f"{start} tries port {PORT} of {machine.name}: {found.words}"
        kept_in = re.search(rf"; {start} (drops|rejects) it: ", found.words) and reaches["host"].let_in
        if start != "host" and not kept_in:
            evidence(found.let_in, saw, "the firewall lets it in")
        elif not found.let_in:
            evidence.doubt(saw, "the whole network is let in: in Lab 4b a mail client on host sends through it")


def rules_are_saved(
    found: Firewall, reaches: dict[str, Reach], machine: Machine, site: Site, evidence: Evidence
) -> None:
    """The saved rules are loaded at boot, let the other machine in, and stop everything else."""
    common.service(machine, "iptables", evidence)
    start = common.other(site, machine)
    doors.rules_load(site, machine, found, start.name, None, evidence)
    if found.same and reaches[start.name].let_in:
        evidence(True, f"the rules that are saved on {machine.name} are those in force", "they do the same")
        return
    packet = doors.packet(site, start.name, PORT)
    if found.same:
        found = doors.tried(site, machine.name, [packet])
    doors.stays_open(machine, found, packet, start.name, evidence)


def _setting(machine: Machine, name: str) -> Setting:
    """A parameter of main.cf; on vm2 it waits for the step about the first line that the sheet has changed, if Postfix cannot read that file."""
    try:
        return postconf(machine, name)
    except CheckFailed as error:
        if machine.name == "vm2":
            raise Waits("34") from error
        raise
