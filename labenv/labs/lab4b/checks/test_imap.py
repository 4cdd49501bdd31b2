"""Investigation 3, "Accessing received mail messages on vm3 via IMAP"."""

from labenv.checks.evidence import Evidence
from labenv.checks.machine import Machine
from labenv.checks.plugin import step
from labenv.checks.settings import doveconf, set_in_file, words
from labenv.labs.lab4b.checks import common
from labenv.labs.lab4b.checks.probes import OUTSIDE, Inbox, Reach
from labenv.student import Student


@step("28", machine="vm3")
def test_only_imap_is_served(vm3: Machine, evidence: Evidence) -> None:
    protocols = doveconf(vm3, "protocols", "dovecot.conf")
    evidence(words(protocols.value) == ["imap"], f"protocols is {protocols.value or 'empty'}", "imap")
    served = common.listening(vm3, 143)
    evidence(served, f"port 143 of vm3 listens on {', '.join(sorted(served)) or 'no address'}", "IMAP is served")
    others = [port for port in (24, 110, 995) if common.listening(vm3, port)]
    shown = ", ".join(map(str, others)) or "neither 24, 110 nor 995"
    evidence(not others, f"of other mail protocols, vm3 listens on {shown}", "no POP3, no LMTP")
    set_in_file(protocols, evidence)


@step("29", machine="vm3")
def test_dovecot_runs(vm3: Machine, evidence: Evidence) -> None:
    common.service(vm3, "dovecot", evidence)


@step("30", machine="vm3")
def test_imap_listens(vm3: Machine, inbox: Inbox, domain: str, evidence: Evidence) -> None:
    common.on_every_interface(vm3, 143, evidence)
    evidence(inbox.greeting, f"vm3.{domain} port 143 greets host with '{inbox.greeting}'", "a greeting")


@step("31", machine="vm3")
def test_firewall_lets_the_network_in(
    inbox: Inbox, imap_from_vm2: Reach, imap_from_outside: Reach, evidence: Evidence
) -> None:
    evidence(inbox.greeting, f"host to vm3 port 143: greeted with '{inbox.greeting}'", "a greeting")
    evidence(imap_from_vm2.made, f"vm2 to vm3 port 143: {imap_from_vm2.words}", "a connection")
    saw = f"{OUTSIDE}, outside the network, to vm3 port 143: {imap_from_outside.words}"
    evidence(not imap_from_outside.made, saw, "no connection")


@step("31", machine="vm3")
def test_firewall_is_saved(vm3: Machine, vm2: Machine, host: Machine, evidence: Evidence) -> None:
    common.rules_load(vm3, evidence)
    for name, source, wanted in (("host", host.address, True), ("vm2", vm2.address, True), (OUTSIDE, OUTSIDE, False)):
        verdict = common.let_in_at_boot(vm3, source, 143)
        saw = f"at boot vm3 would {verdict} port 143 from {name}"
        evidence((verdict == "ACCEPT") == wanted, saw, "ACCEPT" if wanted else "DROP or REJECT")


@step("33", machine="vm3")
def test_plain_passwords_are_allowed(vm3: Machine, evidence: Evidence) -> None:
    setting = doveconf(vm3, "disable_plaintext_auth", "conf.d/10-auth.conf")
    evidence(setting.value == "no", f"disable_plaintext_auth is {setting.value}", "no")
    set_in_file(setting, evidence)


@step("34", machine="vm3")
def test_tls_is_not_required(vm3: Machine, evidence: Evidence) -> None:
    setting = doveconf(vm3, "ssl", "conf.d/10-ssl.conf")
    evidence(setting.value == "yes", f"ssl is {setting.value}", "yes")
    set_in_file(setting, evidence)


@step("35", machine="vm3")
def test_login_without_tls(inbox: Inbox, student: Student, evidence: Evidence) -> None:
    open_door = "LOGINDISABLED" not in inbox.greeting and "AUTH=PLAIN" in inbox.greeting
    evidence(open_door, f"vm3 greets host with '{inbox.greeting}'", "AUTH=PLAIN and no LOGINDISABLED")
    evidence(inbox.login == "OK", f"the login of {student.id} from host is answered {inbox.login}", "OK")
