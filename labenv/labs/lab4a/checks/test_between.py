"""Investigation 3: all of it on vm3, and mail between vm2 and vm3; and what has to be so at the end."""

from labenv.checks.doors import Firewall, Reach
from labenv.checks.evidence import CheckFailed, Evidence
from labenv.checks.machine import Machine, Site
from labenv.checks.plugin import step
from labenv.checks.restarts import not_restarted
from labenv.labs.lab4a.checks import common, mailboxes, postfix
from labenv.labs.lab4a.checks.common import MAIL_MACHINES, PORT, other, when
from labenv.labs.lab4a.checks.mailboxes import Letter
from labenv.mail import servers
from labenv.mail.crossings import Crossing, dropped
from labenv.mail.own import OwnMail
from labenv.mail.post import Post
from labenv.mail.restarts import POSTFIX


@step("42", machine="vm3")
def test_postfix_is_installed(vm3: Machine, evidence: Evidence) -> None:
    postfix.has(vm3, ("postfix", "postconf"), evidence)


@step("42", machine="vm3")
def test_postfix_runs(vm3: Machine, evidence: Evidence) -> None:
    common.service(vm3, "postfix", evidence)


@step("42", machine="vm3")
def test_vm3_greets_as_itself(greeting_of_vm3_itself: str, vm3: Machine, evidence: Evidence) -> None:
    postfix.greets_as_itself(greeting_of_vm3_itself, vm3, "itself", evidence)


@step("42", machine="vm3")
def test_smtp_is_let_in(smtp_of_vm3: dict[str, Reach], vm3: Machine, evidence: Evidence) -> None:
    postfix.lets_smtp_in(smtp_of_vm3, vm3, evidence)


@step("42", machine="vm3")
def test_rules_are_saved(
    firewall_of_vm3: Firewall, smtp_of_vm3: dict[str, Reach], vm3: Machine, site: Site, evidence: Evidence
) -> None:
    postfix.rules_are_saved(firewall_of_vm3, smtp_of_vm3, vm3, site, evidence)


@step("42", machine="vm3")
def test_all_interfaces(vm3: Machine, evidence: Evidence) -> None:
    postfix.listens_for_all(vm3, evidence)


@step("42", machine="vm3")
def test_domain_is_yours(vm3: Machine, domain: str, evidence: Evidence) -> None:
    postfix.knows_its_domain(vm3, domain, evidence)


@step("42", machine="vm3")
def test_origin_is_the_machine(vm3: Machine, evidence: Evidence) -> None:
    postfix.sends_as_itself(vm3, evidence)


@step("42", machine="vm3")
def test_name_is_its_own(vm3: Machine, evidence: Evidence) -> None:
    postfix.knows_its_name(vm3, evidence)


@step("42", machine="vm3")
def test_each_is_set_once(vm3: Machine, evidence: Evidence) -> None:
    postfix.sets_each_once(vm3, evidence)


@step("42", machine="vm3")
def test_port_25_listens_for_the_network(vm3: Machine, evidence: Evidence) -> None:
    servers.on_every_interface(vm3, PORT, evidence)


@step("42", machine="vm3")
def test_vm3_greets_vm2(greeting_to_vm2: str, vm3: Machine, evidence: Evidence) -> None:
    postfix.greets_as_itself(greeting_to_vm2, vm3, "vm2", evidence)


@step("43", machine="vm3")
def test_message_has_come_to_vm3(own_mail: OwnMail, vm3: Machine, vm2: Machine, evidence: Evidence) -> None:
    _has_come(own_mail, vm2, vm3, evidence)


@step("44", machine="vm2")
def test_answer_has_come_to_vm2(own_mail: OwnMail, vm2: Machine, vm3: Machine, evidence: Evidence) -> None:
    _has_come(own_mail, vm3, vm2, evidence)
    letters = _letters(vm2, vm3)
    if letters and not any("in-reply-to" in letter.fields for letter in letters):
        evidence.doubt(
            "no message from vm3 in root's mail on vm2 is an answer", "a field In-Reply-To, as an answer has"
        )


