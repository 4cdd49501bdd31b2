"""Investigation 1, "Encrypting Postfix with TLS", and sending over it."""

import pytest

from labenv.checks.evidence import CheckFailed, Evidence, Waits
from labenv.checks.machine import Machine
from labenv.checks.plugin import step
from labenv.checks.restarts import not_restarted
from labenv.labs.lab7.checks import keys
from labenv.labs.lab7.checks.common import MAIL_LOG, last_line
from labenv.labs.lab7.checks.probes import Sent
from labenv.mail import logs
from labenv.mail.post import Post
from labenv.mail.restarts import POSTFIX
from labenv.mail.settings import expect, postconf

_COMPLAINT = "postfix/smtpd\\[[0-9]+\\]: (warning|fatal): (cannot |.*disabling TLS)"


@step("2", machine="vm2")
def test_vm2_speaks_tls(sent: Sent, vm2: Machine, evidence: Evidence) -> None:
    if not sent.certificate:
        why = last_line(vm2, MAIL_LOG, _COMPLAINT) if "not supported" not in sent.untold else _level(vm2)
        saw = f"host asks vm2 for TLS: {sent.untold}{why}{not_restarted(vm2, POSTFIX)}"
        raise CheckFailed(saw, "a handshake")
    pair = keys.of(vm2)
    if not pair.certificate:
        raise Waits("1")
    same = sent.certificate.fingerprint == pair.certificate.fingerprint
    saw = f"vm2 shows a certificate for {sent.certificate.name}, and {pair.path} is {'that' if same else 'another'} one"
    evidence(same, saw if same else saw + not_restarted(vm2, POSTFIX), "the one in the file")


@step("2", machine="vm2")
def test_plain_mail_is_taken(sent: Sent, plain_reply: str, vm2: Machine, evidence: Evidence) -> None:
    good = plain_reply.startswith("250")
    remark = "" if good else _level(vm2)
    evidence(good, f"vm2 answers vm3, which speaks no TLS: {plain_reply}{remark}", "250")
    evidence(sent.certificate, "vm2 takes all mail in plain text", "TLS for who asks for it")


@step("2", machine="vm2")
def test_tls_is_logged(vm2: Machine, evidence: Evidence) -> None:
    level = postconf(vm2, "smtpd_tls_loglevel")
    expect(level, level.value not in ("", "0"), "1", evidence)


@step("4", machine="host")
def test_a_client_has_sent(host: Machine, vm2: Machine, evidence: Evidence) -> None:
    spoken = f"TLS connection established from [^ ]*\\[{host.address.replace('.', '[.]')}\\]"
    found = vm2.once(f"grep -cE '{spoken}' {MAIL_LOG}").stdout.strip()
    if found in ("", "0"):
        pytest.skip("no mail client on host has sent over TLS yet")
    evidence(True, "a mail client on host has sent over TLS", "one")


@step("6", machine="host")
def test_message_arrives_over_tls(
    sent: Sent, host: Machine, vm2: Machine, vm3: Machine, post: Post, evidence: Evidence
) -> None:
    if not sent.certificate:
        raise Waits("2")
    evidence(not sent.unsent, f"vm2 answers host over TLS: {sent.unsent or 'it takes the message'}", "250", by="vm2")
    where = "" if sent.line else logs.postfix_elsewhere(vm2)
    saw = f"the log of vm2 has {sent.line or where or 'no line about TLS with host'}"
    evidence(sent.line, saw, f"TLS connection established from {host.address}")
    for machine, hop in ((vm2, sent.vm2), (vm3, sent.vm3)):
        arrived = hop and any(delivery.status == "sent" for delivery in hop.deliveries)
        fate = post.fate(machine, hop) if hop else "nothing"
        evidence(arrived, f"the log of {machine.name} has {fate}", "status=sent", by=machine.name)


def _level(vm2: Machine) -> str:
    """How Postfix has been told to offer TLS, as the end of a sentence."""
    names = ("smtpd_tls_security_level", "smtpd_use_tls", "smtpd_enforce_tls")
    return "".join(f"; {setting}" for name in names if (setting := postconf(vm2, name)).lines)
