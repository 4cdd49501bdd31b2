"""Investigation 2, the webmail's own connections to both mail servers."""

import re

import pytest

from labenv.checks import units
from labenv.checks.evidence import CheckFailed, Evidence, Waits
from labenv.checks.machine import Machine
from labenv.checks.plugin import step
from labenv.labs.lab7.checks.common import IMAPS, SERVICES, SMTP
from labenv.labs.lab7.checks.probes import Correspondence, Wire
from labenv.mail.post import Post
from labenv.www.roundcube import Settings

_UNTRUSTED = re.compile(r"STARTTLS failed|certificate verify|Unknown reason")


@step("15", machine="vm1")
def test_settings_say_tls(settings: Settings, vm2: Machine, vm3: Machine, evidence: Evidence) -> None:
    if settings.complaint:
        raise CheckFailed(f"Roundcube cannot read its settings: {settings.complaint}", "settings that it can read")
    for name, machine, scheme, port in (("imap_host", vm3, "ssl", IMAPS), ("smtp_host", vm2, "tls", SMTP)):
        value = settings.text(name)
        parts = re.fullmatch(r"(?:(\w+)://)?([^:/]+)(?::(\d+))?", value.lower())
        usual = {"imap_host": IMAPS, "smtp_host": 587}[name]
        right = (
            parts
            and (parts[1], int(parts[3] or usual)) == (scheme, port)
            and parts[2] in (machine.fqdn, machine.address)
        )
        evidence(right, f"{name} is {value}", f"{scheme}://{machine.fqdn}:{port}")
    if old := settings.values.get("old"):
        evidence.doubt(f"config.inc.php has {', '.join(map(str, old))}", "the names of Roundcube 1.6")


@step("15", machine="vm1")
def test_certificates_are_accepted(wire: Wire, evidence: Evidence) -> None:
    letter = wire.letter
    trouble = letter.said if (letter.refused or letter.unsent) and _UNTRUSTED.search(letter.said) else ""
    evidence(not trouble, f"Roundcube has logged: {trouble or 'no trouble with TLS'}", "it takes both certificates")
    if not letter.login or letter.unsent:
        why = letter.failed.saw if letter.failed else letter.refused or letter.unsent or "vm3 has no login from vm1"
        pytest.skip(f"a message is neither written nor read in the webmail, so not both were asked for: {why}")
    evidence("TLS" in letter.login, f"the log of vm3 has {letter.login}", "a login with TLS")


@step("16", machine="vm1")
def test_installer_is_off(settings: Settings, evidence: Evidence) -> None:
    if settings.complaint:
        raise Waits("15")
    on = settings.values.get("enable_installer")
    if on:
        evidence.doubt("enable_installer is true, so everybody can open the installer", "false, or no such line")
    evidence(True, f"the installer is {'on' if on else 'off'}", "off when it is not needed")


@step("17", machine="host")
def test_webmail_reads_over_tls(wire: Wire, vm1: Machine, evidence: Evidence) -> None:
    letter = _written(wire, vm1)
    secure = "TLS" in letter.login
    evidence(
        secure, f"the log of vm3 has {letter.login or 'no login from vm1'}", f"a login from {vm1.address} with TLS"
    )


@step("17", machine="host")
def test_webmail_sends_over_tls(
    wire: Wire, vm1: Machine, vm2: Machine, vm3: Machine, post: Post, evidence: Evidence
) -> None:
    letter = _written(wire, vm1)
    said = f"; Roundcube logged: {letter.said}" if letter.unsent and letter.said else ""
    evidence(not letter.unsent, f"a message is written: {letter.unsent or 'it is sent'}{said}", "it is sent", by="vm2")
    saw = f"the log of vm2 has {letter.tls or 'no line about TLS with vm1'}"
    evidence(letter.tls, saw, f"TLS connection established from {vm1.address}")
    for machine, hop in ((vm2, letter.vm2), (vm3, letter.vm3)):
        arrived = hop and any(delivery.status == "sent" for delivery in hop.deliveries)
        fate = post.fate(machine, hop) if hop else "nothing"
        evidence(arrived, f"the log of {machine.name} has {fate}", "status=sent", by=machine.name)
    evidence(
        letter.listed, f"the webmail {'lists' if letter.listed else 'does not list'} it in the inbox", "it lists it"
    )


def _written(wire: Wire, vm1: Machine) -> Correspondence:
    """What was written in the webmail. Raises CheckFailed, with the page's words, if nobody got in, Waits if there is no web server."""
    letter = wire.letter
    if units.look(vm1, SERVICES["vm1"])["httpd"].active != "active":
        raise Waits("20")
    if letter.failed:
        raise letter.failed
    if letter.refused:
        said = f"; Roundcube logged: {letter.said}" if letter.said else ""
        raise CheckFailed(f"the login to the webmail fails: {letter.refused}{said}", "the mailbox opens", by="vm3")
    return letter
