"""The key and the certificate that each machine is given (Investigation 1, both parts, and Investigation 2)."""

from datetime import UTC, datetime

from labenv.checks.evidence import Evidence
from labenv.checks.machine import Machine
from labenv.checks.plugin import step
from labenv.labs.lab7.checks import keys


def _key_opens(machine: Machine, evidence: Evidence) -> None:
    pair = keys.of(machine)
    where = f"{pair.key} on {machine.name}"
    evidence(
        not pair.flaw, f"{where} {pair.flaw or 'opens without a passphrase'}", "a private key without a passphrase"
    )
    if pair.certificate:
        belongs = "belongs" if pair.fits else "does not belong"
        evidence(pair.fits, f"{where} {belongs} to the certificate in {pair.path}", "they belong together")
    mode, _, owner = pair.mode.partition(" ")
    private = owner == "root" and mode[-1:] == "0" and mode[-2:-1] in ("0", "4")
    evidence(private, f"{where} has the mode {mode} and belongs to {owner}", "0600, root's")


def _certificate_names(machine: Machine, evidence: Evidence) -> None:
    pair, now = keys.of(machine), datetime.now(UTC)
    where = f"{pair.path} on {machine.name}"
    evidence(pair.certificate, f"{where} {pair.complaint or 'has a certificate'}", "a certificate")
    assert pair.certificate  # else the line above has raised
    is_for = pair.certificate.name.lower() == machine.fqdn or pair.certificate.is_for(machine.fqdn)
    evidence(is_for, f"{where} is for {pair.certificate.name or 'nobody'}", machine.fqdn)
    begins, ends = (f"{time:%Y-%m-%d}" for time in (pair.certificate.begins, pair.certificate.ends))
    evidence(pair.certificate.is_valid(now), f"{where} is valid from {begins} to {ends}", "today among these days")
    if pair.authority is None:
        evidence.doubt(f"there is no {keys.AUTHORITY} on {machine.name}", "the sheet makes an authority, too")
    elif not pair.authority:
        evidence.doubt(f"{keys.AUTHORITY} on {machine.name} is no certificate of an authority", "CA:TRUE in it")


@step("1", machine="vm2")
def test_key_of_vm2_opens(vm2: Machine, evidence: Evidence) -> None:
    _key_opens(vm2, evidence)


@step("1", machine="vm2")
def test_certificate_names_vm2(vm2: Machine, evidence: Evidence) -> None:
    _certificate_names(vm2, evidence)


@step("8", machine="vm3")
def test_key_of_vm3_opens(vm3: Machine, evidence: Evidence) -> None:
    _key_opens(vm3, evidence)


@step("8", machine="vm3")
def test_certificate_names_vm3(vm3: Machine, evidence: Evidence) -> None:
    _certificate_names(vm3, evidence)


@step("18", machine="vm1")
def test_key_of_vm1_opens(vm1: Machine, evidence: Evidence) -> None:
    _key_opens(vm1, evidence)


@step("18", machine="vm1")
def test_certificate_names_vm1(vm1: Machine, evidence: Evidence) -> None:
    _certificate_names(vm1, evidence)
