"""Investigation 3: Roundcube on vm1, its settings, and mail through it."""

import re

from labenv.checks.evidence import CheckFailed, Evidence, Waits
from labenv.checks.machine import Machine
from labenv.checks.plugin import step
from labenv.checks.restarts import not_restarted
from labenv.labs.lab6.checks import state
from labenv.labs.lab6.checks.probes import Correspondence
from labenv.mail.post import Post
from labenv.student import Student
from labenv.www.restarts import HTTPD
from labenv.www.roundcube import Settings

_MODULES = {"dom.so": "php-xml", "mbstring.so": "php-mbstring", "intl.so": "php-intl"}
_IMAP, _SMTP = 143, 25


@step("37", machine="vm1")
def test_roundcube_is_unpacked(vm1: Machine, evidence: Evidence) -> None:
    found = state.of(vm1)
    whole = len(found.webmail) == 2
    evidence(whole, f"{state.WEBMAIL} {'has' if whole else 'does not have'} the files of Roundcube", "all of them")
    saw = found.strange or f"each file of {state.WEBMAIL} has an owner"
    evidence(not found.strange, f"{saw}: nobody has that number" if found.strange else saw, "owners who exist")


@step("38", machine="vm1")
def test_folders_are_writable(vm1: Machine, evidence: Evidence) -> None:
    closed = state.of(vm1).closed
    saw = f"{state.ACCOUNT} cannot write into {'; '.join(closed)}" if closed else f"{state.ACCOUNT} can write into both"
    evidence(not closed, saw, "temp and logs")


@step("40", machine="vm1")
def test_php_has_the_modules(vm1: Machine, evidence: Evidence) -> None:
    lacks = [package for name, package in _MODULES.items() if name not in state.of(vm1).libraries]
    saw = f"the web server that runs lacks {', '.join(lacks)}" if lacks else "the web server that runs has all modules"
    evidence(not lacks, saw + (not_restarted(vm1, HTTPD) if lacks else ""), ", ".join(_MODULES.values()))


@step("40", machine="vm1")
def test_tables_are_there(vm1: Machine, evidence: Evidence) -> None:
    name, lacks = state.of(vm1).best
    if not name:
        raise CheckFailed("no database on vm1 has a table of Roundcube's", "one with all tables")
    saw = (
        f"the database {name} lacks {', '.join(sorted(lacks)[:3])}" if lacks else f"the database {name} has all tables"
    )
    evidence(not lacks, saw, f"all {len(state.of(vm1).tables)} tables")


@step("43", machine="vm1")
def test_settings_are_in_place(settings: Settings, evidence: Evidence) -> None:
    path = f"{state.WEBMAIL}/config/config.inc.php"
    good = not settings.complaint
    saw = (
        f"Roundcube reads {path}"
        if good
        else f"Roundcube says of its settings, as {state.ACCOUNT}: {settings.complaint}"
    )
    evidence(good, saw, "it reads them")
    if settings.values.get("enable_installer"):
        evidence.doubt("enable_installer is true, so everybody can open the installer", "false, or no such line")


@step("43", machine="vm1")
def test_servers_are_ours(settings: Settings, vm2: Machine, vm3: Machine, evidence: Evidence) -> None:
    if settings.complaint:
        raise CheckFailed("Roundcube reads no settings, so it knows no servers", "its settings")
    for name, machine, port, usual in (("imap_host", vm3, _IMAP, _IMAP), ("smtp_host", vm2, _SMTP, 587)):
        value = settings.text(name)
        server, _, number = value.removeprefix("tcp://").partition(":")
        right = server.lower() in (machine.fqdn, machine.address) and (number or str(usual)) == str(port)
        remark = f"; without a port it is {usual}" if not number and usual != port else ""
        evidence(right, f"{name} is {value}{remark}", f"{machine.fqdn}:{port}")
    if old := settings.values.get("old"):
        evidence.doubt(f"config.inc.php has {', '.join(map(str, old))}", "the names of Roundcube 1.6")


@step("44", machine="vm1")
def test_database_opens(settings: Settings, vm1: Machine, evidence: Evidence) -> None:
    _readable(settings)
    if settings.refusal:
        raise CheckFailed(f"with db_dsnw, the database answers: {settings.refusal}", "a connection")
    lacks = state.of(vm1).tables - set(settings.tables)
    saw = f"db_dsnw leads to a database with {len(settings.tables)} tables"
    evidence(not lacks, f"{saw}, without {', '.join(sorted(lacks)[:3])}" if lacks else saw, "Roundcube's")


@step("48", machine="vm1")
def test_no_login_to_send(settings: Settings, evidence: Evidence) -> None:
    _readable(settings)
    for name in ("smtp_user", "smtp_pass"):
        value = settings.values.get(name)
        evidence(value == "", f"{name} is {settings.text(name)!r}", "'', so that no login is tried")


@step("49", machine="host")
def test_login_works(correspondence: Correspondence, vm1: Machine, student: Student, evidence: Evidence) -> None:
    found = correspondence
    if found.failed and not found.login:
        raise found.failed
    said = f"; Roundcube logged: {found.said}" if found.refused and found.said else ""
    remark = "; checks log in with the lab's password" if found.refused.startswith("Login failed") else ""
    saw = f"{student.id} logs in to http://{vm1.fqdn}/webmail/: {found.refused or 'the mailbox opens'}{remark}{said}"
    evidence(not found.refused, saw, "the mailbox opens", by="vm3")
    evidence(found.login, f"the log of vm3 has {found.login or 'no login from vm1'}", f"a login from {vm1.address}")


@step("50", machine="host")
def test_message_goes_round(
    correspondence: Correspondence, vm2: Machine, vm3: Machine, post: Post, evidence: Evidence
) -> None:
    found = correspondence
    if found.refused:
        raise Waits("49")
    if found.failed:
        raise found.failed
    said = f"; Roundcube logged: {found.said}" if found.unsent and found.said else ""
    evidence(not found.unsent, f"a message is written: {found.unsent or 'it is sent'}{said}", "it is sent", by="vm2")
    for machine, hop in ((vm2, found.vm2), (vm3, found.vm3)):
        arrived = hop and any(delivery.status == "sent" for delivery in hop.deliveries)
        fate = post.fate(machine, hop) if hop else "nothing"
        evidence(arrived, f"the log of {machine.name} has {fate}", "status=sent", by=machine.name)
    evidence(found.listed, f"the webmail {'lists' if found.listed else 'does not list'} it in the inbox", "it lists it")


@step("51", machine="vm1")
def test_sender_has_the_domain(correspondence: Correspondence, student: Student, evidence: Evidence) -> None:
    if not correspondence.sender:
        raise Waits("50")
    match = re.search(r"[^<>\s]+@[^<>\s]+", correspondence.sender)
    address = match[0] if match else correspondence.sender
    wanted = f"{student.id}@{student.domain}"
    evidence(address.lower() == wanted, f"a message of the webmail is from {address}", wanted)


def _readable(settings: Settings) -> None:
    """Raises Waits if there are no settings that Roundcube can read."""
    if settings.complaint:
        raise Waits("43")
