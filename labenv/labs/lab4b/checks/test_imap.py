"""Investigation 3, "Accessing received mail messages on vm3 via IMAP"."""

import ipaddress

from labenv.checks import firewall, services
from labenv.checks.doors import OUTSIDE, Firewall, Reach, accepted, latecomer, neighbour
from labenv.checks.evidence import CheckFailed, Evidence
from labenv.checks.machine import Machine, Site
from labenv.checks.plugin import step
from labenv.checks.restarts import not_restarted
from labenv.labs.lab4b.checks import common, doors
from labenv.labs.lab4b.checks.probes import Inbox
from labenv.mail import servers
from labenv.mail.restarts import DOVECOT
from labenv.mail.sessions import ASTRAY, ENDS_THERE
from labenv.mail.settings import Dovecot, expect, set_in_file, words
from labenv.student import Student


@step("28", machine="vm3")
def test_only_imap_is_served(dovecot: Dovecot, vm3: Machine, evidence: Evidence) -> None:
    protocols = dovecot.setting("protocols", "dovecot.conf")
    expect(protocols, words(protocols.value) == ["imap"], "imap", evidence)
    others = [port for port in (24, 110, 995) if services.listening(vm3, port)]
    shown = ", ".join(map(str, others)) or "neither 24, 110 nor 995"
    remark = not_restarted(vm3, DOVECOT) if others else ""
    evidence(not others, f"of other mail protocols, vm3 listens on {shown}{remark}", "no POP3, no LMTP")
    set_in_file(protocols, evidence)


@step("29", machine="vm3")
def test_dovecot_runs(vm3: Machine, evidence: Evidence) -> None:
    common.service(vm3, "dovecot", evidence)


@step("30", machine="vm3")
def test_imap_listens(vm3: Machine, imap_from_host: Reach, evidence: Evidence) -> None:
    servers.on_every_interface(vm3, 143, evidence)
    evidence(imap_from_host.made, f"host to vm3 port 143: {imap_from_host.words}", "a connection")


@step("31", machine="vm3")
def test_firewall_lets_the_network_in(
    imap_from_host: Reach,
    imap_from_vm2: Reach,
    imap_from_others: dict[str, Reach],
    site: Site,
    host: Machine,
    vm3: Machine,
    student: Student,
    evidence: Evidence,
) -> None:
    for name, reach in (("host", imap_from_host), ("vm2", imap_from_vm2)):
        rule = "" if reach.let_in else firewall.who_drops_connection(site[name], vm3, 143)
        evidence(reach.let_in, f"{name} to vm3 port 143: {reach.words}{rule}", "the firewall allows it")
    for source in (OUTSIDE, neighbour(student)):
        stranger = imap_from_others[source]
        rule = accepted(host, vm3, 143, source) if stranger.let_in else ""
        saw = f"{source}, outside the network, to vm3 port 143: {stranger.words}{rule}"
        evidence(not stranger.let_in, saw, "no connection")
    late = latecomer(student)
    if imap_from_others[late].possible and not imap_from_others[late].let_in:
        evidence.doubt(*_narrow(f"vm3 does not let port 143 in from {late}", student))


@step("31", machine="vm3")
def test_firewall_is_saved(
    firewall_of_vm3: Firewall,
    imap_from_host: Reach,
    imap_from_vm2: Reach,
    imap_from_others: dict[str, Reach],
    site: Site,
    host: Machine,
    vm2: Machine,
    vm3: Machine,
    student: Student,
    evidence: Evidence,
) -> None:
    doors.rules_load(site, vm3, firewall_of_vm3, evidence)
    found = firewall_of_vm3
    if found.same:
        strangers = [imap_from_others[source] for source in (OUTSIDE, neighbour(student))]
        right = imap_from_host.let_in and imap_from_vm2.let_in and not any(reach.let_in for reach in strangers)
        if right:
            evidence(right, "the rules that are saved on vm3 are those in force", "they do the same")
            return
        found = doors.tried(site, "vm3")
    for name, source in (("host", host.address), ("vm2", vm2.address)):
        doors.stays_open(vm3, found, source, name, 143, evidence)
    for source in (OUTSIDE, neighbour(student)):
        if decision := found.decisions.get((source, 143, "tcp")):
            saw = f"at boot vm3 would {decision.of(f'port 143 from {source}, outside the network')}"
            evidence(not decision.let_in, saw, "it drops or rejects that")
    late = latecomer(student)
    if (decision := found.decisions.get((late, 143, "tcp"))) and not decision.let_in:
        evidence.doubt(*_narrow(f"at boot vm3 would {decision.of(f'port 143 from {late}')}", student))


@step("33", machine="vm3")
def test_plain_passwords_are_allowed(dovecot: Dovecot, student: Student, evidence: Evidence) -> None:
    setting = dovecot.setting("disable_plaintext_auth", "conf.d/10-auth.conf")
    trusted = dovecot.values.get("login_trusted_networks", "")
    # For clients in these networks Dovecot takes the connection for secure (login_trusted_networks in its documentation).
    if setting.value != "no" and any(_has(word, student.network) for word in words(trusted)):
        evidence.doubt(f"{setting}, but login_trusted_networks is {trusted}", "disable_plaintext_auth = no")
        return
    expect(setting, setting.value == "no", "no", evidence)
    set_in_file(setting, evidence)


@step("34", machine="vm3")
def test_tls_is_not_required(dovecot: Dovecot, evidence: Evidence) -> None:
    setting = dovecot.setting("ssl", "conf.d/10-ssl.conf")
    expect(setting, setting.value == "yes", "yes", evidence)
    set_in_file(setting, evidence)


@step("35", machine="vm3")
def test_login_without_tls(inbox: Inbox, vm3: Machine, student: Student, evidence: Evidence) -> None:
    if inbox.astray:
        raise CheckFailed(f"A connection from host to port 143 of vm3 {ASTRAY}", ENDS_THERE)
    open_door = "LOGINDISABLED" not in inbox.greeting and "AUTH=PLAIN" in inbox.greeting
    remark = "" if open_door else not_restarted(vm3, DOVECOT)
    evidence(open_door, f"vm3 greets host with '{inbox.greeting}'{remark}", "AUTH=PLAIN and no LOGINDISABLED")
    remark = "; checks log in with the lab's password" if "AUTHENTICATIONFAILED" in inbox.login else ""
    evidence(
        inbox.login == "OK",
        f"vm3 answers the login of {student.id} from host with {inbox.login}{remark}",
        "OK",
        by="vm3",
    )


def _narrow(saw: str, student: Student) -> tuple[str, str]:
    return saw, f"the sheet lets the whole network in, {student.network}"


def _has(word: str, lab: ipaddress.IPv4Network) -> bool:
    """Whether a network has the whole of the lab's."""
    try:
        return lab.subnet_of(ipaddress.IPv4Network(word, strict=False))
    except ValueError:
        return False
