"""Investigation 1: the mail command, mail to the outside, and mail within vm2."""

import pytest

from labenv.checks.evidence import CheckFailed, Evidence
from labenv.checks.machine import Machine, Site
from labenv.checks.plugin import step
from labenv.checks.results import ONLY_A_PERSON
from labenv.labs.lab4a.checks import mailboxes, postfix
from labenv.labs.lab4a.checks.common import when
from labenv.labs.lab4a.checks.mailboxes import Letter
from labenv.mail.maillog import Delivery
from labenv.mail.office import Station
from labenv.mail.own import OwnMail
from labenv.student import Student

_FORGED = "someone@hacker.com"
_OUTSIDE = "myseneca.ca"


@step("2", machine="vm2")
def test_mail_command_is_installed(vm2: Machine, evidence: Evidence) -> None:
    postfix.has(vm2, ("mail",), evidence)


@step("4", machine="vm2")
def test_message_was_sent_outside(own_mail: OwnMail, student: Student, domain: str, evidence: Evidence) -> None:
    wanted = f"{student.id}@{_OUTSIDE}"
    tried = [
        (station, delivery)
        for station in _posted(own_mail)
        for delivery in station.hop.deliveries
        if not delivery.to.lower().endswith(domain)
    ]
    if not tried:
        raise CheckFailed("the log of vm2 has no try to deliver a message of yours to another domain", wanted)
    exact = [one for one in tried if one[1].to.lower() == wanted]
    station, delivery = (exact or tried)[-1]
    evidence(True, f"the log of vm2 has your message, {when(station.time)}: {delivery}", wanted)
    if not exact:
        evidence.doubt(f"your message outside went to {delivery.to}", wanted)


@step("5", machine="vm2")
def test_message_is_in_the_inbox(site: Site, vm2: Machine, student: Student, evidence: Evidence) -> None:
    if "outside" not in site.machines:
        pytest.skip(f"{ONLY_A_PERSON} without the world outside: labenv up {student.id} --outside")
    folder = f"/var/mail/{_OUTSIDE}/{student.id}"
    said = site["outside"].run(f"grep -rhisE '^From:' {folder}/new {folder}/cur | tail -n 100 | cut -c 1-500").stdout
    senders = [Letter({"from": line.partition(":")[2]}).sender for line in said.splitlines()]
    wanted = f"root@{vm2.fqdn}"
    saw = f"in the inbox of {student.id}@{_OUTSIDE} are messages from {', '.join(dict.fromkeys(senders)) or 'nobody'}"
    evidence(wanted in senders, saw, wanted)


@step("7", machine="vm2")
def test_sender_was_forged(own_mail: OwnMail, domain: str, evidence: Evidence) -> None:
    posted = [s for s in _posted(own_mail) if "@" in s.hop.user and not s.hop.user.lower().endswith(domain)]
    if not posted:
        raise CheckFailed("the log of vm2 has no message that was posted there under another sender", _FORGED)
    exact = [station for station in posted if station.hop.user.lower() == _FORGED]
    station = (exact or posted)[-1]
    evidence(True, f"a message was posted on vm2 as from {station.hop.user}, {when(station.time)}", _FORGED)
    if not exact:
        evidence.doubt(f"the message was posted as from {station.hop.user}", f"{_FORGED}, as in the sheet")


@step("9", machine="vm2")
def test_message_to_oneself_was_sent(own_mail: OwnMail, vm2: Machine, student: Student, evidence: Evidence) -> None:
    if there := _local(own_mail, vm2, student):
        station, delivery = there[-1]
        evidence(True, f"the log of vm2 has your message, {when(station.time)}: {delivery}", f"to={student.id}")
        return
    _in_the_mailbox(vm2, student, f"the log of vm2 has no message of yours to {student.id}", evidence)


@step("10", machine="vm2")
def test_message_to_oneself_was_delivered(
    own_mail: OwnMail, vm2: Machine, student: Student, evidence: Evidence
) -> None:
    there = _local(own_mail, vm2, student)
    if delivered := [one for one in there if one[1].status == "sent"]:
        station, delivery = delivered[-1]
        evidence(True, f"the log of vm2 has, {when(station.time)}: {delivery}", "status=sent")
        return
    saw = f"the log of vm2 has {there[-1][1]}" if there else f"the log of vm2 has no delivery to {student.id}"
    _in_the_mailbox(vm2, student, saw, evidence)


@step("12", machine="vm2")
def test_mailbox_is_the_users(vm2: Machine, student: Student, evidence: Evidence) -> None:
    boxes = mailboxes.of(vm2, student.id)
    spool = f"/var/spool/mail/{student.id}"
    full = [box for box in boxes if box.letters]
    saw = f"{' and '.join(box.path for box in boxes) or spool} on vm2 has {'' if full else 'no '}messages"
    evidence(full, saw, f"your message in {spool}")
    for box in boxes:
        evidence(box.owner == student.id, f"{box.path} on vm2 belongs to {box.owner}", student.id)


@step("14", machine="vm2")
def test_message_was_read(vm2: Machine, student: Student, evidence: Evidence) -> None:
    there = _letters(vm2, student)
    read = [letter for letter in there if "R" in letter.status]
    saw = f"{len(read)} of {len(there)} messages of {student.id} on vm2 are marked as read (R in Status)"
    evidence(read, saw, "at least one")


@step("16", machine="vm2")
def test_message_is_kept_as_old(vm2: Machine, student: Student, evidence: Evidence) -> None:
    there = _letters(vm2, student)
    kept = [letter for letter in there if "O" in letter.status and "R" in letter.status]
    saw = f"{len(kept)} of {len(there)} messages of {student.id} on vm2 are marked as read and old (RO in Status)"
    evidence(kept, saw, "at least one")


def _posted(own_mail: OwnMail) -> list[Station]:
    """The student's messages that were posted on vm2."""
    return [station for station in own_mail.office.messages() if station.machine == "vm2" and station.hop.user]


def _local(own_mail: OwnMail, vm2: Machine, student: Student) -> list[tuple[Station, Delivery]]:
    """The deliveries of messages that were posted on vm2 to the student's own user there."""
    return [
        (station, delivery)
        for station in _posted(own_mail)
        for delivery in station.hop.deliveries
        if delivery.orig_to == student.id or delivery.to.lower() == f"{student.id}@{vm2.fqdn}"
    ]


def _letters(vm2: Machine, student: Student) -> list[Letter]:
    return [letter for box in mailboxes.of(vm2, student.id) for letter in box.letters]


def _in_the_mailbox(vm2: Machine, student: Student, otherwise: str, evidence: Evidence) -> None:
    """A message from vm2 itself is in the student's mailbox: it was sent and delivered, whatever the log has."""
    letters = [letter for letter in _letters(vm2, student) if letter.sender.endswith(f"@{vm2.fqdn}")]
    saw = f"the mailbox of {student.id} on vm2 has a message from {letters[0].sender}" if letters else otherwise
    evidence(letters, saw, f"to={student.id}, status=sent")
