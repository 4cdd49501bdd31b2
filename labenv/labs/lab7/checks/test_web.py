"""Investigation 2, the webmail over https."""

from labenv.checks import doors, services, units
from labenv.checks.doors import OUTSIDE, Firewall, Reach
from labenv.checks.evidence import CheckFailed, Evidence, Waits
from labenv.checks.firewall import who_drops_connection
from labenv.checks.machine import Machine, Site
from labenv.checks.plugin import step
from labenv.checks.restarts import not_restarted
from labenv.labs.lab7.checks import keys, state
from labenv.labs.lab7.checks.common import HTTPS, SERVICES, WEB_LOG, last_line
from labenv.labs.lab7.checks.probes import Wire, packets_of
from labenv.www.certificates import Certificate
from labenv.www.pages import Answer
from labenv.www.restarts import HTTPD

_OK = 200
_COMPLAINT = "AH0[0-9]{4}: .*|SSL Library Error.*"


@step("19", machine="vm1")
def test_mod_ssl_is_loaded(vm1: Machine, evidence: Evidence) -> None:
    there = state.of(vm1)
    evidence(there.is_configured or there.is_loaded, "httpd on vm1 has no ssl_module", "mod_ssl is installed")
    if units.look(vm1, SERVICES["vm1"])["httpd"].active != "active":  # a later step is about that
        evidence(True, "httpd on vm1 has ssl_module in its files, and does not run", "it has it")
        return
    saw = f"the web server that runs on vm1 {'has' if there.is_loaded else 'does not have'} ssl_module"
    evidence(there.is_loaded, saw if there.is_loaded else saw + not_restarted(vm1, HTTPD), "it has it")


@step("20", machine="vm1")
def test_web_server_runs(vm1: Machine, evidence: Evidence) -> None:
    syntax = state.of(vm1).syntax
    evidence("Syntax OK" in syntax, f"httpd -t on vm1 says: {syntax}", "Syntax OK")
    unit = units.look(vm1, SERVICES["vm1"])["httpd"]
    if unit.active != "active":
        why = last_line(vm1, WEB_LOG, _COMPLAINT)
        raise CheckFailed(f"httpd on vm1 is {unit.active or 'not there'}{why}", "active")
    services.runs_and_starts(vm1, "httpd", evidence, among=SERVICES["vm1"])
    if not state.of(vm1).is_loaded:
        raise Waits("19")


@step("20", machine="vm1")
def test_vm1_shows_its_certificate(
    https_certificate: Certificate | CheckFailed, vm1: Machine, evidence: Evidence
) -> None:
    if isinstance(https_certificate, CheckFailed):
        why = last_line(vm1, WEB_LOG, _COMPLAINT) if state.of(vm1).is_loaded else ""
        raise CheckFailed(f"{https_certificate.saw}{why}", "a handshake")
    pair = keys.of(vm1)
    if not pair.certificate:
        raise Waits("18")
    same = https_certificate.fingerprint == pair.certificate.fingerprint
    saw = f"port {HTTPS} shows a certificate for {https_certificate.name or 'nobody'}, and {pair.path} is {'that' if same else 'another'} one"
    evidence(same, saw if same else saw + not_restarted(vm1, HTTPD), "the one in the file")


@step("20", machine="vm1")
def test_plain_pages_are_still_served(first_page: Answer | CheckFailed, vm1: Machine, evidence: Evidence) -> None:
    if isinstance(first_page, CheckFailed):
        raise first_page
    good = first_page.status == _OK or (first_page.location.startswith(f"https://{vm1.fqdn}"))
    remark = "; port 80 speaks TLS now, as SSLEngine is on for it" if "speaking plain HTTP" in first_page.text else ""
    evidence(good, f"host asks for http://{vm1.fqdn}/: {first_page}{remark}", "200")
    if not state.of(vm1).is_loaded:  # nothing could be in the way of port 80 yet
        raise Waits("19")


@step("21", machine="vm1")
def test_firewall_lets_https_in(https_from_host: Reach, host: Machine, vm1: Machine, evidence: Evidence) -> None:
    why = "" if https_from_host.let_in else who_drops_connection(host, vm1, HTTPS)
    evidence(
        https_from_host.let_in, f"host to vm1 port {HTTPS}: {https_from_host.words}{why}", "the firewall allows it"
    )


@step("21", machine="vm1")
def test_rules_of_vm1_are_saved(
    firewall_of_vm1: Firewall, https_from_host: Reach, site: Site, vm1: Machine, evidence: Evidence
) -> None:
    services.runs_and_starts(vm1, "iptables", evidence, among=SERVICES["vm1"])
    found = firewall_of_vm1
    doors.rules_load(site, vm1, found, "host", OUTSIDE, evidence)
    if found.same and https_from_host.let_in:
        evidence(True, "the rules that are saved on vm1 are those in force", "they do the same")
        return
    if found.same:
        found = doors.tried(site, "vm1", packets_of(site, "vm1"))
    for packet in packets_of(site, "vm1"):
        doors.stays_open(vm1, found, packet, "host", evidence)


@step("22", machine="host")
def test_login_over_https(wire: Wire, vm1: Machine, evidence: Evidence) -> None:
    letter = wire.letter
    if letter.failed:  # without TLS, too
        raise Waits("17")
    saw = f"host asks for https://{vm1.fqdn}/webmail/: {letter.plain or 'a page'}"
    evidence(not letter.plain, saw, "a page over TLS")
    if letter.refused:
        raise Waits("17")
    evidence(True, f"the login over https://{vm1.fqdn}/webmail/ opens the mailbox", "the mailbox")


@step("23", machine="host")
def test_letter_written_over_https_arrives(wire: Wire, evidence: Evidence) -> None:
    letter = wire.letter
    if letter.plain or letter.refused or letter.failed:
        raise Waits("22")
    evidence(not letter.stuck, f"a message is written over https: {letter.stuck}", "it is sent, as over http")
    arrived = letter.vm3 and any(delivery.status == "sent" for delivery in letter.vm3.deliveries)
    if not arrived:
        raise Waits("17")
    evidence(arrived, "a message that was written over https has arrived on vm3", "it arrives")