@step("45", machine=MAIL_MACHINES)
def test_message_is_in_roots_mail(machine: Machine, site: Site, evidence: Evidence) -> None:
    sender = f"root@{other(site, machine).fqdn}"
    boxes = mailboxes.of(machine, "root")
    letters = _letters(machine, other(site, machine))
    places = " and ".join(box.path for box in boxes) or "/var/spool/mail/root"
    evidence(letters, f"{places} on {machine.name} has {'a' if letters else 'no'} message from {sender}", "one")


@step("48", machine="vm2")
def test_mail_gets_to_vm3(vm2_to_vm3: Crossing, post: Post, vm2: Machine, vm3: Machine, evidence: Evidence) -> None:
    _gets_across(vm2_to_vm3, post, vm2, vm3, evidence)


@step("48", machine="vm3")
def test_mail_gets_to_vm2(vm3_to_vm2: Crossing, post: Post, vm2: Machine, vm3: Machine, evidence: Evidence) -> None:
    _gets_across(vm3_to_vm2, post, vm3, vm2, evidence)


@step("48", machine=MAIL_MACHINES)
def test_boot_brings_the_same(machine: Machine, evidence: Evidence) -> None:
    served = machine.run("postconf -M smtp/inet").stdout.split()
    saw = f"master.cf on {machine.name} has {' '.join(served) or 'no line'} for the service smtp inet"
    evidence(served[-1:] == ["smtpd"], saw, "smtpd, which takes mail after a boot, too")
    if old := not_restarted(machine, POSTFIX):
        evidence.doubt(old.removeprefix("; "), "what runs is what a boot brings")


def _letters(machine: Machine, start: Machine) -> list[Letter]:
    """The messages from root on another machine in root's mail."""
    there = [letter for box in mailboxes.of(machine, "root") for letter in box.letters]
    return [letter for letter in there if letter.sender == f"root@{start.fqdn}"]


def _has_come(own_mail: OwnMail, start: Machine, end: Machine, evidence: Evidence) -> None:
    """A message of the student's went from root on a machine to root on another one: the log there has it, or root's mail."""
    sender, wanted = f"root@{start.fqdn}", f"a message of root on {start.name} to root, delivered"
    if station := own_mail.kept(end.name, f"root@{end.fqdn}", sender):
        delivery = station.hop.deliveries[-1]
        evidence(True, f"the log of {end.name} has, {when(station.time)}, from=<{sender}>: {delivery}", wanted)
        return
    there = _letters(end, start)
    saw = f"root's mail on {end.name} has a message from {sender}" if there else _lost(own_mail, start, end)
    evidence(there, saw, wanted)


def _lost(own_mail: OwnMail, start: Machine, end: Machine) -> str:
    """What became of the student's last message to the other machine, or that there is none."""
    for station in reversed(own_mail.office.messages()):
        for delivery in station.hop.deliveries:
            if station.machine == start.name and delivery.to.lower().endswith(f"@{end.fqdn}"):
                return f"the log of {start.name} has, {when(station.time)}: {delivery}"
    return f"neither the logs nor root's mail on {end.name} have a message of root on {start.name}"


def _gets_across(crossing: Crossing, post: Post, start: Machine, end: Machine, evidence: Evidence) -> None:
    if crossing.received is None:
        rule = dropped(start, end, crossing.sent)
        raise CheckFailed(
            f"a message did not get from {start.name} to {end.name}: {post.fate(start, crossing.sent)}{rule}",
            "status=sent",
            by="" if rule else post.erred(start, crossing.sent),
        )
    got = crossing.received
    sender = f"root@{start.fqdn}"
    evidence((got.sender or "").lower() == sender, f"{end.name} got root's mail with the sender <{got.sender}>", sender)
    arrived = [delivery for delivery in got.deliveries if delivery.status == "sent"]
    evidence(arrived, f"the log of {end.name} has {post.fate(end, got)}", "delivered there", by=end.name)
