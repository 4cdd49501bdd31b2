"""Investigation 2: Postfix on vm2, the way to it, and what it listens on."""

from labenv.checks.doors import NOBODYS_PORT, Firewall, Reach, accepted
from labenv.checks.evidence import Evidence, Waits
from labenv.checks.machine import Machine, Site
from labenv.checks.plugin import step
from labenv.labs.lab4a.checks import common, postfix
from labenv.labs.lab4a.checks.common import MAIL_MACHINES, PORT
from labenv.mail import servers
from labenv.mail.maillog import Hop
from labenv.mail.post import Post
from labenv.mail.settings import main_cf, set_there

# What can have mail delivered to another place than /var/spool/mail (local(8)).
_PLACES = ("mailbox_transport", "mailbox_command", "home_mailbox", "mail_spool_directory")


@step("19", machine="vm2")
def test_postfix_is_installed(vm2: Machine, evidence: Evidence) -> None:
    postfix.has(vm2, ("postfix", "postconf"), evidence)


@step("20", machine="vm2")
def test_postfix_runs(vm2: Machine, evidence: Evidence) -> None:
    common.service(vm2, "postfix", evidence)


@step("20", machine="vm2")
def test_postfix_delivers_local_mail(local_mail: Hop, post: Post, vm2: Machine, evidence: Evidence) -> None:
    arrived = [delivery for delivery in local_mail.deliveries if delivery.status == "sent"]
    saw = f"the log of vm2 has {post.fate(vm2, local_mail)}"
    in_spool = arrived and arrived[-1].words == "delivered to mailbox" and not set_there(vm2, _PLACES)
    evidence(
        in_spool, saw if in_spool else saw + set_there(vm2, _PLACES), "status=sent (delivered to mailbox)", by="vm2"
    )


@step("22", machine="vm2")
def test_port_25_listens(vm2: Machine, evidence: Evidence) -> None:
    addresses, saw = servers.listens(vm2, PORT)
    evidence(addresses, saw, "at least 127.0.0.1")
    servers.held_by_its_own(vm2, PORT, evidence)


@step("24", machine=MAIL_MACHINES)
def test_nc_is_installed(machine: Machine, evidence: Evidence) -> None:
    postfix.has(machine, ("nc",), evidence)


@step("25", machine="vm2")
def test_vm2_reaches_itself(greeting_of_vm2_itself: str, evidence: Evidence) -> None:
    evidence(greeting_of_vm2_itself.startswith("220"), f"vm2 greets itself with '{greeting_of_vm2_itself}'", "220")


@step("26", machine="vm2")
def test_vm2_greets_as_itself(greeting_of_vm2_itself: str, vm2: Machine, evidence: Evidence) -> None:
    postfix.greets_as_itself(greeting_of_vm2_itself, vm2, "itself", evidence)


@step("29", machine="vm2")
def test_firewall_stops_the_rest(firewall_of_vm2: Firewall, vm2: Machine, vm3: Machine, evidence: Evidence) -> None:
    stray = firewall_of_vm2.stray
    if stray is None:  # a machine is down
        raise Waits("32")
    rule = accepted(vm3, vm2, NOBODYS_PORT, None) if stray.let_in else ""
    saw = f"vm3 tries port {NOBODYS_PORT} of vm2, which no rule is for: {stray.words}{rule}"
    evidence(not stray.let_in, saw, "the firewall of vm2 stops it")


@step("30", machine="vm2")
def test_smtp_is_let_in(smtp_of_vm2: dict[str, Reach], vm2: Machine, evidence: Evidence) -> None:
    postfix.lets_smtp_in(smtp_of_vm2, vm2, evidence)


@step("32", machine="vm2")
def test_rules_are_saved(
    firewall_of_vm2: Firewall, smtp_of_vm2: dict[str, Reach], vm2: Machine, site: Site, evidence: Evidence
) -> None:
    postfix.rules_are_saved(firewall_of_vm2, smtp_of_vm2, vm2, site, evidence)


@step("34", machine="vm2")
def test_all_interfaces(vm2: Machine, evidence: Evidence) -> None:
    postfix.listens_for_all(vm2, evidence)


@step("35", machine="vm2")
def test_domain_is_yours(vm2: Machine, domain: str, evidence: Evidence) -> None:
    _wait_for_an_edit(vm2, "mydomain")
    postfix.knows_its_domain(vm2, domain, evidence)


@step("36", machine="vm2")
def test_origin_is_the_machine(vm2: Machine, evidence: Evidence) -> None:
    _wait_for_an_edit(vm2, "myorigin")
    postfix.sends_as_itself(vm2, evidence)


@step("37", machine="vm2")
def test_name_is_its_own(vm2: Machine, evidence: Evidence) -> None:
    postfix.knows_its_name(vm2, evidence)


@step("38", machine="vm2")
def test_each_is_set_once(vm2: Machine, evidence: Evidence) -> None:
    postfix.sets_each_once(vm2, evidence)


@step("39", machine="vm2")
def test_port_25_listens_for_the_network(vm2: Machine, evidence: Evidence) -> None:
    servers.on_every_interface(vm2, PORT, evidence)


@step("40", machine="vm3")
def test_vm2_greets_vm3(greeting_to_vm3: str, vm2: Machine, evidence: Evidence) -> None:
    postfix.greets_as_itself(greeting_to_vm3, vm2, "vm3", evidence)


def _wait_for_an_edit(vm2: Machine, name: str) -> None:
    """Without a line in main.cf a parameter may be right by default. Raises Waits while that file is as it came, for this machine alone."""
    there = main_cf(vm2)
    if not there.lines(name) and there.lines("inet_interfaces") == ("inet_interfaces = localhost",):
        raise Waits("34")
