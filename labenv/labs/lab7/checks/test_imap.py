"""Investigation 1, "Encrypting Dovecot", and reading mail over TLS."""

import pytest

from labenv.checks import doors, services, units
from labenv.checks.doors import OUTSIDE, Firewall, Reach
from labenv.checks.evidence import CheckFailed, Evidence, Waits
from labenv.checks.firewall import who_drops_connection
from labenv.checks.machine import Machine, Site
from labenv.checks.plugin import step
from labenv.checks.restarts import not_restarted
from labenv.labs.lab7.checks import keys
from labenv.labs.lab7.checks.common import IMAP, IMAPS, MAIL_LOG, SERVICES, last_line
from labenv.labs.lab7.checks.probes import Wire, packets_of
from labenv.mail.restarts import DOVECOT
from labenv.mail.settings import Dovecot, expect, set_in_file
from labenv.student import Student
from labenv.www.certificates import Certificate

_COMPLAINT = "dovecot: (config|imap-login|master|log)[^ ]*: (Error|Fatal): "
_WANTED = {"ssl": ("required", "conf.d/10-ssl.conf"), "disable_plaintext_auth": ("yes", "conf.d/10-auth.conf")}


@step("9", machine="vm3")
def test_dovecot_requires_tls(dovecot: Dovecot, evidence: Evidence) -> None:
    for name, (wanted, file) in _WANTED.items():
        setting = dovecot.setting(name, file)
        expect(setting, setting.value == wanted, wanted, evidence)
        if name == "ssl":  # the other is so by default
            set_in_file(setting, evidence)


@step("9", machine="vm3")
def test_vm3_shows_its_certificate(
    dovecot: Dovecot, imaps_certificate: Certificate | CheckFailed, vm3: Machine, evidence: Evidence
) -> None:
    if dovecot.complaint:
        raise CheckFailed(f"Dovecot on vm3 cannot read its configuration: {dovecot.complaint}", "one without errors")
    if not services.listening(vm3, IMAPS) & {"0.0.0.0", vm3.address}:
        pytest.skip(f"nothing listens on port {IMAPS} of vm3, so nothing shows a certificate")  # step 12 is about that
    if isinstance(imaps_certificate, CheckFailed):
        remark = last_line(vm3, MAIL_LOG, _COMPLAINT) + not_restarted(vm3, DOVECOT)
        raise CheckFailed(f"{imaps_certificate.saw}{remark}", "a handshake")
    pair = keys.of(vm3)
    if not pair.certificate:
        raise Waits("8")
    same = imaps_certificate.fingerprint == pair.certificate.fingerprint
    saw = f"port {IMAPS} shows a certificate for {imaps_certificate.name or 'nobody'}, and {pair.path} is {'that' if same else 'another'} one"
    evidence(same, saw if same else saw + not_restarted(vm3, DOVECOT), "the one in the file")


@step("9", machine="vm3")
def test_no_password_can_be_read(wire: Wire, evidence: Evidence) -> None:
    if wire.unknown:
        evidence.doubt(f"what passes vm3 could not be looked at: {wire.unknown}", "labenv capture vm3")
        return
    who = " and ".join(f"{name} and vm3" for name in wire.readable)
    saw = f"the password can be read between {who}" if who else "the password cannot be read"
    if not who and isinstance(wire.session, CheckFailed):
        pytest.skip(f"nobody could use the password, so nothing shows that it cannot be read: {wire.session.saw}")
    evidence(not who, f"{saw}, in {wire.passed} bytes that passed vm3 while it was used", "nothing of it")


@step("10", machine="vm3")
def test_plain_imap_is_off(imap_from_host: Reach, vm3: Machine, evidence: Evidence) -> None:
    there = services.listening(vm3, IMAP)
    saw = f"port {IMAP} of vm3 listens on {', '.join(sorted(there)) or 'no address'}"
    evidence(not there, saw if not there else saw + not_restarted(vm3, DOVECOT), "none")
    evidence(not imap_from_host.made, f"host to vm3 port {IMAP}: {imap_from_host.words}", "no connection")


@step("12", machine="vm3")
def test_imaps_listens(dovecot: Dovecot, vm3: Machine, evidence: Evidence) -> None:
    if dovecot.complaint:
        raise Waits("9")
    if services.listening(vm3, IMAP):
        raise Waits("10")
    services.runs_and_starts(vm3, "dovecot", evidence, among=SERVICES["vm3"])
    there = services.listening(vm3, IMAPS)
    saw = f"port {IMAPS} of vm3 listens on {', '.join(sorted(there)) or 'no address'}"
    good = there & {"0.0.0.0", vm3.address}
    evidence(good, saw if good else saw + not_restarted(vm3, DOVECOT), "0.0.0.0, every interface")


@step("12b", machine="vm3")
def test_firewall_lets_imaps_in(
    imaps_from_host: Reach, imaps_from_vm1: Reach, site: Site, vm3: Machine, evidence: Evidence
) -> None:
    for name, reach in (("host", imaps_from_host), ("vm1", imaps_from_vm1)):
        why = "" if reach.let_in else who_drops_connection(site[name], vm3, IMAPS)
        evidence(reach.let_in, f"{name} to vm3 port {IMAPS}: {reach.words}{why}", "the firewall allows it")


@step("12b", machine="vm3")
def test_rules_of_vm3_are_saved(
    firewall_of_vm3: Firewall,
    imaps_from_host: Reach,
    imaps_from_vm1: Reach,
    site: Site,
    vm3: Machine,
    evidence: Evidence,
) -> None:
    services.runs_and_starts(vm3, "iptables", evidence, among=SERVICES["vm3"])
    found = firewall_of_vm3
    doors.rules_load(site, vm3, found, "host", OUTSIDE, evidence)
    if found.same and imaps_from_host.let_in and imaps_from_vm1.let_in:
        evidence(True, "the rules that are saved on vm3 are those in force", "they do the same")
        return
    if found.same:
        found = doors.tried(site, "vm3", packets_of(site, "vm3"))
    for name, packet in zip(("host", "vm1"), packets_of(site, "vm3"), strict=True):
        doors.stays_open(vm3, found, packet, name, evidence)


@step("13", machine="host")
def test_inbox_opens_over_tls(wire: Wire, host: Machine, vm3: Machine, student: Student, evidence: Evidence) -> None:
    if units.look(vm3, SERVICES["vm3"])["dovecot"].active != "active":
        raise Waits("12")
    session = wire.session
    if isinstance(session, CheckFailed):
        raise session
    remark = "; checks log in with the lab's password" if "AUTHENTICATIONFAILED" in session.login else ""
    evidence(
        session.login == "OK", f"vm3 answers the login of {student.id} with {session.login}{remark}", "OK", by="vm3"
    )
    opened = session.examined.startswith("OK")
    evidence(opened, f"vm3 answers EXAMINE INBOX with {session.examined}", "OK and a number of messages", by="vm3")
    secure = "TLS" in session.line
    evidence(secure, f"the log of vm3 has {session.line or 'no such login'}", f"a login from {host.address} with TLS")
