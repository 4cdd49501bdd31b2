"""Investigation 3, "Sending a mail message from vm2": from the client on host through vm2 to a new user on vm3."""

from email import message_from_string

import pytest

from labenv.checks.doors import Firewall
from labenv.checks.evidence import CheckFailed, Evidence
from labenv.checks.machine import Machine, Site
from labenv.checks.plugin import step
from labenv.labs.lab4b.checks import common, doors
from labenv.labs.lab4b.checks.probes import Dialogue, Journey
from labenv.labs.lab4b.checks.test_lda import agent_says, in_maildir, saved_by_dovecot
from labenv.mail import logs, servers
from labenv.mail.post import Post
from labenv.student import Student

# The probes that a machine greets, if its firewall lets them in.
_GREETINGS = {"vm2": ("banner_of_vm2",), "vm3": ("banner_of_vm3", "vm2_asks_vm3")}


@step("41", machine=("vm2", "vm3"))
def test_smtp_listens_and_stays_open(
    machine: Machine,
    firewall_of_vm2: Firewall,
    firewall_of_vm3: Firewall,
    site: Site,
    request: pytest.FixtureRequest,
    evidence: Evidence,
) -> None:
    servers.on_every_interface(machine, 25, evidence)
    found = {"vm2": firewall_of_vm2, "vm3": firewall_of_vm3}[machine.name]
    doors.rules_load(site, machine, found, evidence)
    if found.same and all(_greeted(request, probe) for probe in _GREETINGS[machine.name]):
        evidence(True, f"the rules that are saved on {machine.name} are those in force", "they do the same")
        return
    found = doors.tried(site, machine.name) if found.same else found
    for name in ("host", "vm3" if machine.name == "vm2" else "vm2"):
        doors.stays_open(machine, found, site[name].address, name, 25, evidence)


@step("41", machine="vm2")
def test_vm2_greets(banner_of_vm2: str, domain: str, evidence: Evidence) -> None:
    _greets("vm2", "host", banner_of_vm2, domain, evidence)


@step("41", machine="vm3")
def test_vm3_greets(banner_of_vm3: str, vm2_asks_vm3: Dialogue, domain: str, evidence: Evidence) -> None:
    _greets("vm3", "host", banner_of_vm3, domain, evidence)
    _greets("vm3", "vm2", vm2_asks_vm3.banner, domain, evidence)


@step("42", machine="vm3")
def test_first_has_an_account(vm3: Machine, student: Student, evidence: Evidence) -> None:
    first = common.first_name(vm3, student)
    entry = vm3.run("getent passwd %s", first).stdout.strip().split(":")
    has = len(entry) == 7
    saw = f"vm3 has the account {first}" if has else f"vm3 has no account with your first name, such as {first}"
    evidence(has, saw, "an account")
    evidence(int(entry[2]) >= 1000, f"{first} has the user id {entry[2]}", "1000 or more, as regular users have")
    owner = vm3.run("stat -c %%U %s", entry[5]).stdout.strip()
    evidence(owner == first, f"the home directory {entry[5]} {f'belongs to {owner}' if owner else 'is missing'}", first)


@step("42", machine="vm2")
def test_only_on_vm3(vm2: Machine, vm3: Machine, student: Student, evidence: Evidence) -> None:
    first = common.first_name(vm3, student)
    absent = vm2.run("getent passwd %s", first).rc == 2
    evidence(absent, f"vm2 has {'no' if absent else 'an'} account {first}", "none")


@step("43", machine="vm3")
def test_message_goes_all_the_way(
    mail_for_first: Journey,
    host: Machine,
    vm2: Machine,
    vm3: Machine,
    post: Post,
    student: Student,
    evidence: Evidence,
) -> None:
    first = common.first_name(vm3, student)
    arrived = any(delivery.status == "sent" for delivery in mail_for_first.on_vm3().deliveries)
    reason = "" if arrived else agent_says(post.log(vm3).read(), first)
    evidence(arrived, f"the logs have {mail_for_first.story}{reason}", "sent, on both", by="" if reason else "vm3")
    saved = saved_by_dovecot(post, vm3, mail_for_first)
    elsewhere = "" if saved else logs.dovecot_elsewhere(vm3)
    saw = elsewhere or f"Dovecot on vm3 logged {len(saved)} 'saved mail' lines of it"
    evidence(saved, saw, "saved mail to INBOX")
    filed = in_maildir(post, vm3, first, mail_for_first.id, evidence)
    received = message_from_string(filed.header).get_all("Received", [])
    way = [machine.name for line in received for machine in (host, vm2) if f"[{machine.address}]" in line]
    evidence(way == ["vm2", "host"], f"its Received lines name {' after '.join(way) or 'no machine'}", "vm2 after host")


def _greets(name: str, whom: str, banner: str, domain: str, evidence: Evidence) -> None:
    wanted = f"220 {name}.{domain} ESMTP"
    evidence(banner.lower().startswith(wanted.lower()), f"{name} greets {whom} with '{banner}'", f"{wanted} Postfix")


def _greeted(request: pytest.FixtureRequest, probe: str) -> bool:
    try:
        request.getfixturevalue(probe)
    except CheckFailed:
        return False
    return True
